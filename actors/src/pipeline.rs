//! The public face: put a run together and start it.

mod begin;

use std::{future::Future, path::PathBuf, sync::Arc};

use addendum_replay::RolloutGroup;
use addendum_studies::{Dataset, Study};

use crate::{
    AsyncSampler, BatchSampler, EngineError, Evaluate, Event, Faults, Learner, Moment, Pool, Recording, RunConfig,
    RunError, Sampler, Stage, StageError,
    ahead::Foresee,
    evaluator::BuildEvaluator,
    identity::Identity,
    recording::Replayed,
    running::Stop,
    sampler::{Batch, BuildSampler, OneByOne, Remote},
    slot::Worth,
    start::BuildLearner,
    trace::Listener,
    writer::Observer,
};

/// A run to be started. `S` is the type of policy snapshots.
///
/// ```no_run
/// use std::sync::Arc;
///
/// use addendum_actors::{EngineError, Event, Learner, Pipeline, RunConfig, Sampler, Variant, stages::RewardStage};
/// use addendum_rewards::{Backends, RewardConfig, Scorer};
/// use addendum_studies::{Phantom, PhantomConfig};
///
/// /// Trains any policy that can sample and learn, and returns its last snapshot.
/// async fn train<S: Send + Sync + 'static, M: Sampler<S> + 'static>(
///     sampler: impl Fn() -> M + Send + Sync + 'static,
///     learner: impl Learner<S> + 'static,
/// ) -> Result<Arc<S>, EngineError> {
///     let config = RunConfig { steps: 20, variant: Variant::Grpo, ..RunConfig::default() };
///     let studies = Arc::new(Phantom::new(PhantomConfig::default())?);
///     let scorer = Arc::new(Scorer::new(Backends::lexicon(), &RewardConfig::default())?);
///     let run = Pipeline::new(config, studies, move |_| Ok(sampler()), move || Ok(learner))
///         .stage("rewards", 2, move || Ok(RewardStage::new(scorer.clone())))
///         .observer(|event| {
///             if let Event::Step(record) = event {
///                 println!("step {}: reward {:.3}", record.step, record.reward_sampled);
///             }
///         })
///         .folder("runs/mine");
///     Ok(run.run().await?.snapshot)
/// }
/// ```
#[must_use]
pub struct Pipeline<S> {
    config: RunConfig,
    dataset: Arc<dyn Dataset>,
    samplers: BuildSampler<S>,
    learner: BuildLearner<S>,
    stages: Vec<Pool>,
    worth: Option<Worth>,
    foresee: Vec<Foresee>,
    evaluator: Option<BuildEvaluator<S>>,
    observer: Observer,
    identity: Identity,
    folder: Option<PathBuf>,
    /// Its file, and the most entries of it.
    trace: Option<(PathBuf, u32)>,
    /// What is trained on again.
    recording: Option<Arc<Recording>>,
    listener: Option<Listener>,
    resume: bool,
    stop: Option<Stop>,
    faults: Faults,
}

impl<S: Send + Sync + 'static> Pipeline<S> {
    /// A run over `dataset`. `samplers` builds the sampler of the actor with the given index, once at its start and
    /// again after a crash; `learner` builds the learner. Both are called on the compute thread that will own the
    /// result.
    pub fn new<M, L>(
        config: RunConfig,
        dataset: Arc<dyn Dataset>,
        samplers: impl Fn(usize) -> Result<M, EngineError> + Send + Sync + 'static,
        learner: impl FnOnce() -> Result<L, EngineError> + Send + 'static,
    ) -> Self
    where
        M: Sampler<S> + 'static,
        L: Learner<S> + 'static,
    {
        let build = move |index| -> Result<Batch<S>, EngineError> { Ok(Box::new(OneByOne::new(samplers(index)?))) };
        Self::with(config, dataset, BuildSampler::Batch(Arc::new(build)), learner)
    }

    /// As [`Pipeline::new`], with samplers that compute many requests together.
    pub fn with_batch_samplers<M, L>(
        config: RunConfig,
        dataset: Arc<dyn Dataset>,
        samplers: impl Fn(usize) -> Result<M, EngineError> + Send + Sync + 'static,
        learner: impl FnOnce() -> Result<L, EngineError> + Send + 'static,
    ) -> Self
    where
        M: BatchSampler<S> + 'static,
        L: Learner<S> + 'static,
    {
        let build = move |index| -> Result<Batch<S>, EngineError> { Ok(Box::new(samplers(index)?)) };
        Self::with(config, dataset, BuildSampler::Batch(Arc::new(build)), learner)
    }

    /// As [`Pipeline::new`], with samplers that wait for what others compute, several requests at a time.
    pub fn with_async_samplers<M, L>(
        config: RunConfig,
        dataset: Arc<dyn Dataset>,
        samplers: impl Fn(usize) -> Result<M, EngineError> + Send + Sync + 'static,
        learner: impl FnOnce() -> Result<L, EngineError> + Send + 'static,
    ) -> Self
    where
        M: AsyncSampler<S> + 'static,
        L: Learner<S> + 'static,
    {
        let build = move |index| -> Result<Remote<S>, EngineError> { Ok(Arc::new(samplers(index)?)) };
        Self::with(config, dataset, BuildSampler::Remote(Arc::new(build)), learner)
    }

    /// A run that trains again on what an earlier one sampled, whoever sampled it, batch for batch: the same reports make
    /// the same adapter, and other settings of editor, rewards, algorithm or learner are compared on the same reports.
    /// `config` must be in fixed-lag mode, with the seed of the recorded run if edits are to be the same.
    pub fn replaying<L>(
        config: RunConfig,
        dataset: Arc<dyn Dataset>,
        recording: Recording,
        learner: impl FnOnce() -> Result<L, EngineError> + Send + 'static,
    ) -> Self
    where
        L: Learner<S> + 'static,
    {
        let recording = Arc::new(recording);
        let replayed = recording.clone();
        let samplers = move |_| Ok(Replayed(replayed.clone()));
        Self { recording: Some(recording), ..Self::new(config, dataset, samplers, learner) }
    }

    fn with<L: Learner<S> + 'static>(
        config: RunConfig,
        dataset: Arc<dyn Dataset>,
        samplers: BuildSampler<S>,
        learner: impl FnOnce() -> Result<L, EngineError> + Send + 'static,
    ) -> Self {
        Self {
            config,
            dataset,
            samplers,
            learner: Box::new(move || Ok(Box::new(learner()?))),
            stages: Vec::new(),
            worth: None,
            foresee: Vec::new(),
            evaluator: None,
            observer: Box::new(|_| {}),
            identity: Identity::new(),
            folder: None,
            trace: None,
            recording: None,
            listener: None,
            resume: false,
            stop: None,
            faults: Faults::default(),
        }
    }

    /// Appends a computing stage to the chain: [`Pool::computing`] without a time limit. Names must differ from each
    /// other.
    pub fn stage<T: Stage + 'static>(
        self,
        name: impl Into<String>,
        workers: usize,
        build: impl Fn() -> Result<T, StageError> + Send + Sync + 'static,
    ) -> Self {
        self.append(Pool::computing(name, workers, build))
    }

    /// Appends a stage of any kind to the chain.
    pub fn append(mut self, stage: Pool) -> Self {
        self.stages.push(stage);
        self
    }

    /// Asks `worth` about every scored group, before it is kept for training, whether it is worth a step: dynamic
    /// sampling (DAPO, arXiv 2503.14476, section 3.2). One that is not gives its place to another study, up to
    /// [`RunConfig::max_draws`] draws; a panic costs the group's ticket an attempt. For a reproducible run the answer
    /// must depend on the group alone.
    pub fn worth(mut self, worth: Arc<dyn Fn(&RolloutGroup) -> bool + Send + Sync>) -> Self {
        self.worth = Some(worth);
        self
    }

    /// Has `get_ready` called, on a thread of its own, with studies whose tickets will be issued soon, up to
    /// [`RunConfig::prefetch`] tickets ahead, so that what it leaves in a cache need not be waited for. It may be called
    /// for a study in vain, or not at all, so no result may depend on it; its panics are passed over.
    pub fn foresee(mut self, get_ready: impl Fn(&Study) + Send + Sync + 'static) -> Self {
        self.foresee.push(Arc::new(get_ready));
        self
    }

    /// Puts a stage into the chain right before the one called `name`.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn before(mut self, name: &str, stage: Pool) -> Result<Self, RunError> {
        self.stages.insert(self.place_of(name)?, stage);
        Ok(self)
    }

    /// Puts a stage into the chain right after the one called `name`.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn after(mut self, name: &str, stage: Pool) -> Result<Self, RunError> {
        self.stages.insert(self.place_of(name)? + 1, stage);
        Ok(self)
    }

    fn place_of(&self, name: &str) -> Result<usize, RunError> {
        self.stages.iter().position(|stage| stage.name == name).ok_or_else(|| RunError::NoSuchStage {
            name: name.into(),
            stages: self.stages.iter().map(|stage| stage.name.clone()).collect(),
        })
    }

    /// Evaluates the last version, every [`RunConfig::evaluate_every`] steps, and the first one if
    /// [`RunConfig::evaluate_first`] says so. Training waits for no evaluation; the run ends when all are done, or at once
    /// if it is stopped.
    pub fn evaluator<E: Evaluate<S> + 'static>(
        mut self,
        build: impl Fn() -> Result<E, EngineError> + Send + Sync + 'static,
    ) -> Self {
        self.evaluator = Some(Arc::new(move || Ok(Box::new(build()?))));
        self
    }

    /// Hears every [`Event`], in order, on the recorder's thread. Should it panic, it misses that event only.
    pub fn observer(mut self, observer: impl FnMut(&Event) + Send + 'static) -> Self {
        self.observer = Box::new(observer);
        self
    }

    /// Writes `metrics.jsonl`, `rollouts.jsonl`, `evaluations.jsonl` and checkpoints into `folder`, which must not
    /// hold another run.
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Writes what every actor does and waits for, and the way of every ticket, into the file at `path`, which
    /// <https://ui.perfetto.dev> and chrome://tracing open. A file that is there is replaced.
    pub fn trace(mut self, path: impl Into<PathBuf>) -> Self {
        self.trace = Some((path.into(), u32::MAX));
        self
    }

    /// The same of the beginning of the run alone: of what happened until there are about so many `entries`. From then on it
    /// costs nothing.
    pub fn trace_beginning(mut self, path: impl Into<PathBuf>, entries: u32) -> Self {
        self.trace = Some((path.into(), entries));
        self
    }

    /// Hears every [`Moment`] of the trace, on the thread that it happens on: it must neither wait nor panic.
    pub fn hear_trace(mut self, listener: impl Fn(&Moment) + Send + Sync + 'static) -> Self {
        self.listener = Some(Arc::new(listener));
        self
    }

    /// What binds the run besides the [`RunConfig`], by name: settings, policy, data. Checkpoints keep it, and a resume
    /// is refused if anything differs.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = identity;
        self
    }

    /// Continues the run in the folder from its newest whole checkpoint, or from the beginning if it has none yet.
    /// [`Event::Resumed`] says from where.
    pub fn resume(mut self) -> Self {
        self.resume = true;
        self
    }

    /// Ends the run early, after its current step and with a checkpoint, once `signal` completes.
    pub fn stop_when(mut self, signal: impl Future<Output = ()> + Send + 'static) -> Self {
        self.stop = Some(Box::pin(signal));
        self
    }

    /// Puts faults into the run, to try what it endures. A place is one of [`Faults::PLACES`] or a stage's name.
    pub fn faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }
}
