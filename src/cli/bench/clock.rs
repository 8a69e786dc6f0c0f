//! Where the time of a step goes, and which of several steps speaks for them all.

use std::time::Instant;

use serde::Serialize;

use super::decoding::Decoding;

/// The parts of a step, in seconds, in the order in which they happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Laps {
    /// The prompts' images through the vision tower.
    pub encoding: f64,
    pub sampling: f64,
    /// What of the sampling was decoding alone.
    #[serde(skip)]
    pub decoding: Decoding,
    pub reward: f64,
    /// Log-probabilities under the base model.
    pub reference: f64,
    pub forward: f64,
    pub backward: f64,
    pub optimizer: f64,
}

impl Laps {
    /// The whole step.
    pub fn total(&self) -> f64 {
        let Self { encoding, sampling, decoding: _, reward, reference, forward, backward, optimizer } = self;
        encoding + sampling + reward + reference + forward + backward + optimizer
    }
}

/// The step of median length (of an even number the shorter one of the two), whole, so that its parts add up; and the
/// shortest.
pub fn median_and_shortest(steps: &[Laps]) -> Option<(Laps, Laps)> {
    let mut sorted = steps.to_vec();
    sorted.sort_by(|a, b| a.total().total_cmp(&b.total()));
    Some((*sorted.get(steps.len().saturating_sub(1) / 2)?, *sorted.first()?))
}

/// Runs `f`; returns what it gave and the seconds it took.
pub fn timed<R>(f: impl FnOnce() -> R) -> (R, f64) {
    let start = Instant::now();
    let result = f();
    (result, start.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_step_is_one_that_happened() {
        let step = |sampling, forward| Laps { sampling, forward, ..Laps::default() };
        let steps = [step(3.0, 0.0), step(0.0, 1.0), step(1.0, 1.0), step(9.0, 9.0)];
        assert_eq!(median_and_shortest(&steps), Some((step(1.0, 1.0), step(0.0, 1.0))));
        assert_eq!(median_and_shortest(&[]), None);
    }
}
