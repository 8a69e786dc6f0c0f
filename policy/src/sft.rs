//! Supervised fine-tuning: cross-entropy of the reference reports, over all weights or over an adapter.
//!
//! The loss is the mean over all response tokens of the batch; the prompt is not learnt.

use std::collections::BTreeMap;

use addendum_kernels::serially;
use candle_core::{Device, Tensor, Var};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    Adapter, Config, Error, Result,
    image::Patches,
    learner::{add, collect_gradients},
    model::Model,
    optim::{AdamW, AdamWConfig, Step, Tensors},
    pack::{EncodedPrompt, Packed, PromptTokens},
    schedule::Schedule,
    weights::Weights,
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SftConfig {
    pub batch_size: usize,
    pub optimizer: AdamWConfig,
    pub schedule: Schedule,
    /// A batch is cut into this many parts, which run in parallel where there are threads; the gradient is the same.
    pub parts: usize,
}

impl Default for SftConfig {
    fn default() -> Self {
        Self { batch_size: 32, optimizer: AdamWConfig::default(), schedule: Schedule::default(), parts: 2 }
    }
}

/// A prompt with its images as patches, and the response (end token included) to learn.
#[derive(Clone, Debug)]
pub struct SftExample {
    pub prompt: PromptTokens,
    pub images: Vec<Patches>,
    pub response: Vec<u32>,
}

/// What is trained.
pub enum Trainable {
    /// Every weight, the vision tower included.
    All(Weights),
    /// The adapter's factors, over frozen weights.
    Lora(Weights, Adapter),
}

pub struct SftTrainer {
    model: Config,
    config: SftConfig,
    frozen: Option<(Model, Adapter)>,
    parameters: Tensors,
    optimizer: AdamW,
    steps: u64,
    device: Device,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub struct SftStats {
    /// Mean negative log-likelihood per response token, in nats.
    pub loss: f64,
    pub gradient_norm: f64,
    pub learning_rate: f64,
    pub tokens: usize,
    pub skipped: bool,
}

/// The order in which an epoch visits `count` studies: a shuffle that depends on (seed, epoch) only.
pub fn data_order(seed: u64, epoch: u64, count: usize) -> Vec<usize> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(epoch);
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(&mut rng);
    order
}

impl SftTrainer {
    pub fn new(model: &Config, trainable: Trainable, config: SftConfig, device: &Device) -> Result<Self> {
        config.schedule.validate()?;
        if config.batch_size == 0 || config.parts == 0 {
            return Err(Error::invalid("sft", "batch_size and parts must be at least 1"));
        }
        let (parameters, frozen) = match trainable {
            Trainable::All(weights) => (weights.tensors().clone(), None),
            Trainable::Lora(weights, adapter) => {
                (adapter.tensors().clone(), Some((Model::new(model, &weights)?, adapter)))
            }
        };
        let optimizer = AdamW::new(config.optimizer.clone(), &parameters)?;
        let model = model.clone();
        Ok(Self { model, config, frozen, parameters, optimizer, steps: 0, device: device.clone() })
    }

    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The trained tensors: all weights, or the adapter's factors.
    pub fn parameters(&self) -> &Tensors {
        &self.parameters
    }

    /// One update. Nothing changes on an error.
    pub fn step(&mut self, batch: &[SftExample]) -> Result<SftStats> {
        let tokens: usize = batch.iter().map(|e| e.response.len()).sum();
        if tokens == 0 {
            return Err(Error::invalid("sft batch", "holds no response token"));
        }
        let vars: BTreeMap<String, Var> = self
            .parameters
            .iter()
            .map(|(name, tensor)| Ok((name.clone(), Var::from_tensor(tensor)?)))
            .collect::<Result<_>>()?;
        let (model, adapter) = match &self.frozen {
            None => (Model::new(&self.model, &Weights::of_vars(&vars))?, None),
            Some((model, adapter)) => {
                let live = vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
                (model.clone(), Some(Adapter::from_tensors(&self.model, adapter.config().clone(), live)?))
            }
        };
        let parts: Vec<(f64, Tensors)> = batch
            .par_chunks(batch.len().div_ceil(self.config.parts))
            .map(|examples| {
                serially(|| {
                    let loss = self.loss_sum(&model, adapter.as_ref(), examples)?;
                    let store = (&loss / tokens as f64)?.backward()?;
                    Ok((f64::from(loss.to_scalar::<f32>()?), collect_gradients(&store, &vars)?))
                })
            })
            .collect::<Result<_>>()?;
        let mut gradients = Tensors::new();
        let mut loss = 0.0;
        for (part, part_gradients) in parts {
            loss += part / tokens as f64;
            add(&mut gradients, part_gradients)?;
        }
        let learning_rate = self.config.schedule.at(self.steps);
        let mut stats = SftStats { loss, gradient_norm: 0.0, learning_rate, tokens, skipped: false };
        match self.optimizer.step(&self.parameters, &gradients, learning_rate)? {
            Step::Taken { parameters, optimizer, gradient_norm } => {
                stats.gradient_norm = gradient_norm;
                (self.parameters, self.optimizer) = (parameters, optimizer);
            }
            Step::Skipped { gradient_norm } => {
                stats.gradient_norm = gradient_norm;
                stats.skipped = true;
            }
        }
        self.steps += 1;
        Ok(stats)
    }

    /// Summed negative log-likelihood of the responses.
    fn loss_sum(&self, model: &Model, adapter: Option<&Adapter>, examples: &[SftExample]) -> Result<Tensor> {
        let features = self.features(model, examples)?;
        let prompts: Vec<EncodedPrompt> = examples
            .iter()
            .zip(features)
            .map(|(e, features)| EncodedPrompt { tokens: e.prompt.clone(), features })
            .collect();
        let packed = Packed::new(prompts.iter().zip(examples).map(|(p, e)| (p, vec![e.response.as_slice()])));
        Ok(packed.log_probs(&model.language, adapter, 1.0)?.log_probs.sum_all()?.neg()?)
    }

    /// All images go through the vision tower together.
    fn features(&self, model: &Model, examples: &[SftExample]) -> Result<Vec<Option<Tensor>>> {
        let images: Vec<&Patches> = examples.iter().flat_map(|e| &e.images).collect();
        if images.is_empty() {
            return Ok(vec![None; examples.len()]);
        }
        let all = model.vision.forward_images(&images, &self.device)?;
        let all = if self.frozen.is_some() { all.detach() } else { all };
        let mut at = 0;
        examples
            .iter()
            .map(|e| {
                let count = e.prompt.image_at.len();
                at += count;
                Ok(if count == 0 { None } else { Some(all.narrow(0, at - count, count)?) })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_visits_every_study_once_in_an_order_of_its_own() {
        let (a, b) = (data_order(1, 0, 50), data_order(1, 1, 50));
        assert_ne!(a, b);
        assert_eq!(a, data_order(1, 0, 50));
        let mut sorted = a.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..50).collect::<Vec<_>>());
    }
}
