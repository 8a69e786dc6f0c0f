//! Axes: from numbers to pixels, and the round numbers worth a tick. Knows nothing of SVG.

/// A linear map from values to pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale {
    pub low: f64,
    pub high: f64,
    start: f64,
    end: f64,
}

impl Scale {
    /// Maps `low` to pixel `start` and `high` to pixel `end`. An empty range is widened around its value.
    pub fn new((low, high): (f64, f64), (start, end): (f64, f64)) -> Self {
        let (low, high) = if high > low { (low, high) } else { (low - 0.5, low + 0.5) };
        Self { low, high, start, end }
    }

    pub fn pixel(&self, value: f64) -> f64 {
        self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)
    }

    /// A round distance for about `count` ticks.
    pub fn step(&self, count: usize) -> f64 {
        round_step(self.high - self.low, count)
    }

    /// The multiples of `step` within the range.
    pub fn ticks(&self, step: f64) -> Vec<f64> {
        let (first, last) = ((self.low / step - 1e-9).ceil() as i64, (self.high / step + 1e-9).floor() as i64);
        (first..=last).map(|multiple| multiple as f64 * step).collect()
    }
}

/// The range of some values, widened to multiples of the round step that is returned with it. Zero is included where it
/// costs little room.
pub(super) fn round_range(values: impl IntoIterator<Item = f64>, count: usize) -> ((f64, f64), f64) {
    let (low, high) = range(values);
    if low > high {
        return ((0.0, 1.0), 0.5);
    }
    let size = low.abs().max(high.abs());
    let margin = if high - low > 1e-9 * size {
        0.0
    } else if size > 0.0 {
        0.5 * size
    } else {
        0.5
    };
    let (mut low, mut high) = (low - margin, high + margin);
    if low > 0.0 && low < 0.4 * high {
        low = 0.0;
    }
    if high < 0.0 && high > 0.4 * low {
        high = 0.0;
    }
    let step = round_step(high - low, count);
    (((low / step + 1e-9).floor() * step, (high / step - 1e-9).ceil() * step), step)
}

/// The smallest and the greatest finite value; reversed infinities if there is none.
pub(super) fn range(values: impl IntoIterator<Item = f64>) -> (f64, f64) {
    let finite = values.into_iter().filter(|value| value.is_finite());
    finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
}

/// 1, 2 or 5 times a power of ten.
fn round_step(span: f64, count: usize) -> f64 {
    let rough = span / count.max(1) as f64;
    let power = 10f64.powi(rough.log10().floor() as i32);
    let digit = [1.0, 2.0, 5.0].into_iter().find(|digit| digit * power >= rough * (1.0 - 1e-9));
    digit.unwrap_or(10.0) * power
}

/// A number on an axis with the given distance of ticks, with `extra` decimals more than the ticks need.
pub(super) fn number(value: f64, step: f64, extra: i32) -> String {
    let magnitude = (step * (1.0 + 1e-9)).log10().floor() as i32;
    let text = if value == 0.0 && extra == 0 {
        "0".into()
    } else if !(-4..6).contains(&magnitude) {
        let digits = (value.abs().max(step).log10().floor() as i32 - magnitude + extra).clamp(0, 9) as usize;
        format!("{value:.digits$e}")
    } else {
        format!("{value:.*}", (extra - magnitude).clamp(0, 9) as usize)
    };
    text.replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_lie_within_the_range() {
        let scale = Scale::new((0.0, 120.0), (0.0, 600.0));
        assert_eq!(scale.ticks(scale.step(6)), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0, 120.0]);
        assert_eq!(scale.pixel(30.0), 150.0);
        let odd = Scale::new((0.13, 0.87), (300.0, 0.0)).ticks(0.2);
        assert!(odd.iter().all(|tick| (0.13..=0.87).contains(tick)) && odd.len() >= 3, "{odd:?}");
    }

    #[test]
    fn one_value_still_has_an_axis_around_it() {
        for value in [0.0, 3.0, -2.5, 1e-7] {
            let ((low, high), step) = round_range([value], 5);
            assert!(step > 0.0);
            assert!(low < high && low <= value && value <= high, "{value} in {low}..{high}");
        }
        assert_eq!(round_range([], 5).0, (0.0, 1.0));
        assert_eq!(round_range([f64::NAN, f64::INFINITY], 5).0, (0.0, 1.0));
    }

    #[test]
    fn zero_is_shown_only_where_it_is_near() {
        assert_eq!(round_range([0.1, 0.9], 5).0.0, 0.0);
        assert!(round_range([0.8, 0.9], 5).0.0 > 0.7);
    }

    #[test]
    fn numbers_tell_neighbouring_ticks_apart() {
        assert_eq!(number(0.5, 0.5, 0), "0.5");
        assert_eq!(number(20.0, 20.0, 0), "20");
        assert_eq!(number(-0.2, 0.1, 0), "−0.2");
        assert_eq!(number(0.0, 0.1, 0), "0");
        assert_eq!(number(1.234, 0.5, 1), "1.23");
        assert_eq!(number(402.3, 20.0, 1), "402");
        assert_eq!(number(4e-5, 2e-5, 0), "4e−5");
        assert_eq!(number(1.2e-4, 2e-5, 0), "1.2e−4");
        assert_eq!(number(3e7, 1e7, 0), "3e7");
    }
}
