//! Supervised fine-tuning: cross-entropy of the reference reports, over all weights or over an adapter.
//!
//! The loss is the mean over all response tokens of the batch; the prompt is not learnt.

use std::collections::BTreeMap;

use addendum_kernels::serially;
use candle_core::{Device, Tensor, Var};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Adapter, Config, Error, Result, checkpoint,
    image::Patches,
    learner::{Forward, LearnerState, Live, collect_gradients, live},
    model::Model,
    optim::{AdamW, AdamWConfig, Step, Tensors},
    pack::{EncodedPrompt, Packed, PromptTokens},
    schedule::Schedule,
    weights::Weights,
};

/// How a policy is trained on reference reports.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SftConfig {
    /// Studies per step, at least 1.
    pub batch_size: usize,
    /// AdamW.
    pub optimizer: AdamWConfig,
    /// The learning rate of every step.
    pub schedule: Schedule,
    /// A batch is cut into this many parts, at least 1, which run in parallel where there are threads; the gradient is
    /// the same.
    #[schemars(extend("x-resume" = "rounding"))]
    pub parts: usize,
    /// A part goes through the network in several passes of at most this many tokens, prompts included, or of one study
    /// where that has more; at least 1. Less takes less memory.
    #[schemars(extend("x-resume" = "rounding"))]
    pub micro_batch_tokens: usize,
    /// Compute activations again in the backward pass, which takes less memory and more time. Only for an adapter.
    #[schemars(extend("x-resume" = "rounding"))]
    pub recompute: bool,
}

impl Default for SftConfig {
    fn default() -> Self {
        Self {
            batch_size: 32,
            optimizer: AdamWConfig::default(),
            schedule: Schedule::default(),
            parts: 2,
            micro_batch_tokens: 8192,
            recompute: false,
        }
    }
}

impl SftConfig {
    /// # Errors
    /// The first setting out of its range, by its path within these settings, with its value.
    pub fn validate(&self) -> Result<()> {
        self.optimizer.validate()?;
        self.schedule.validate()?;
        let counts =
            [("batch_size", self.batch_size), ("parts", self.parts), ("micro_batch_tokens", self.micro_batch_tokens)];
        match counts.into_iter().find(|(_, count)| *count == 0) {
            None => Ok(()),
            Some((field, _)) => Err(Error::invalid(field, "0 is not at least 1")),
        }
    }
}

/// A prompt with its images as patches, and the response (end token included) to learn.
#[derive(Clone, Debug)]
pub struct SftExample {
    /// With the places of its images.
    pub prompt: PromptTokens,
    /// In the order of the prompt.
    pub images: Vec<Patches>,
    /// The reference's tokens, the end token last.
    pub response: Vec<u32>,
}

impl SftExample {
    fn tokens(&self) -> usize {
        self.prompt.ids.len() + self.response.len()
    }
}

/// What is trained.
pub enum Trainable {
    /// Every weight, the vision tower included.
    All(Weights),
    /// The adapter's factors, over frozen weights of any type; the vision tower is frozen too.
    Lora(Weights, Adapter),
}

/// The trained weights, their optimiser, and the frozen model under an adapter.
pub struct SftTrainer {
    model: Config,
    config: SftConfig,
    frozen: Option<(Model, Adapter)>,
    parameters: Tensors,
    optimizer: AdamW,
    steps: u64,
    device: Device,
}

/// The network with the trained tensors as variables.
enum Network {
    All(Model, BTreeMap<String, Var>),
    Lora(Model, Box<Live>),
}

/// What a step of supervised training did.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct SftStats {
    /// Mean negative log-likelihood per response token, in nats.
    pub loss: f64,
    /// L2 norm before clipping.
    pub gradient_norm: f64,
    /// Of this step, after warm-up and decay.
    pub learning_rate: f64,
    /// Response tokens of the batch.
    pub tokens: usize,
    /// Whether nothing changed, because the gradient or the update was not finite.
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
    /// # Errors
    /// A setting out of its range; weights that do not fit the model, or that are trained and not F32.
    pub fn new(model: &Config, trainable: Trainable, config: SftConfig, device: &Device) -> Result<Self> {
        config.validate()?;
        let (parameters, frozen) = match trainable {
            Trainable::All(weights) => (weights.tensors().clone(), None),
            Trainable::Lora(weights, adapter) => {
                (adapter.tensors().clone(), Some((Model::taking(model, weights)?, adapter)))
            }
        };
        let optimizer = AdamW::new(config.optimizer.clone(), &parameters)?;
        let model = model.clone();
        Ok(Self { model, config, frozen, parameters, optimizer, steps: 0, device: device.clone() })
    }

    /// Steps so far, skipped ones included.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The trained tensors: all weights, or the adapter's factors.
    pub fn parameters(&self) -> &Tensors {
        &self.parameters
    }

    /// The trained adapter; `None` where all weights are trained.
    pub fn adapter(&self) -> Option<&Adapter> {
        self.frozen.as_ref().map(|(_, adapter)| adapter)
    }

    /// What a checkpoint needs to go on.
    pub fn state(&self) -> Result<LearnerState> {
        let parameters = match self.adapter() {
            Some(adapter) => adapter.to_bytes()?,
            None => safetensors::serialize(&self.parameters, None)
                .map_err(|error| Error::invalid("trained weights", error.to_string()))?,
        };
        Ok(LearnerState { parameters, optimizer: self.optimizer.to_bytes()?, steps: self.steps })
    }

    /// Takes up a state that [`SftTrainer::state`] returned under the same model and settings.
    ///
    /// # Errors
    /// A state that is damaged, or of other weights. Then nothing has changed.
    pub fn restore(&mut self, state: &LearnerState) -> Result<()> {
        let adapter = match &self.frozen {
            None => None,
            Some((_, adapter)) => {
                let lora = adapter.config().clone();
                Some(Adapter::from_bytes(&self.model, lora, &state.parameters, &self.device)?)
            }
        };
        let parameters = match &adapter {
            Some(adapter) => adapter.tensors().clone(),
            None => checkpoint::parse(&state.parameters, &self.device)?.into_iter().collect(),
        };
        let shapes =
            |tensors: &Tensors| tensors.iter().map(|(n, t)| (n.clone(), t.dims().to_vec())).collect::<Vec<_>>();
        if shapes(&parameters) != shapes(&self.parameters) {
            return Err(Error::invalid("trained weights", "the state is of other weights"));
        }
        let optimizer = AdamW::from_bytes(self.config.optimizer.clone(), &state.optimizer, &parameters)?;
        if let (Some((_, own)), Some(adapter)) = (&mut self.frozen, adapter) {
            *own = adapter;
        }
        (self.parameters, self.optimizer, self.steps) = (parameters, optimizer, state.steps);
        Ok(())
    }

    /// One update. Nothing changes on an error.
    pub fn step(&mut self, batch: &[SftExample]) -> Result<SftStats> {
        let tokens: usize = batch.iter().map(|e| e.response.len()).sum();
        if tokens == 0 {
            return Err(Error::invalid("sft batch", "holds no response token"));
        }
        let network = self.network()?;
        let mut gradients = Tensors::new();
        let mut loss = 0.0;
        // Parts run in parallel; they are always added in order.
        for examples in self.passes(batch).chunks(self.config.parts) {
            let parts: Vec<(f64, Tensors)> = examples
                .par_iter()
                .map(|examples| serially(|| self.gradient(&network, examples, tokens)))
                .collect::<Result<_>>()?;
            for (part, part_gradients) in parts {
                loss += part / tokens as f64;
                add(&mut gradients, part_gradients)?;
            }
        }
        let learning_rate = self.config.schedule.at(self.steps);
        let mut stats = SftStats { loss, gradient_norm: 0.0, learning_rate, tokens, skipped: false };
        match self.optimizer.step(&self.parameters, &gradients, learning_rate)? {
            Step::Taken { parameters, optimizer, gradient_norm } => {
                stats.gradient_norm = gradient_norm;
                stats.skipped = !self.take(parameters, optimizer)?;
            }
            Step::Skipped { gradient_norm } => {
                stats.gradient_norm = gradient_norm;
                stats.skipped = true;
            }
        }
        self.steps += 1;
        Ok(stats)
    }

    /// Whether these parameters can be used, and now are.
    fn take(&mut self, parameters: Tensors, optimizer: AdamW) -> Result<bool> {
        if let Some((_, adapter)) = &mut self.frozen {
            let next = Adapter::from_tensors(&self.model, adapter.config().clone(), parameters.clone())?;
            if next.overflow()?.is_some() {
                return Ok(false);
            }
            *adapter = next;
        }
        (self.parameters, self.optimizer) = (parameters, optimizer);
        Ok(true)
    }

    fn network(&self) -> Result<Network> {
        if let Some((model, adapter)) = &self.frozen {
            return Ok(Network::Lora(model.clone(), live(&self.model, adapter, &self.device)?.into()));
        }
        let var = |(name, tensor): (&String, &Tensor)| Ok((name.clone(), Var::from_tensor(tensor)?));
        let vars = self.parameters.iter().map(var).collect::<Result<_>>()?;
        Ok(Network::All(Model::new(&self.model, &Weights::of_vars(&vars))?, vars))
    }

    /// The studies of each pass through the network.
    fn passes<'a>(&self, batch: &'a [SftExample]) -> Vec<&'a [SftExample]> {
        let mut passes = Vec::new();
        for mut part in batch.chunks(batch.len().div_ceil(self.config.parts)) {
            while !part.is_empty() {
                let mut tokens = 0;
                let fit = part.iter().take_while(|example| {
                    tokens += example.tokens();
                    tokens <= self.config.micro_batch_tokens
                });
                let (pass, rest) = part.split_at(fit.count().max(1));
                passes.push(pass);
                part = rest;
            }
        }
        passes
    }

    /// Summed negative log-likelihood of the responses, and the gradient of its share in that of `tokens` tokens.
    fn gradient(&self, network: &Network, examples: &[SftExample], tokens: usize) -> Result<(f64, Tensors)> {
        let (Network::All(model, _) | Network::Lora(model, _)) = network;
        let features = self.features(model, examples)?;
        let prompts: Vec<EncodedPrompt> = examples
            .iter()
            .zip(features)
            .map(|(e, features)| EncodedPrompt { tokens: e.prompt.clone(), features })
            .collect();
        let packed = Packed::new(prompts.iter().zip(examples).map(|(p, e)| (p, vec![e.response.as_slice()])));
        match network {
            Network::All(_, vars) => {
                let loss = packed.log_probs(&model.language, None, 1.0)?.log_probs.sum_all()?.neg()?;
                let store = (&loss / tokens as f64)?.backward()?;
                Ok((f64::from(loss.to_scalar::<f32>()?), collect_gradients(&store, vars)?))
            }
            Network::Lora(_, live) => {
                let forward = Forward::new(&model.language, &packed, live, 1.0, self.config.recompute)?;
                let log_probs = &forward.output.log_probs;
                let loss = f64::from(log_probs.sum_all()?.neg()?.to_scalar::<f32>()?);
                let slope = Tensor::full(-1.0 / tokens as f32, log_probs.dims(), log_probs.device())?;
                let layers = forward.backward(&slope)?;
                Ok((loss, live.frozen.with_flats(&self.model, layers)?.tensors().clone()))
            }
        }
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

/// Adds `more` to `sum`, tensor by tensor.
fn add(sum: &mut Tensors, more: Tensors) -> Result<()> {
    for (name, tensor) in more {
        let total = match sum.get(&name) {
            Some(before) => (before + tensor)?,
            None => tensor,
        };
        sum.insert(name, total);
    }
    Ok(())
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
