//! Text for a terminal: printing, colours that can be switched off, durations, counts and tiny curves.
//!
//! Durations are ours, as those of `indicatif` are either whole units (`3 minutes`) or a clock's (`00:03:02`).

use std::{
    env,
    io::{self, Write},
    time::Duration,
};

use console::Style;

/// Colours text, or leaves it as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paint {
    colours: bool,
}

impl Paint {
    /// Never colours, as for files and pipes.
    pub const PLAIN: Self = Self { colours: false };
    /// Always colours, as for tests.
    pub const COLOURED: Self = Self { colours: true };

    /// Colours on the standard output if it is a terminal that has some, unless `NO_COLOR` or `CLICOLOR=0` is set;
    /// `CLICOLOR_FORCE=1` asks for them anywhere, but not against `NO_COLOR`.
    pub fn from_environment() -> Self {
        Self { colours: !no_colour() && console::colors_enabled() }
    }

    /// As [`Self::from_environment`], on the standard error stream.
    pub fn stderr() -> Self {
        Self { colours: !no_colour() && console::colors_enabled_stderr() }
    }

    /// Whether it colours anything.
    pub fn has_colours(self) -> bool {
        self.colours
    }

    /// In bold, for what matters most.
    pub fn bold(self, text: impl AsRef<str>) -> String {
        self.styled(Style::new().bold(), text.as_ref())
    }

    /// Faint, for what can be overlooked.
    pub fn dim(self, text: impl AsRef<str>) -> String {
        self.styled(Style::new().dim(), text.as_ref())
    }

    /// Green, for what went well.
    pub fn good(self, text: impl AsRef<str>) -> String {
        self.styled(Style::new().green(), text.as_ref())
    }

    /// Yellow, for what should be looked at.
    pub fn warning(self, text: impl AsRef<str>) -> String {
        self.styled(Style::new().yellow(), text.as_ref())
    }

    /// Red, for what went wrong.
    pub fn bad(self, text: impl AsRef<str>) -> String {
        self.styled(Style::new().red(), text.as_ref())
    }

    /// Cyan, for names and numbers that the eye should find.
    pub fn accent(self, text: impl AsRef<str>) -> String {
        self.styled(Style::new().cyan(), text.as_ref())
    }

    fn styled(self, style: Style, text: &str) -> String {
        style.force_styling(self.colours).apply_to(text).to_string()
    }
}

/// Set and not empty (no-color.org).
fn no_colour() -> bool {
    env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// Prints to the standard output; a reader that has gone away is no error.
///
/// # Errors
/// The standard output cannot be written to for another reason, such as a full disk.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// `0.42 s`, `12.3 s`, `3m 02s`, `2h 05m`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds {
        ..9.995 => format!("{seconds:.2} s"),
        ..59.95 => format!("{seconds:.1} s"),
        ..3599.5 => minutes(seconds.round() as u64, 60, 'm', 's'),
        _ => minutes((seconds / 60.0).round() as u64, 60, 'h', 'm'),
    }
}

/// As [`duration`], for what is only guessed: `12 s`, `3m 02s`, `2h 05m`.
pub fn rough_duration(rough: Duration) -> String {
    match rough.as_secs_f64() {
        seconds @ ..59.95 => format!("{seconds:.0} s"),
        _ => duration(rough),
    }
}

fn minutes(count: u64, base: u64, big: char, small: char) -> String {
    format!("{}{big} {:02}{small}", count / base, count % base)
}

/// `1 retry`, `2 retries`.
pub fn count(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// A curve of at most `width` characters, each the mean of its part of the values; the lowest is `▁`, the highest `█`.
pub fn sparkline(values: &[f64], width: usize) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let bins = width.min(values.len());
    let mean = |bin: usize| {
        let part = &values[bin * values.len() / bins..(bin + 1) * values.len() / bins];
        part.iter().sum::<f64>() / part.len() as f64
    };
    let means: Vec<f64> = (0..bins).map(mean).collect();
    let (low, high) = super::scale::range(means.iter().copied());
    let bar = |value: &f64| {
        let height = (value - low) / (high - low) * 7.0;
        if !value.is_finite() { ' ' } else { BARS[if high > low { height.round() as usize } else { 3 }.min(7)] }
    };
    means.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_about_three_digits() {
        let text = |seconds| duration(Duration::from_secs_f64(seconds));
        assert_eq!(text(0.4213), "0.42 s");
        assert_eq!(text(12.34), "12.3 s");
        assert_eq!(text(59.97), "1m 00s");
        assert_eq!(text(182.0), "3m 02s");
        assert_eq!(text(7499.0), "2h 05m");
        assert_eq!(rough_duration(Duration::from_millis(4200)), "4 s");
        assert_eq!(rough_duration(Duration::from_secs(60)), "1m 00s");
    }

    #[test]
    fn a_sparkline_rises_with_its_values_and_has_no_more_characters_than_asked() {
        assert_eq!(sparkline(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], 8), "▁▂▃▄▅▆▇█");
        assert_eq!(sparkline(&[0.0, 2.0, 8.0, 6.0], 2), "▁█");
        assert_eq!(sparkline(&[1.0, f64::NAN, 1.0], 8), "▄ ▄");
        assert_eq!(sparkline(&[], 8), "");
    }

    #[test]
    fn colours_can_be_switched_off() {
        assert_eq!(Paint::PLAIN.bold("x"), "x");
        assert_eq!(Paint::COLOURED.bold("x"), "\x1b[1mx\x1b[0m");
        assert_eq!(Paint::COLOURED.bad("x"), "\x1b[31mx\x1b[0m");
    }
}
