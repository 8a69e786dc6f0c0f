//! One learning step: log-probabilities of a batch of groups under the current adapter, advantages, the objective's
//! gradient, one AdamW step on the adapter.
//!
//! A step is transactional: it computes everything first and commits last, so an error or a panic leaves the learner
//! as it was.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use candle_core::{Device, Tensor, Var};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    Adapter, Config, Error, Result,
    model::Language,
    objective::{
        Batch, Normalize, Objective, ObjectiveConfig, ObjectiveMetrics, ResponseTerms, Tally, group_advantages,
    },
    ops::serially,
    optim::{AdamW, AdamWConfig, Step, Tensors},
    pack::{EncodedPrompt, Packed},
    schedule::Schedule,
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LearnerConfig {
    pub objective: ObjectiveConfig,
    pub advantage: Normalize,
    pub optimizer: AdamWConfig,
    pub schedule: Schedule,
    /// Temperature of the log-probabilities: the one the reports were sampled at.
    pub temperature: f64,
    /// Groups go through the network together up to this many packed tokens; a group is never split.
    pub micro_batch_tokens: usize,
}

impl Default for LearnerConfig {
    fn default() -> Self {
        Self {
            objective: ObjectiveConfig::default(),
            advantage: Normalize::default(),
            optimizer: AdamWConfig::default(),
            schedule: Schedule::default(),
            temperature: 1.0,
            micro_batch_tokens: 2048,
        }
    }
}

impl LearnerConfig {
    pub fn validate(&self) -> Result<()> {
        self.objective.validate()?;
        self.optimizer.validate()?;
        self.schedule.validate()?;
        if !(self.temperature.is_finite() && self.temperature > 0.0) {
            return Err(Error::invalid("learner.temperature", format!("{} is not above 0", self.temperature)));
        }
        Ok(())
    }
}

/// A response with the reward it earned.
#[derive(Clone, Debug)]
pub struct TrainResponse {
    pub tokens: Vec<u32>,
    /// Log-probabilities reported by the policy that sampled it; `None` for an edited report.
    pub behaviour: Option<Vec<f32>>,
    pub reward: f64,
}

/// A prompt with all responses of its group.
#[derive(Clone, Debug)]
pub struct TrainGroup {
    pub prompt: Arc<EncodedPrompt>,
    pub responses: Vec<TrainResponse>,
}

/// What a step did. Times are in seconds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StepStats {
    pub loss: f64,
    pub policy_loss: f64,
    pub kl: f64,
    /// Mean entropy of the response tokens, in nats.
    pub entropy: f64,
    pub metrics: ObjectiveMetrics,
    /// Standard deviation of the advantages over the batch.
    pub advantage_spread: f64,
    pub zero_variance_groups: usize,
    pub gradient_norm: f64,
    pub learning_rate: f64,
    /// The gradient norm was not finite, so nothing was changed.
    pub skipped: bool,
    pub response_tokens: usize,
    pub reference_seconds: f64,
    pub forward_seconds: f64,
    pub backward_seconds: f64,
    pub optimizer_seconds: f64,
}

/// What a checkpoint needs to go on: safetensors bytes and the number of steps.
#[derive(Clone, Debug, PartialEq)]
pub struct LearnerState {
    pub adapter: Vec<u8>,
    pub optimizer: Vec<u8>,
    pub steps: u64,
}

impl LearnerState {
    /// Steps and the adapter's length as u64 (little-endian), the adapter, the optimiser.
    pub fn to_bytes(&self) -> Vec<u8> {
        let header = [self.steps, self.adapter.len() as u64].map(u64::to_le_bytes).concat();
        [header.as_slice(), &self.adapter, &self.optimizer].concat()
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let truncated = || Error::invalid("learner state", format!("{} bytes are too few", bytes.len()));
        let (steps, rest) = bytes.split_first_chunk().ok_or_else(truncated)?;
        let (length, rest) = rest.split_first_chunk().ok_or_else(truncated)?;
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| truncated())?;
        let (adapter, optimizer) = rest.split_at_checked(length).ok_or_else(truncated)?;
        Ok(Self { steps: u64::from_le_bytes(*steps), adapter: adapter.into(), optimizer: optimizer.into() })
    }
}

/// The trained adapter, its optimiser and the frozen model under them.
pub struct Learner {
    config: LearnerConfig,
    objective: Objective,
    model: Config,
    language: Language,
    adapter: Adapter,
    optimizer: AdamW,
    steps: u64,
}

/// A gradient by parts: what one micro-batch contributes.
struct Part {
    gradients: Tensors,
    loss: [f64; 3],
    entropy: f64,
    tally: Tally,
    seconds: [f64; 3],
}

impl Learner {
    /// `language` holds the frozen base weights; they are the reference policy with the adapter off.
    pub fn new(model: Config, language: Language, adapter: Adapter, config: LearnerConfig) -> Result<Self> {
        config.validate()?;
        let optimizer = AdamW::new(config.optimizer.clone(), adapter.tensors())?;
        let objective = Objective::new(config.objective.clone())?;
        Ok(Self { config, objective, model, language, adapter, optimizer, steps: 0 })
    }

    /// The current weights, immutable.
    pub fn adapter(&self) -> Adapter {
        self.adapter.clone()
    }

    /// Steps so far, skipped ones included.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    pub fn state(&self) -> Result<LearnerState> {
        let (adapter, optimizer) = (self.adapter.to_bytes()?, self.optimizer.to_bytes()?);
        Ok(LearnerState { adapter, optimizer, steps: self.steps })
    }

    /// Takes up a state that [`Learner::state`] returned under the same model and settings.
    pub fn restore(&mut self, state: &LearnerState, device: &Device) -> Result<()> {
        let adapter = Adapter::from_bytes(&self.model, self.adapter.config().clone(), &state.adapter, device)?;
        let optimizer = AdamW::from_bytes(self.config.optimizer.clone(), &state.optimizer, adapter.tensors())?;
        (self.adapter, self.optimizer, self.steps) = (adapter, optimizer, state.steps);
        Ok(())
    }

    /// One update from whole groups. An empty batch only counts the step.
    pub fn step(&mut self, groups: &[TrainGroup]) -> Result<StepStats> {
        let mut stats = StepStats { learning_rate: self.config.schedule.at(self.steps), ..StepStats::default() };
        let advantages: Vec<Vec<f64>> = groups
            .iter()
            .map(|g| {
                let rewards: Vec<f64> = g.responses.iter().map(|r| r.reward).collect();
                group_advantages(&rewards, self.config.advantage)
            })
            .collect::<Result<_>>()?;
        stats.zero_variance_groups = advantages.iter().filter(|a| a.iter().all(|&x| x == 0.0)).count();
        stats.advantage_spread = deviation(advantages.iter().flatten().copied());
        let batch = Batch::of(groups.iter().flat_map(|g| g.responses.iter().map(|r| r.tokens.len())));
        stats.response_tokens = batch.tokens;
        if batch.tokens == 0 {
            self.steps += 1;
            return Ok(stats);
        }

        let vars: BTreeMap<String, Var> = self
            .adapter
            .tensors()
            .iter()
            .map(|(name, tensor)| Ok((name.clone(), Var::from_tensor(tensor)?)))
            .collect::<Result<_>>()?;
        let live = vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
        let live = Adapter::from_tensors(&self.model, self.adapter.config().clone(), live)?;
        // Parts may run in parallel; they are always added in order.
        let parts: Vec<Part> = match &self.micro_batches(groups, &advantages)[..] {
            [whole] => vec![self.part(whole, batch, &live, &vars)?],
            parts => {
                parts.par_iter().map(|part| serially(|| self.part(part, batch, &live, &vars))).collect::<Result<_>>()?
            }
        };

        let mut gradients = Tensors::new();
        let mut tally = Tally::default();
        for part in parts {
            for (name, gradient) in part.gradients {
                let sum = match gradients.get(&name) {
                    Some(sum) => (sum + gradient)?,
                    None => gradient,
                };
                gradients.insert(name, sum);
            }
            tally.merge(&part.tally);
            stats.loss += part.loss[0];
            stats.policy_loss += part.loss[1];
            stats.kl += part.loss[2];
            stats.entropy += part.entropy / batch.tokens as f64;
            stats.reference_seconds += part.seconds[0];
            stats.forward_seconds += part.seconds[1];
            stats.backward_seconds += part.seconds[2];
        }
        stats.metrics = tally.metrics();
        let start = Instant::now();
        match self.optimizer.step(self.adapter.tensors(), &gradients, stats.learning_rate)? {
            Step::Taken { parameters, optimizer, gradient_norm } => {
                stats.gradient_norm = gradient_norm;
                self.adapter = Adapter::from_tensors(&self.model, self.adapter.config().clone(), parameters)?;
                self.optimizer = optimizer;
            }
            Step::Skipped { gradient_norm } => {
                stats.gradient_norm = gradient_norm;
                stats.skipped = true;
            }
        }
        self.steps += 1;
        stats.optimizer_seconds = start.elapsed().as_secs_f64();
        Ok(stats)
    }

    fn micro_batches<'a>(
        &self,
        groups: &'a [TrainGroup],
        advantages: &'a [Vec<f64>],
    ) -> Vec<Vec<(&'a TrainGroup, &'a [f64])>> {
        let mut parts: Vec<Vec<_>> = Vec::new();
        let mut room = 0;
        for (group, advantages) in groups.iter().zip(advantages) {
            let tokens = group.prompt.tokens.ids.len() + group.responses.iter().map(|r| r.tokens.len()).sum::<usize>();
            match parts.last_mut() {
                Some(part) if tokens <= room => {
                    part.push((group, advantages.as_slice()));
                    room -= tokens;
                }
                _ => {
                    parts.push(vec![(group, advantages.as_slice())]);
                    room = self.config.micro_batch_tokens.saturating_sub(tokens);
                }
            }
        }
        parts
    }

    fn part(
        &self,
        groups: &[(&TrainGroup, &[f64])],
        batch: Batch,
        live: &Adapter,
        vars: &BTreeMap<String, Var>,
    ) -> Result<Part> {
        let packed = Packed::new(
            groups.iter().map(|(g, _)| (&*g.prompt, g.responses.iter().map(|r| r.tokens.as_slice()).collect())),
        );
        let mut clock = Clock::default();
        let reference = if self.config.objective.kl_coefficient == 0.0 {
            None
        } else {
            let log_probs = packed.log_probs(&self.language, None, self.config.temperature)?.log_probs;
            Some(log_probs.to_vec1::<f32>()?)
        };
        let reference_seconds = clock.lap();
        let current = packed.log_probs(&self.language, Some(live), self.config.temperature)?;
        let new = current.log_probs.to_vec1::<f32>()?;
        let entropy = current.entropy.to_vec1::<f32>()?.iter().map(|&h| f64::from(h)).sum();
        let forward_seconds = clock.lap();

        let mut at = 0;
        let mut terms = Vec::new();
        for (group, advantages) in groups {
            for (response, &advantage) in group.responses.iter().zip(*advantages) {
                let range = at..at + response.tokens.len();
                at = range.end;
                terms.push(ResponseTerms {
                    new: &new[range.clone()],
                    // One update per batch: the proximal policy is the one being trained, before it moves.
                    proximal: &new[range.clone()],
                    behaviour: response.behaviour.as_deref(),
                    reference: reference.as_ref().map(|r| &r[range]),
                    mask: None,
                    advantage,
                });
            }
        }
        let output = self.objective.evaluate_part(&terms, batch)?;
        let slope: Vec<f32> = output.gradient.concat();
        let slope = Tensor::from_vec(slope, current.log_probs.dims(), current.log_probs.device())?;
        let store = (current.log_probs * slope)?.sum_all()?.backward()?;
        let gradients = collect_gradients(&store, vars)?;
        Ok(Part {
            gradients,
            loss: [output.loss, output.policy_loss, output.kl],
            entropy,
            tally: output.tally,
            seconds: [reference_seconds, forward_seconds, clock.lap()],
        })
    }
}

/// The gradient of every variable; one that received none is an error, because candle drops gradients silently.
pub(crate) fn collect_gradients(
    store: &candle_core::backprop::GradStore,
    vars: &BTreeMap<String, Var>,
) -> Result<Tensors> {
    vars.iter()
        .map(|(name, var)| match store.get(var.as_tensor()) {
            Some(gradient) => Ok((name.clone(), gradient.detach())),
            None => Err(Error::invalid(format!("variable {name}"), "received no gradient")),
        })
        .collect()
}

fn deviation(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let n = values.clone().count().max(1) as f64;
    let mean = values.clone().sum::<f64>() / n;
    (values.map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt()
}

struct Clock(Instant);

impl Default for Clock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock {
    fn lap(&mut self) -> f64 {
        let seconds = self.0.elapsed().as_secs_f64();
        self.0 = Instant::now();
        seconds
    }
}
