//! The public face: put a run together and start it.

use std::{future::Future, path::PathBuf, sync::Arc};

use addendum_replay::{FreshnessGate, ReplayBuffer, RolloutGroup};
use addendum_studies::Dataset;
use ractor::Actor;
use tokio::{sync::mpsc, time::Instant};

use crate::{
    AsyncSampler, EngineError, Evaluate, Event, Learner, RunConfig, RunError, RunSummary, Running, Sampler, Stage,
    compute::{Compute, Failure},
    context::Context,
    evaluator::BuildEvaluator,
    mailbox::Mailbox,
    meter::Meter,
    running::Stop,
    sampler::{BuildSampler, Engine},
    slot::{Hop, Worth},
    start::{
        BuildLearner, StageSpec, chain, check_snapshots, newest_checkpoint, open_folder, start_error, start_learner,
    },
    supervisor::{Roster, Supervisor},
    writer::{Observer, Writer},
};

/// A run to be started. `S` is the type of policy snapshots.
#[must_use]
pub struct Pipeline<S> {
    config: RunConfig,
    dataset: Arc<dyn Dataset>,
    samplers: BuildSampler<S>,
    learner: BuildLearner<S>,
    stages: Vec<StageSpec>,
    worth: Option<Worth>,
    evaluator: Option<BuildEvaluator<S>>,
    observer: Observer,
    folder: Option<PathBuf>,
    resume: bool,
    stop: Option<Stop>,
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
        Self::with(config, dataset, Arc::new(move |index| Ok(Engine::Computing(Box::new(samplers(index)?)))), learner)
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
        Self::with(config, dataset, Arc::new(move |index| Ok(Engine::Remote(Arc::new(samplers(index)?)))), learner)
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
            evaluator: None,
            observer: Box::new(|_| {}),
            folder: None,
            resume: false,
            stop: None,
        }
    }

    /// Appends a stage to the chain, as a pool of `workers` actors. `build` makes one instance per actor, again after
    /// a crash. Names must differ from each other.
    pub fn stage<T: Stage + 'static>(
        mut self,
        name: impl Into<String>,
        workers: usize,
        build: impl Fn() -> T + Send + Sync + 'static,
    ) -> Self {
        self.stages.push((name.into(), workers, Arc::new(move || Ok(Box::new(build()) as Box<dyn Stage>))));
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

    /// Evaluates the first and the last version and every [`RunConfig::evaluate_every`] steps.
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

    /// Continues the run in the folder from its newest checkpoint, if it has one.
    pub fn resume(mut self) -> Self {
        self.resume = true;
        self
    }

    /// Ends the run early, after its current step and with a checkpoint, once `signal` completes.
    pub fn stop_when(mut self, signal: impl Future<Output = ()> + Send + 'static) -> Self {
        self.stop = Some(Box::pin(signal));
        self
    }

    /// Starts the run and waits for its end.
    ///
    /// # Errors
    /// As [`Pipeline::start`] and [`Running::wait`].
    pub async fn run(self) -> Result<RunSummary<S>, RunError> {
        self.start().await?.wait().await
    }

    /// Starts the run.
    ///
    /// # Errors
    /// The configuration is impossible, the folder unusable, the checkpoint damaged or of another run, or an actor
    /// cannot be started.
    pub async fn start(self) -> Result<Running<S>, RunError> {
        self.check()?;
        let checkpoint = match self.folder.as_deref().filter(|_| self.resume) {
            Some(folder) => newest_checkpoint(folder, &self.config)?,
            None => None,
        };
        let gate_config = self.config.gate(self.dataset.len());
        let gate = match &checkpoint {
            Some((_, checkpoint)) => FreshnessGate::resume(gate_config, checkpoint.gate.clone())?,
            None => FreshnessGate::new(gate_config)?,
        };
        if let Some((path, checkpoint)) = &checkpoint {
            check_snapshots(path, checkpoint, &gate)?;
        }
        let resumed_at = checkpoint.as_ref().map(|(_, checkpoint)| checkpoint.gate.version);
        let (trainer, snapshots) = start_learner(self.learner, self.config.threads.learner, checkpoint).await?;
        let folder = match &self.folder {
            Some(path) => Some(open_folder(path, self.config.keep_checkpoints, self.resume, resumed_at)?),
            None => None,
        };
        let has_folder = folder.is_some();
        let observer = self.observer;
        let writer = Compute::spawn("recorder", 1, move || Ok::<_, Failure>(Writer::new(folder, observer)));
        let writer = writer.await.map_err(start_error("recorder"))?;

        let meter = Arc::new(Meter::new(self.config.samplers));
        let buffer = ReplayBuffer::new(&gate);
        let recorder = Arc::new(Mailbox::default());
        let last = Hop::Buffer(buffer.clone(), self.worth);
        let (pools, first) = chain(self.stages, self.config.threads.stage, last, &meter, &recorder);
        let (outcome, outcomes) = mpsc::unbounded_channel();
        let context = Arc::new(Context {
            config: self.config,
            dataset: self.dataset,
            gate,
            buffer,
            snapshots,
            meter,
            trainer,
            writer,
            first,
            evaluator: self.evaluator.as_ref().map(|_| Arc::default()),
            recorder,
            outcome,
        });
        if resumed_at.is_none() {
            // Before any actor could publish a later version.
            context.evaluate(None);
        }
        let roster = Arc::new(Roster::default());
        let supervisor = Supervisor {
            context: context.clone(),
            roster: roster.clone(),
            samplers: self.samplers,
            pools,
            evaluator: self.evaluator,
        };
        let (supervisor, handle) = Actor::spawn(None, supervisor, ())
            .await
            .map_err(|error| RunError::Start { actor: "the run".into(), reason: error.to_string() })?;
        Ok(Running {
            context,
            roster,
            supervisor: supervisor.get_cell(),
            handle,
            outcomes,
            stop: self.stop.unwrap_or_else(|| Box::pin(std::future::pending())),
            started: Instant::now(),
            has_folder,
        })
    }

    fn check(&self) -> Result<(), RunError> {
        self.config.validate()?;
        if self.dataset.is_empty() {
            return Err(RunError::NoStudies);
        }
        if self.stages.is_empty() {
            return Err(RunError::NoStages);
        }
        for (index, (name, workers, _)) in self.stages.iter().enumerate() {
            if *workers == 0 {
                return Err(RunError::config("workers of a stage", 0, "at least 1"));
            }
            if self.stages[..index].iter().any(|(other, ..)| other == name) {
                return Err(RunError::config("name of a stage", name, "a name that no other stage has"));
            }
        }
        Ok(())
    }
}
