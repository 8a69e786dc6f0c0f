//! How many floating-point operations a step's products take, and how many the machine can do in a second.
//!
//! Counted is what has to be computed of the packed tokens: two operations per weight and token forwards and for the
//! gradient of the activations, two more per LoRA factor for its own gradient, and attention by pairs of query and key.
//! What is only computed again in a backward pass, and everything that is no product, is time but not work.

use std::time::{Duration, Instant};

use addendum_kernels::{Segment, linear, serially};
use addendum_policy::{Config, LoraConfig, module::Module, pack::Packed};
use anyhow::Result;
use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;
use serde::Serialize;

use super::clock::Laps;

/// Floating-point operations of the parts of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Work {
    pub sampling: f64,
    pub reference: f64,
    pub forward: f64,
    pub backward: f64,
}

/// What each part reached of the machine's peak.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Shares {
    pub sampling: f64,
    pub reference: f64,
    pub forward: f64,
    pub backward: f64,
    /// Reference, forward and backward together.
    pub training: f64,
}

impl Work {
    pub fn mean<'a>(each: impl ExactSizeIterator<Item = &'a Self>) -> Self {
        let (count, mut sum) = (each.len().max(1) as f64, Self::default());
        each.for_each(|work| sum += *work);
        let Self { sampling, reference, forward, backward } = sum;
        let [sampling, reference, forward, backward] = [sampling, reference, forward, backward].map(|x| x / count);
        Self { sampling, reference, forward, backward }
    }

    /// Work over seconds over `peak` operations per second; not finite where a part took no time.
    pub fn shares(&self, laps: &Laps, peak: f64) -> Shares {
        let share = |work: f64, seconds: f64| work / seconds / peak;
        Shares {
            sampling: share(self.sampling, laps.sampling),
            reference: share(self.reference, laps.reference),
            forward: share(self.forward, laps.forward),
            backward: share(self.backward, laps.backward),
            training: share(
                self.reference + self.forward + self.backward,
                laps.reference + laps.forward + laps.backward,
            ),
        }
    }
}

/// Sizes that work is counted by.
pub struct Costs {
    layers: f64,
    /// Weights of a layer's matrices, of its LoRA factors, and of the head.
    weights: f64,
    factors: f64,
    head: f64,
    /// Operations per query and key: a score and what it does to the values.
    pair: f64,
}

impl Costs {
    pub fn new(config: &Config, lora: &LoraConfig) -> Self {
        let text = &config.text;
        let sum = |of: &dyn Fn(usize, usize) -> usize, modules: &[Module]| -> f64 {
            modules.iter().map(|module| module.shape(text)).map(|(inputs, outputs)| of(inputs, outputs) as f64).sum()
        };
        Self {
            layers: text.layers as f64,
            weights: sum(&|inputs, outputs| inputs * outputs, &Module::ALL),
            factors: sum(&|inputs, outputs| (inputs + outputs) * lora.rank, &lora.target_modules),
            head: (text.hidden_size * text.vocab_size) as f64,
            pair: 4.0 * (text.heads * text.head_dim()) as f64,
        }
    }

    /// Of the passes of a step over a packed batch, the reference's if there is one.
    pub fn training(&self, packed: &Packed, reference: bool) -> Work {
        let (tokens, targets) = (packed.ids.len() as f64, packed.targets() as f64);
        let attention = self.pair * packed.segments.iter().map(pairs).sum::<f64>();
        let pass = |weights: f64, attention: f64| {
            2.0 * targets * self.head + self.layers * (2.0 * tokens * weights + attention)
        };
        Work {
            sampling: 0.0,
            reference: if reference { pass(self.weights, attention) } else { 0.0 },
            forward: pass(self.weights + self.factors, attention),
            backward: pass(self.weights + 2.0 * self.factors, 2.0 * attention),
        }
    }

    /// Of sampling `samples` responses of `length` tokens each from one prompt.
    pub fn sampling(&self, prompt: usize, samples: usize, length: usize) -> f64 {
        let token = |pairs: f64| self.layers * (2.0 * (self.weights + self.factors) + self.pair * pairs);
        let prefill: f64 = (1..=prompt).map(|keys| token(keys as f64)).sum();
        // The last token is drawn, but never read.
        let decode: f64 = (1..length).map(|own| token((prompt + own) as f64)).sum();
        let heads = 2.0 * self.head * (1 + samples * (length - 1)) as f64;
        prefill + samples as f64 * decode + heads
    }
}

/// Pairs of a query and a key that it sees.
fn pairs(segment: &Segment) -> f64 {
    let (queries, own) = (segment.query.len() as f64, segment.own.len() as f64);
    let before: usize = segment.before.iter().map(|range| range.len()).sum();
    let hidden = if segment.causal { queries * (queries - 1.0) / 2.0 } else { 0.0 };
    queries * (before as f64 + own) - hidden
}

impl std::ops::AddAssign for Work {
    fn add_assign(&mut self, other: Self) {
        self.sampling += other.sampling;
        self.reference += other.reference;
        self.forward += other.forward;
        self.backward += other.backward;
    }
}

/// Floating-point operations per second in products of f32 matrices, by all threads of this pool together: the most that
/// was seen for half a second.
pub fn peak() -> Result<f64> {
    const SIDE: usize = 512;
    let one = || -> Result<f64> {
        let matrix = Tensor::ones((SIDE, SIDE), DType::F32, &Device::Cpu)?;
        let (begin, mut shortest) = (Instant::now(), Duration::MAX);
        while begin.elapsed() < Duration::from_millis(500) {
            let start = Instant::now();
            linear(&matrix, &matrix, None)?;
            shortest = shortest.min(start.elapsed());
        }
        Ok(2.0 * (SIDE as f64).powi(3) / shortest.as_secs_f64())
    };
    let all = rayon::broadcast(|_| serially(one));
    all.into_iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sampled_tokens_see_their_prompt_and_what_they_follow() {
        let costs = Costs { layers: 2.0, weights: 10.0, factors: 3.0, head: 100.0, pair: 4.0 };
        // Two prompt tokens with 1 and 2 keys; of each response one token that is read, with 3 keys.
        let token = |keys: f64| 2.0 * (26.0 + 4.0 * keys);
        assert_eq!(costs.sampling(2, 3, 2), token(1.0) + token(2.0) + 3.0 * token(3.0) + 4.0 * 200.0);
    }

    #[test]
    fn causal_queries_see_one_key_less_each() {
        let causal = Segment { query: 0..3, before: vec![0..2, 4..5], own: 5..8, causal: true };
        assert_eq!(pairs(&causal), 4.0 + 5.0 + 6.0);
        assert_eq!(pairs(&Segment::alone(0..3, false)), 9.0);
    }

    #[test]
    fn a_part_that_takes_its_work_at_the_peak_reaches_all_of_it() {
        let work = Work { sampling: 10.0, reference: 4.0, forward: 4.0, backward: 8.0 };
        let laps = Laps { sampling: 2.0, reference: 1.0, forward: 2.0, backward: 1.0, ..Laps::default() };
        let shares = work.shares(&laps, 8.0);
        assert_eq!((shares.sampling, shares.reference, shares.forward, shares.backward), (0.625, 0.5, 0.25, 1.0));
        assert_eq!(shares.training, 0.5);
    }
}
