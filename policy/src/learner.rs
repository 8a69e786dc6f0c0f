//! One learning step: log-probabilities of a batch of groups under the current adapter, advantages, the objective's
//! gradient, one AdamW step on the adapter.
//!
//! A step is transactional: it computes everything first and commits last, so an error or a panic leaves the learner
//! as it was.

mod batches;
mod config;
mod gradient;
mod group;
mod state;

use std::{collections::BTreeMap, time::Instant};

use addendum_kernels::serially;
use candle_core::{Device, Tensor, Var};
use rayon::prelude::*;
use serde::Serialize;

use crate::{
    Adapter, Config, Error, Result,
    memory::{Memory, StepShape},
    model::Language,
    objective::{Batch, Objective, ObjectiveMetrics, ResponseTerms, Tally, group_advantages, without_advantage},
    optim::{AdamW, Step, Tensors},
    pack::Packed,
};

use batches::Piece;
pub use config::{LearnerConfig, Recompute};
pub(crate) use gradient::collect_gradients;
use gradient::{Forward, Live};
pub use group::{TrainGroup, TrainResponse};
pub use state::LearnerState;

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
    pub advantage_std: f64,
    pub zero_variance_groups: usize,
    pub gradient_norm: f64,
    pub learning_rate: f64,
    /// The gradient norm, or what the step would have made of adapter and optimiser, was not finite, so nothing was
    /// changed.
    pub skipped: bool,
    pub response_tokens: usize,
    pub reference_seconds: f64,
    pub forward_seconds: f64,
    pub backward_seconds: f64,
    pub optimizer_seconds: f64,
}

/// The trained adapter, its optimiser and the frozen model under them.
pub struct Learner {
    config: LearnerConfig,
    objective: Objective,
    model: Config,
    /// The frozen weights, once for every device that takes part; the first holds adapter and optimiser.
    replicas: Vec<Language>,
    adapter: Adapter,
    optimizer: AdamW,
    steps: u64,
}

struct Plan<'a> {
    batches: Vec<Vec<Piece<'a>>>,
    recompute: bool,
    /// Micro-batches that run at the same time.
    lanes: usize,
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
        Ok(Self { config, objective, model, replicas: vec![language], adapter, optimizer, steps: 0 })
    }

    /// Spreads the micro-batches over more devices, each with the same frozen weights. The update is the same to rounding.
    pub fn with_replicas(mut self, others: impl IntoIterator<Item = Language>) -> Self {
        self.replicas.extend(others);
        self
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
        let (mut stats, gradients) = self.gradient(groups)?;
        stats.learning_rate = self.config.schedule.at(self.steps);
        if stats.response_tokens > 0 {
            let start = Instant::now();
            match self.optimizer.step(self.adapter.tensors(), &gradients, stats.learning_rate)? {
                Step::Taken { parameters, optimizer, gradient_norm } => {
                    stats.gradient_norm = gradient_norm;
                    let adapter = Adapter::from_tensors(&self.model, self.adapter.config().clone(), parameters)?;
                    stats.skipped = adapter.overflow()?.is_some();
                    if !stats.skipped {
                        (self.adapter, self.optimizer) = (adapter, optimizer);
                    }
                }
                Step::Skipped { gradient_norm } => {
                    stats.gradient_norm = gradient_norm;
                    stats.skipped = true;
                }
            }
            stats.optimizer_seconds = start.elapsed().as_secs_f64();
        }
        self.steps += 1;
        Ok(stats)
    }

    /// The objective's gradient for every factor of the adapter, and what is known of the step without taking it. Empty
    /// for a batch without response tokens.
    pub fn gradient(&self, groups: &[TrainGroup]) -> Result<(StepStats, Tensors)> {
        let mut stats = StepStats::default();
        let rewards: Vec<Vec<f64>> = groups.iter().map(|g| g.responses.iter().map(|r| r.reward).collect()).collect();
        let advantages: Vec<Vec<f64>> =
            rewards.iter().map(|r| group_advantages(r, self.config.advantage)).collect::<Result<_>>()?;
        stats.zero_variance_groups = rewards.iter().filter(|r| without_advantage(r)).count();
        stats.advantage_std = deviation(advantages.iter().flatten().copied());
        let batch = Batch::of(groups.iter().flat_map(|g| g.responses.iter().map(|r| r.tokens.len())));
        stats.response_tokens = batch.tokens;
        let mut gradients = Tensors::new();
        if batch.tokens == 0 {
            return Ok((stats, gradients));
        }

        let live: Vec<Live> = self.replicas.iter().map(|r| self.live(r.device())).collect::<Result<_>>()?;
        let plan = self.plan(groups, &advantages)?;
        let part = |(i, pieces): (usize, &Vec<Piece>)| {
            let replica = i % self.replicas.len();
            self.part(pieces, batch, &self.replicas[replica], &live[replica], plan.recompute)
        };
        let mut tally = Tally::default();
        // Parts may run in parallel; they are always added in order.
        let numbered: Vec<_> = plan.batches.iter().enumerate().collect();
        for batches in numbered.chunks(plan.lanes) {
            let parts: Vec<Part> = match *batches {
                [one] if plan.lanes == 1 => vec![part(one)?],
                _ => batches.par_iter().map(|&batch| serially(|| part(batch))).collect::<Result<_>>()?,
            };
            for part in parts {
                add(&mut gradients, part.gradients)?;
                tally.merge(&part.tally);
                stats.loss += part.loss[0];
                stats.policy_loss += part.loss[1];
                stats.kl += part.loss[2];
                stats.entropy += part.entropy / batch.tokens as f64;
                stats.reference_seconds += part.seconds[0];
                stats.forward_seconds += part.seconds[1];
                stats.backward_seconds += part.seconds[2];
            }
        }
        stats.metrics = tally.metrics();
        Ok((stats, gradients))
    }

    /// The adapter as variables on a replica's device.
    fn live(&self, device: &Device) -> Result<Live> {
        let vars: BTreeMap<String, Var> = self
            .adapter
            .tensors()
            .iter()
            .map(|(name, tensor)| Ok((name.clone(), Var::from_tensor(&tensor.to_device(device)?)?)))
            .collect::<Result<_>>()?;
        let adapter = |tensors| Adapter::from_tensors(&self.model, self.adapter.config().clone(), tensors);
        let trained = adapter(vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect())?;
        let frozen = adapter(vars.iter().map(|(name, var)| (name.clone(), var.as_detached_tensor())).collect())?;
        Ok(Live { vars, trained, frozen })
    }

    fn plan<'a>(&self, groups: &'a [TrainGroup], advantages: &[Vec<f64>]) -> Result<Plan<'a>> {
        let always = self.config.recompute == Recompute::Always;
        let (replicas, shared) = (self.replicas.len(), self.config.shared_prefix);
        let tokens: usize = groups.iter().map(TrainGroup::tokens).sum();
        let together = match replicas {
            1 => self.config.micro_batch_tokens,
            n => self.config.micro_batch_tokens.min(tokens.div_ceil(n)),
        };
        let Some(limit) = self.config.memory_limit else {
            let batches = batches::cut(groups, advantages, shared, together, usize::MAX)?;
            // One micro-batch uses all threads; several use one each.
            let lanes = match replicas {
                1 if always || batches.len() == 1 => 1,
                1 => rayon::current_num_threads(),
                n => n,
            };
            return Ok(Plan { batches, recompute: always, lanes });
        };
        let memory = Memory::new(&self.model, self.replicas[0].head().dtype(), self.adapter.config());
        let longest = groups.iter().map(TrainGroup::tokens).max().unwrap_or(0);
        let fits = memory.tokens_within(limit, false) >= longest;
        let recompute = always || (self.config.recompute == Recompute::WhenNeeded && !fits);
        let most = memory.tokens_within(limit, recompute);
        let batches = batches::cut(groups, advantages, shared, together, most).map_err(|error| {
            let fixed = memory.step(StepShape { tokens: 0, response_tokens: 0, recompute }).total();
            Error::invalid("learner.memory_limit", format!("{limit} bytes, {fixed} of them for the weights: {error}"))
        })?;
        Ok(Plan { batches, recompute, lanes: replicas })
    }

    fn part(&self, pieces: &[Piece], batch: Batch, language: &Language, live: &Live, recompute: bool) -> Result<Part> {
        let packed = Packed::new(
            pieces.iter().map(|p| (p.prompt, p.responses.iter().map(|(r, _)| r.tokens.as_slice()).collect())),
        );
        let mut clock = Clock::default();
        let reference = if self.config.objective.kl_coefficient == 0.0 {
            None
        } else {
            let log_probs = packed.log_probs(language, None, self.config.temperature)?.log_probs;
            Some(log_probs.to_vec1::<f32>()?)
        };
        let reference_seconds = clock.lap();
        let forward = Forward::new(language, &packed, live, self.config.temperature, recompute)?;
        let log_probs = &forward.output.log_probs;
        let new = log_probs.to_vec1::<f32>()?;
        let entropy = forward.output.entropy.to_vec1::<f32>()?.iter().map(|&h| f64::from(h)).sum();
        let forward_seconds = clock.lap();

        let mut at = 0;
        let mut terms = Vec::new();
        for (response, advantage) in pieces.iter().flat_map(|p| &p.responses) {
            let range = at..at + response.tokens.len();
            at = range.end;
            terms.push(ResponseTerms {
                new: &new[range.clone()],
                // One update per batch: the proximal policy is the one being trained, before it moves.
                proximal: &new[range.clone()],
                behaviour: response.behaviour.as_deref(),
                reference: reference.as_ref().map(|r| &r[range]),
                mask: None,
                advantage: *advantage,
            });
        }
        let output = self.objective.evaluate_part(&terms, batch)?;
        let slope: Vec<f32> = output.gradient.concat();
        let slope = Tensor::from_vec(slope, log_probs.dims(), log_probs.device())?;
        let home = self.replicas[0].device();
        let mut gradients = forward.backward(&slope)?;
        for gradient in gradients.values_mut() {
            *gradient = gradient.to_device(home)?;
        }
        // Another thread adds them up, on a stream of its own where the device has streams.
        language.device().synchronize()?;
        Ok(Part {
            gradients,
            loss: [output.loss, output.policy_loss, output.kl],
            entropy,
            tally: output.tally,
            seconds: [reference_seconds, forward_seconds, clock.lap()],
        })
    }
}

/// Adds `more` to `sum`, tensor by tensor.
pub(crate) fn add(sum: &mut Tensors, more: Tensors) -> Result<()> {
    for (name, tensor) in more {
        let total = match sum.get(&name) {
            Some(before) => (before + tensor)?,
            None => tensor,
        };
        sum.insert(name, total);
    }
    Ok(())
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
