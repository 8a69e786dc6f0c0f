//! How long simulated reports are, and how long a group of them takes to sample.

use std::f64::consts::TAU;

use clap::{Args, ValueEnum};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::seconds::Seconds;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    Constant,
    Uniform,
    Lognormal,
}

/// What the time of a group is proportional to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Bound {
    /// The tokens of its longest report: a token takes as long for one sequence as for all.
    Latency,
    /// The tokens of all of its reports: sequences share the device.
    Throughput,
}

/// The distribution of reports' lengths, and what a length costs.
#[derive(Args, Clone, Debug, Serialize)]
pub struct Lengths {
    /// Distribution of the tokens of a report.
    #[arg(long = "lengths", value_enum, default_value = "constant")]
    shape: Shape,
    /// Mean tokens of a report.
    #[arg(long, default_value_t = 100., value_parser = positive)]
    mean_tokens: f64,
    /// Standard deviation of the lengths, as a share of their mean; uniform ones have at most 0.57.
    #[arg(long, default_value_t = 0.3, value_parser = positive)]
    spread: f64,
    /// What the time of a group depends on: its longest report, or all of its tokens.
    #[arg(long, value_enum, default_value = "latency")]
    bound: Bound,
    /// Time that a sampler takes for a group of reports of the mean length; others take longer or shorter in proportion.
    #[arg(long, value_name = "TIME", default_value = "20ms")]
    sample_time: Seconds,
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(number) if number > 0. && f64::is_finite(number) => Ok(number),
        Ok(number) => Err(format!("{number} is not more than 0")),
        Err(error) => Err(format!("{error}")),
    }
}

impl Lengths {
    /// Tokens of the report with this seed, at least one.
    pub fn draw(&self, seed: u64) -> usize {
        let Self { shape, mean_tokens: mean, spread, .. } = *self;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let tokens = match shape {
            Shape::Constant => mean,
            Shape::Uniform => mean * (1. + spread * 3f64.sqrt() * rng.random_range(-1. ..1.)),
            Shape::Lognormal => {
                let variance = spread.powi(2).ln_1p();
                // Box and Muller's normal variate; 1 − u is never zero.
                let normal = (-2. * (1. - rng.random::<f64>()).ln()).sqrt() * (TAU * rng.random::<f64>()).cos();
                mean * (variance.sqrt() * normal - variance / 2.).exp()
            }
        };
        (tokens.round() as usize).max(1)
    }

    /// Time to sample a group of reports of these lengths.
    pub fn time(&self, tokens: &[usize]) -> Seconds {
        let relative = match self.bound {
            Bound::Latency => tokens.iter().max().map_or(0., |longest| *longest as f64),
            Bound::Throughput => tokens.iter().sum::<usize>() as f64 / tokens.len().max(1) as f64,
        };
        Seconds(self.sample_time.0 * relative / self.mean_tokens)
    }

    /// Mean time of a group of `reports` reports.
    pub fn mean_time(&self, reports: usize) -> Seconds {
        const GROUPS: u64 = 10_000;
        let group = |group: u64| {
            let seeds = group * reports as u64..(group + 1) * reports as u64;
            self.time(&seeds.map(|seed| self.draw(seed)).collect::<Vec<_>>()).0
        };
        Seconds((0..GROUPS).map(group).sum::<f64>() / GROUPS as f64)
    }

    /// The same lengths on devices that take this share of their time.
    pub fn scaled(&self, share: f64) -> Self {
        Self { sample_time: Seconds(share * self.sample_time.0), ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(shape: Shape, bound: Bound) -> Lengths {
        Lengths { shape, mean_tokens: 100., spread: 0.3, bound, sample_time: Seconds(1.) }
    }

    #[test]
    fn lengths_have_the_mean_and_the_spread_that_were_asked_for() {
        for (shape, expected) in [(Shape::Constant, 0.), (Shape::Uniform, 30.), (Shape::Lognormal, 30.)] {
            let drawn: Vec<f64> = (0..20_000).map(|seed| lengths(shape, Bound::Latency).draw(seed) as f64).collect();
            let mean = drawn.iter().sum::<f64>() / drawn.len() as f64;
            let variance = drawn.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / drawn.len() as f64;
            assert!((mean - 100.).abs() < 1., "{shape:?}: mean {mean}");
            assert!((variance.sqrt() - expected).abs() < 1., "{shape:?}: deviation {}", variance.sqrt());
        }
    }

    #[test]
    fn the_longest_report_or_all_tokens_decide_how_long_a_group_takes() {
        let time = |bound| lengths(Shape::Constant, bound).time(&[50, 150, 100, 100]).0;
        assert_eq!((time(Bound::Latency), time(Bound::Throughput)), (1.5, 1.));
        let mean = |bound| lengths(Shape::Lognormal, bound).mean_time(4).0;
        assert!(mean(Bound::Latency) > 1.25, "the longest of four is longer than one");
        assert!((mean(Bound::Throughput) - 1.).abs() < 0.01);
    }
}
