//! A time as people write it on a command line.

use std::{fmt, str::FromStr, time::Duration};

use serde::Serialize;

/// A length of time, not negative, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize)]
pub struct Seconds(pub f64);

const UNITS: [(&str, f64); 5] = [("ms", 1e-3), ("us", 1e-6), ("µs", 1e-6), ("min", 60.), ("s", 1.)];

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("`{text}` is not a time such as 0, 250us, 20ms, 1.5s or 2min");
        let unit = UNITS.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)));
        let (number, factor) = match unit {
            Some(found) => found,
            None if text == "0" => (text, 1.),
            None => return Err(expected()),
        };
        let seconds = number.trim().parse::<f64>().map_err(|_| expected())? * factor;
        Duration::try_from_secs_f64(seconds).map_err(|_| expected())?;
        Ok(Self(seconds))
    }
}

impl From<Seconds> for Duration {
    fn from(Seconds(seconds): Seconds) -> Self {
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0. => f.write_str("0"),
            s if s < 1e-3 => write!(f, "{:.3} µs", s * 1e6),
            s if s < 1. => write!(f, "{:.3} ms", s * 1e3),
            s => write!(f, "{s:.3} s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_with_its_unit_and_not_without() {
        let read = |text: &str| text.parse::<Seconds>();
        for (text, seconds) in [("0", 0.), ("20ms", 0.02), ("1.5 s", 1.5), ("250us", 250e-6), ("2min", 120.)] {
            assert_eq!(read(text), Ok(Seconds(seconds)), "{text}");
        }
        for text in ["", "5", "ms", "-1s", "infs", "1h", "1 00 ms"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
