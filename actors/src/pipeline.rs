//! The public face: put a run together and start it.

use std::{
    collections::BTreeMap,
    future::Future,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
};

use addendum_replay::{FreshnessGate, PolicyVersion, ReplayBuffer};
use addendum_studies::Dataset;
use ractor::Actor;
use tokio::{sync::mpsc, time::Instant};

use crate::{
    BackendError, Evaluate, Event, Learner, RunConfig, RunError, RunSummary, Running, Sampler, Stage,
    checkpoint::Checkpoint,
    compute::{Compute, Failure},
    context::Context,
    evaluator::{BuildEvaluator, EvaluatorMessage},
    learner::{Trainer, restore},
    meter::Meter,
    pool::{BuildStage, Pool},
    recorder::{RunFolder, Writer},
    sampler::BuildSampler,
    slot::{Hop, Slot},
    snapshots::Snapshots,
    supervisor::{Roster, Supervisor},
};

pub(crate) type Stop = Pin<Box<dyn Future<Output = ()> + Send>>;
type BuildLearner<S> = Box<dyn FnOnce() -> Result<Box<dyn Learner<S>>, BackendError> + Send>;

/// A run to be started. `S` is the type of policy snapshots.
#[must_use]
pub struct Pipeline<S> {
    config: RunConfig,
    dataset: Arc<dyn Dataset>,
    samplers: BuildSampler<S>,
    learner: BuildLearner<S>,
    stages: Vec<(String, usize, BuildStage)>,
    evaluator: Option<BuildEvaluator<S>>,
    observer: Box<dyn FnMut(&Event) + Send>,
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
        samplers: impl Fn(usize) -> Result<M, BackendError> + Send + Sync + 'static,
        learner: impl FnOnce() -> Result<L, BackendError> + Send + 'static,
    ) -> Self
    where
        M: Sampler<S> + 'static,
        L: Learner<S> + 'static,
    {
        Self {
            config,
            dataset,
            samplers: Arc::new(move |index| Ok(Box::new(samplers(index)?))),
            learner: Box::new(move || Ok(Box::new(learner()?))),
            stages: Vec::new(),
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

    /// Evaluates the first and the last version and every [`RunConfig::evaluate_every`] steps.
    pub fn evaluator<E: Evaluate<S> + 'static>(
        mut self,
        build: impl Fn() -> Result<E, BackendError> + Send + Sync + 'static,
    ) -> Self {
        self.evaluator = Some(Arc::new(move || Ok(Box::new(build()?))));
        self
    }

    /// Hears every [`Event`], in order, on the recorder's thread.
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
        let checkpoint = self.checkpoint()?;
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
        let (pools, first) = chain(self.stages, self.config.threads.stage, Hop::Buffer(buffer.clone()), &meter);
        let (outcome, outcomes) = mpsc::unbounded_channel();
        let evaluator: Slot<EvaluatorMessage<S>> = Slot::default();
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
            evaluator,
            recorder: Slot::default(),
            outcome,
        });
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
        let running = Running {
            context,
            roster,
            supervisor: supervisor.get_cell(),
            handle,
            outcomes,
            stop: self.stop.unwrap_or_else(|| Box::pin(std::future::pending())),
            started: Instant::now(),
            has_folder,
        };
        if resumed_at.is_none() {
            running.evaluate();
        }
        Ok(running)
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

    /// The checkpoint to resume from, whole and of this run.
    fn checkpoint(&self) -> Result<Option<(PathBuf, Checkpoint)>, RunError> {
        let Some(folder) = self.folder.as_deref().filter(|_| self.resume) else {
            return Ok(None);
        };
        let Some(path) = Checkpoint::newest(&RunFolder::checkpoints(folder))? else {
            return Ok(None);
        };
        let checkpoint = Checkpoint::read(&path)?;
        let (saved, now) = (&checkpoint.config, &self.config);
        if (saved.group_size, saved.variant) != (now.group_size, now.variant) {
            let reason = format!(
                "its run has groups of {} ({:?}), this one groups of {} ({:?})",
                saved.group_size, saved.variant, now.group_size, now.variant
            );
            return Err(RunError::checkpoint(path, reason));
        }
        Ok(Some((path, checkpoint)))
    }
}

/// Whether the checkpoint holds every policy version that its open tickets will ask for.
fn check_snapshots(path: &Path, checkpoint: &Checkpoint, gate: &FreshnessGate) -> Result<(), RunError> {
    for version in gate.oldest_needed().0..=gate.version().0 {
        if !checkpoint.snapshots.contains_key(&PolicyVersion(version)) {
            return Err(RunError::checkpoint(path, format!("the snapshot of version {version} is missing")));
        }
    }
    Ok(())
}

fn open_folder(
    path: &Path,
    keep: usize,
    resume: bool,
    checkpoint: Option<PolicyVersion>,
) -> Result<RunFolder, RunError> {
    let folder = RunFolder::open(path, keep)?;
    if resume {
        folder.cut_back(checkpoint)?;
    } else if !folder.is_new()? {
        return Err(RunError::NotEmpty { path: path.into() });
    }
    Ok(folder)
}

fn start_error(actor: &str) -> impl FnOnce(Failure) -> RunError {
    let actor = actor.to_string();
    move |failure| RunError::Start { actor, reason: failure.to_string() }
}

type Started<S> = (Compute<Trainer<S>>, Snapshots<S>);

async fn start_learner<S: Send + Sync + 'static>(
    build: BuildLearner<S>,
    threads: usize,
    checkpoint: Option<(PathBuf, Checkpoint)>,
) -> Result<Started<S>, RunError> {
    let trainer = Compute::spawn("learner", threads, move || build().map(Trainer::new));
    let trainer = trainer.await.map_err(start_error("learner"))?;
    let snapshots = match checkpoint {
        Some((path, checkpoint)) => trainer
            .run(move |trainer| restore(trainer.learner.as_mut(), &checkpoint))
            .await
            .map_err(|failure| RunError::checkpoint(path, failure))?,
        None => {
            let snapshot = trainer.run(|trainer| trainer.learner.snapshot()).await.map_err(start_error("learner"))?;
            BTreeMap::from([(PolicyVersion(0), snapshot)])
        }
    };
    Ok((trainer, Snapshots::new(snapshots)))
}

/// Links the stages, last to first.
fn chain(stages: Vec<(String, usize, BuildStage)>, threads: usize, last: Hop, meter: &Arc<Meter>) -> (Vec<Pool>, Hop) {
    let mut next = last;
    let mut pools = Vec::new();
    for (name, workers, build) in stages.into_iter().rev() {
        let slot = Slot::default();
        let pool = Pool { name: name.into(), workers, threads, build, next, meter: meter.clone(), slot: slot.clone() };
        pools.push(pool);
        next = Hop::Pool(slot);
    }
    (pools, next)
}
