//! Percentile bootstrap over pairs of reports (Efron 1979): how much a score depends on which studies happened to be there.

use rand::Rng;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// How intervals are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resampling {
    /// How many sets of as many pairs, drawn with replacement, are scored; at least 1.
    pub resamples: usize,
    /// The share of resamples that the interval holds; between 0 and 1.
    pub confidence: f64,
    /// Of the resamples; the same seed gives the same interval.
    pub seed: u64,
}

impl Default for Resampling {
    fn default() -> Self {
        Self { resamples: 1000, confidence: 0.95, seed: 0 }
    }
}

/// The middle `confidence` of the resampled values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The lower end, in the unit of the value.
    pub low: f64,
    /// The upper end, in the unit of the value.
    pub high: f64,
}

impl Resampling {
    /// The most resamples; their values are all held in memory.
    pub const MOST: usize = 1_000_000;

    /// One interval for each value of `statistic`, which is computed on what is picked: of each kind, as many as there
    /// are of it, such as pairs of reports, or studies and seeds. All values of one resample see the same picks.
    ///
    /// # Errors
    /// A field out of its range.
    pub fn intervals<const KINDS: usize>(
        &self,
        counts: [usize; KINDS],
        statistic: impl Fn([&[usize]; KINDS]) -> Vec<f64>,
    ) -> Result<Vec<Interval>> {
        if self.resamples == 0 {
            return Err(Error::Resampling { field: "resamples", value: 0., expected: "at least 1" });
        }
        if self.resamples > Self::MOST {
            let value = self.resamples as f64;
            return Err(Error::Resampling { field: "resamples", value, expected: "at most 1000000" });
        }
        if !(self.confidence > 0. && self.confidence < 1.) {
            let (value, expected) = (self.confidence, "a number between 0 and 1");
            return Err(Error::Resampling { field: "confidence", value, expected });
        }
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let mut columns: Vec<Vec<f64>> = Vec::new();
        for _ in 0..self.resamples {
            let picks = counts.map(|count| (0..count).map(|_| rng.random_range(0..count)).collect::<Vec<usize>>());
            let values = statistic(picks.each_ref().map(Vec::as_slice));
            columns.resize_with(values.len(), Vec::new);
            columns.iter_mut().zip(values).for_each(|(column, value)| column.push(value));
        }
        let tail = (1. - self.confidence) / 2.;
        let interval = |mut column: Vec<f64>| {
            column.sort_by(f64::total_cmp);
            Interval { low: quantile(&column, tail), high: quantile(&column, 1. - tail) }
        };
        Ok(columns.into_iter().map(interval).collect())
    }
}

/// Linear between the two nearest of `sorted`, which is not empty.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let (below, above) = (at.floor() as usize, at.ceil() as usize);
    sorted[below] + (sorted[above] - sorted[below]) * at.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_varies_by_its_standard_error() {
        // 400 values 0 and 1 in equal parts: the standard error of their mean is 0.025.
        let mean =
            |[picks]: [&[usize]; 1]| vec![picks.iter().filter(|&&i| i % 2 == 0).count() as f64 / picks.len() as f64];
        let interval = Resampling::default().intervals([400], mean).unwrap()[0];
        assert!((interval.low - (0.5 - 1.96 * 0.025)).abs() < 0.01, "{interval:?}");
        assert!((interval.high - (0.5 + 1.96 * 0.025)).abs() < 0.01, "{interval:?}");
    }

    #[test]
    fn the_seed_decides() {
        let intervals = |seed| {
            let mean = |[picks]: [&[usize]; 1]| vec![picks.iter().sum::<usize>() as f64];
            Resampling { seed, ..Resampling::default() }.intervals([50], mean).unwrap()
        };
        assert_eq!(intervals(1), intervals(1));
        assert_ne!(intervals(1), intervals(2));
    }

    #[test]
    fn impossible_settings_are_refused_by_name() {
        let refused = |resampling: Resampling| resampling.intervals([1], |_| vec![0.]).unwrap_err().to_string();
        let none = Resampling { resamples: 0, ..Resampling::default() };
        assert_eq!(refused(none), "bootstrap: resamples is 0; expected at least 1");
        let many = Resampling { resamples: 200_000_000, ..Resampling::default() };
        assert_eq!(refused(many), "bootstrap: resamples is 200000000; expected at most 1000000");
        let certain = Resampling { confidence: 1., ..Resampling::default() };
        assert_eq!(refused(certain), "bootstrap: confidence is 1; expected a number between 0 and 1");
    }

    #[test]
    fn quantiles_lie_between_the_nearest_values() {
        assert_eq!(quantile(&[1., 2., 3.], 0.5), 2.);
        assert_eq!(quantile(&[1., 2.], 0.25), 1.25);
        assert_eq!(quantile(&[4.], 0.975), 4.);
    }
}
