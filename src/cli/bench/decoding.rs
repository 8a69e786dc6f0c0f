//! Sampling under a clock that tells decoding from the reading of prompts.

use std::time::Instant;

use addendum_policy::{
    Adapter,
    generate::{Batch, BatchConfig, GenerateRequest, Sample, Versioned},
    model::Language,
    sampling::TokenSampler,
};
use anyhow::Result;

/// Steps in which no prompt was read and as many samples advanced as ever did: what was drawn, and how long it took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Decoding {
    /// Samples that advanced together.
    samples: usize,
    steps: usize,
    seconds: f64,
}

impl Decoding {
    /// Counts a step.
    fn add(&mut self, samples: usize, seconds: f64) {
        if samples > self.samples {
            *self = Self { samples, ..Self::default() };
        }
        if samples == self.samples {
            self.steps += 1;
            self.seconds += seconds;
        }
    }

    /// Tokens per second; `None` where prompts were read until samples ended.
    pub fn rate(&self) -> Option<f64> {
        (self.steps > 0).then(|| (self.samples * self.steps) as f64 / self.seconds)
    }
}

/// The samples of all requests in order, as [`addendum_policy::generate::generate`] draws them where no token ends a
/// response.
pub fn generate(
    language: &Language,
    adapter: &Adapter,
    requests: &[GenerateRequest],
    sampler: &TokenSampler,
    decoding: &mut Decoding,
) -> Result<Vec<Sample>> {
    let policy = Versioned { version: 0, adapter: Some(adapter.clone().into()) };
    let newest = || Ok(policy.clone());
    let mut batch = Batch::new(language.clone(), sampler.clone(), &[], BatchConfig::busy(language))?;
    for (id, request) in (0..).zip(requests) {
        batch.admit(id, request.clone(), newest)?;
    }
    let mut results = vec![vec![]; requests.len()];
    while !batch.is_empty() {
        let before = batch.load();
        // What is still being computed of a prompt counts as reading.
        language.device().synchronize()?;
        let start = Instant::now();
        let ended = batch.step();
        let seconds = start.elapsed().as_secs_f64();
        let joined = batch.load().waiting < before.waiting;
        if before.unread == 0 && !joined {
            decoding.add(before.sequences, seconds);
        }
        for (id, samples) in ended {
            results[id as usize] = samples?;
        }
    }
    Ok(results.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fullest_steps_alone_are_counted() {
        let mut decoding = Decoding::default();
        assert_eq!(decoding.rate(), None);
        for (samples, seconds) in [(2, 1.0), (4, 1.0), (4, 1.5), (3, 1.0)] {
            decoding.add(samples, seconds);
        }
        assert_eq!(decoding.rate(), Some(3.2));
    }
}
