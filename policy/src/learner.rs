//! A learning step: advantages of a batch of groups, log-probabilities under the current adapter, the objective's
//! gradient, AdamW on the adapter; one update, or one for each of several minibatches in each of several epochs.
//!
//! A step is transactional: it computes everything first and commits last, so an error or a panic leaves the learner
//! as it was.

mod batches;
mod config;
mod gradient;
mod group;
mod passes;
mod state;
mod stats;

use std::{sync::Arc, time::Instant};

use candle_core::Device;

use crate::{
    Adapter, Config, Result,
    algorithm::Algorithm,
    device::free_memory,
    memory::{DeviceKind, Memory},
    model::Language,
    objective::{Objective, Tally},
    optim::{AdamW, Step, Tensors},
};

pub use config::{LearnerConfig, Recompute, SharedPrefix};
pub(crate) use gradient::{Forward, Live, collect_gradients};
use group::Lesson;
pub use group::{TrainGroup, TrainResponse};
pub(crate) use passes::live;
use passes::{Gradient, Passes, Room, Seconds};
pub use state::LearnerState;
pub use stats::StepStats;

/// The trained adapter, its optimiser and the frozen model under them.
pub struct Learner {
    config: LearnerConfig,
    algorithm: Arc<dyn Algorithm>,
    objective: Objective,
    model: Config,
    /// The frozen weights, once for every device that takes part; the first holds adapter and optimiser.
    replicas: Vec<Language>,
    adapter: Adapter,
    optimizer: AdamW,
    steps: u64,
    /// The most packed tokens of a micro-batch, as far as devices that ran out of memory have taught.
    room: usize,
    /// More would exceed a device, it is said.
    memory: usize,
}

impl Learner {
    /// `language` holds the frozen base weights; they are the reference policy with the adapter off.
    ///
    /// # Errors
    /// A setting out of its range.
    pub fn new(
        model: Config,
        language: Language,
        adapter: Adapter,
        algorithm: Arc<dyn Algorithm>,
        config: LearnerConfig,
    ) -> Result<Self> {
        config.validate()?;
        let memory_limit = config.memory_limit.or_else(|| available(&model, &language, &adapter));
        let config = LearnerConfig { memory_limit, ..config };
        let optimizer = AdamW::new(config.optimizer.clone(), adapter.tensors())?;
        let objective = Objective::new(config.objective.clone())?;
        let (replicas, unlimited) = (vec![language], usize::MAX);
        let (room, memory) = (unlimited, unlimited);
        Ok(Self { config, algorithm, objective, model, replicas, adapter, optimizer, steps: 0, room, memory })
    }

    /// Runs out of memory, as a GPU would, at a micro-batch of more packed tokens than this: to try what comes of it.
    pub fn out_of_memory_above(mut self, tokens: usize) -> Self {
        self.memory = tokens;
        self
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

    /// What a checkpoint needs to go on from here, bit for bit.
    ///
    /// # Errors
    /// A tensor that cannot be read back from its device, or is not finite.
    pub fn state(&self) -> Result<LearnerState> {
        let (parameters, optimizer) = (self.adapter.to_bytes()?, self.optimizer.to_bytes()?);
        Ok(LearnerState { parameters, optimizer, steps: self.steps })
    }

    /// Takes up a state that [`Learner::state`] returned under the same model and settings.
    pub fn restore(&mut self, state: &LearnerState, device: &Device) -> Result<()> {
        let adapter = Adapter::from_bytes(&self.model, self.adapter.config().clone(), &state.parameters, device)?;
        let optimizer = AdamW::from_bytes(self.config.optimizer.clone(), &state.optimizer, adapter.tensors())?;
        (self.adapter, self.optimizer, self.steps) = (adapter, optimizer, state.steps);
        Ok(())
    }

    /// One step from whole groups: `minibatches` × `epochs` updates at one learning rate. An empty batch only counts
    /// the step. Where a device runs out of memory, the step is made again in micro-batches of half the size, and so are
    /// those after it; the gradient is the same to rounding.
    ///
    /// # Errors
    /// Rewards that the algorithm refuses; a failing computation, also that one response alone is too much for a device.
    /// Then nothing has changed.
    pub fn step(&mut self, groups: &[TrainGroup]) -> Result<StepStats> {
        let mut out_of_memory = 0;
        loop {
            match self.try_step(groups) {
                Err(error) if error.is_out_of_memory() => match self.halved(groups)? {
                    Some(room) => (self.room, out_of_memory) = (room, out_of_memory + 1),
                    None => return Err(error),
                },
                stats => return Ok(StepStats { out_of_memory, ..stats? }),
            }
        }
    }

    /// Half of what the largest micro-batch has, but one response at least; `None` if that is what it has already.
    fn halved(&self, groups: &[TrainGroup]) -> Result<Option<usize>> {
        let lessons = self.lessons(groups)?;
        let largest = self.passes(&self.adapter)?.largest(&lessons)?;
        let alone = groups.iter().map(TrainGroup::largest_alone).max().unwrap_or(0);
        let half = (largest / 2).max(alone);
        Ok((half < largest).then_some(half))
    }

    fn try_step(&mut self, groups: &[TrainGroup]) -> Result<StepStats> {
        let mut lessons = self.lessons(groups)?;
        let mut stats = StepStats::of(&lessons);
        stats.learning_rate = self.config.schedule.at(self.steps);
        let epochs = self.config.epochs;
        let all_tokens = stats.response_tokens * epochs;
        let mut minibatches = batches::minibatches(&mut lessons, self.config.minibatches);
        let (mut adapter, mut optimizer) = (self.adapter.clone(), self.optimizer.clone());
        // The first minibatch meets the policy of the step's start in its own update.
        if minibatches.len() > 1 {
            let passes = self.passes(&adapter)?;
            for minibatch in &mut minibatches[1..] {
                stats.spend(passes.keep(minibatch)?);
            }
        }
        let mut tally = Tally::default();
        let updates = minibatches.len();
        for update in 0..epochs * updates {
            let gradient = self.passes(&adapter)?.gradient(minibatches[update % updates], &self.objective)?;
            if gradient.tensors.is_empty() {
                continue;
            }
            stats.add(&gradient, all_tokens);
            tally.merge(&gradient.tally);
            let start = Instant::now();
            let (gradient_norm, moved) = self.update(&adapter, &optimizer, &gradient.tensors, stats.learning_rate)?;
            stats.gradient_norm += gradient_norm;
            match moved {
                Some(moved) => (adapter, optimizer) = moved,
                None => stats.skipped = true,
            }
            stats.optimizer_seconds += start.elapsed().as_secs_f64();
        }
        stats.gradient_norm /= stats.updates.max(1) as f64;
        stats.metrics = tally.metrics();
        (self.adapter, self.optimizer) = (adapter, optimizer);
        self.steps += 1;
        Ok(stats)
    }

    /// The objective's gradient for every factor of the adapter over all groups together, and what is known of the step
    /// without taking it. Empty for a batch without response tokens.
    pub fn gradient(&self, groups: &[TrainGroup]) -> Result<(StepStats, Tensors)> {
        let mut lessons = self.lessons(groups)?;
        let mut stats = StepStats::of(&lessons);
        let gradient = self.passes(&self.adapter)?.gradient(&mut lessons, &self.objective)?;
        if !gradient.tensors.is_empty() {
            stats.add(&gradient, stats.response_tokens);
            stats.metrics = gradient.tally.metrics();
        }
        Ok((stats, gradient.tensors))
    }

    fn lessons<'a>(&self, groups: &'a [TrainGroup]) -> Result<Vec<Lesson<'a>>> {
        groups.iter().map(|group| Lesson::of(group, &*self.algorithm)).collect()
    }

    fn passes<'a>(&'a self, adapter: &'a Adapter) -> Result<Passes<'a>> {
        Passes::new(&self.config, &self.model, &self.replicas, adapter, Room { tokens: self.room, memory: self.memory })
    }

    /// The gradient's norm, and what an update makes of adapter and optimiser; `None` where that cannot be used.
    fn update(
        &self,
        adapter: &Adapter,
        optimizer: &AdamW,
        gradients: &Tensors,
        learning_rate: f64,
    ) -> Result<(f64, Option<(Adapter, AdamW)>)> {
        match optimizer.step(adapter.tensors(), gradients, learning_rate)? {
            Step::Taken { parameters, optimizer, gradient_norm } => {
                let adapter = Adapter::from_tensors(&self.model, adapter.config().clone(), parameters)?;
                let usable = adapter.overflow()?.is_none();
                Ok((gradient_norm, usable.then_some((adapter, optimizer))))
            }
            Step::Skipped { gradient_norm } => Ok((gradient_norm, None)),
        }
    }
}

/// What a step may take of a GPU where no limit is set, as [`LearnerConfig::memory_limit`] counts: what is there already
/// and nine tenths of what is free now.
fn available(model: &Config, language: &Language, adapter: &Adapter) -> Option<u64> {
    let device = language.device();
    let free = free_memory(device)?;
    let memory = Memory::new(model, language.head().dtype(), adapter.config(), DeviceKind::of(device));
    Some(memory.weights() + memory.context() + free / 10 * 9)
}

impl StepStats {
    /// Takes in one update of a step that goes over `all_tokens` altogether.
    fn add(&mut self, gradient: &Gradient, all_tokens: usize) {
        let share = gradient.tally.tokens() / all_tokens as f64;
        self.updates += 1;
        self.loss += share * gradient.loss;
        self.policy_loss += share * gradient.policy_loss;
        self.kl += share * gradient.kl;
        self.entropy += share * gradient.entropy;
        self.spend(gradient.seconds);
    }

    fn spend(&mut self, seconds: Seconds) {
        self.reference_seconds += seconds.reference;
        self.forward_seconds += seconds.forward;
        self.backward_seconds += seconds.backward;
    }
}
