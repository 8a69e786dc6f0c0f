//! The public face: put a run together and start it.

use std::{fs::OpenOptions, future::Future, path::PathBuf, sync::Arc};

use addendum_replay::{FreshnessGate, PolicyVersion, ReplayBuffer, RolloutGroup, StudyOrder};
use addendum_studies::{Dataset, Study};
use ractor::Actor;
use tokio::{
    sync::{Mutex, mpsc},
    time::{Duration, Instant},
};

use crate::{
    AsyncSampler, BatchSampler, EngineError, Evaluate, Event, Faults, Learner, Pool, Recording, RunConfig, RunError,
    RunSummary, Running, Sampler, Stage, StageError, Track,
    ahead::{Ahead, Foresee, Outlook},
    board::Board,
    compute::{Compute, Failure},
    context::Context,
    evaluator::BuildEvaluator,
    identity::Identity,
    lock::FolderLock,
    mailbox::Mailbox,
    messages::RecorderMessage,
    meter::Meter,
    outcome::Fuse,
    recording::Replayed,
    run_log::RunLog,
    running::Stop,
    sampler::{Batch, BuildSampler, OneByOne, Remote},
    shelf::Found,
    slot::{Hop, Worth},
    start::{BuildLearner, chain, claim, crews, find, open_trace, start_error, start_learner},
    supervisor::{Roster, Supervisor, not_started},
    suspects::Suspects,
    telemetry, telling,
    trace::{Listener, Moment, Trace},
    workers::Watch,
    writer::{Observer, Writer},
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
    /// As [`Pipeline::check`]; besides, the trace's file cannot be created, another run is at work in the folder, the checkpoint does not suit the learner, or
    /// an actor cannot be started.
    pub async fn start(self) -> Result<Running<S>, RunError> {
        self.validate()?;
        let identity = self.identity_of_run();
        let folder = self.folder.as_deref();
        let lock = folder.map(|folder| claim(folder, self.resume)).transpose()?;
        let found = match folder.filter(|_| self.resume) {
            Some(folder) => find(folder, &identity)?,
            None => Found::default(),
        };
        let recorder = Arc::new(Mailbox::default());
        let file = self.trace.map(|trace| open_trace(trace, &recorder)).transpose()?;
        let trace = Trace::begin(file, self.listener);
        let checkpoint = found.newest;
        let gate_config = self.config.gate(self.dataset.len());
        let gate = match &checkpoint {
            Some((_, checkpoint)) => FreshnessGate::resume(gate_config, checkpoint.gate.clone())?,
            None => FreshnessGate::new(gate_config)?,
        };
        let resumed_at = checkpoint.as_ref().map(|(_, checkpoint)| checkpoint.gate.version);
        let resumed = Event::Resumed {
            version: resumed_at.unwrap_or(PolicyVersion(0)),
            path: checkpoint.as_ref().map(|(path, _)| path.clone()),
            skipped: found.skipped,
        };
        let (trainer, snapshots) = start_learner(self.learner, self.config.threads.learner, checkpoint).await?;
        let (mut log, mut evaluations, mut past) = (None, Vec::new(), Vec::new());
        if let (Some(folder), Some(lock)) = (folder, lock) {
            let mut opened =
                RunLog::open(folder, self.config.keep_checkpoints, self.config.records(), lock, self.faults.clone())?;
            if self.resume {
                evaluations = opened.cut_back(resumed_at)?;
                past = opened.steps()?;
            }
            log = Some(opened);
        }
        let has_folder = log.is_some();
        let records = has_folder && self.config.records();
        let evaluated = evaluations.iter().map(|(version, _)| *version).collect();
        let divergence = self.config.divergence;
        let shown = trainer.run(move |trainer| {
            past.iter().for_each(|record| drop(trainer.divergence.observe(record, &divergence)));
            Ok::<_, Failure>(())
        });
        shown.await.map_err(start_error("learner"))?;
        let (observer, dataset) = (self.observer, self.dataset.clone());
        let build = move || Ok::<_, Failure>(Writer::new(log, dataset, evaluations, observer));
        let writer = Compute::spawn("recorder", 1, build);
        let writer = writer.await.map_err(start_error("recorder"))?;

        let board = Board::new(crews(&self.config, &self.stages, self.evaluator.is_some()));
        let meter = Arc::new(Meter::new(self.config.samplers, board, trace));
        let witness = meter.clone();
        gate.witness(move |ticket, ending| {
            witness.board.gone(ticket);
            witness.trace.ended(ticket, ending);
        });
        let mut order = StudyOrder::new(self.config.seed, self.dataset.len());
        let gate = match &self.recording {
            Some(recording) => {
                order = order.following(Arc::new(recording.plan()));
                gate.following(recording.plan())?
            }
            None => gate,
        };
        telemetry::begun(&self.config, gate.version());
        let buffer = ReplayBuffer::new(&gate);
        let outlook = Outlook {
            dataset: self.dataset.clone(),
            hooks: self.foresee.into_iter().chain(self.stages.iter().filter_map(|pool| pool.foresee.clone())).collect(),
            distance: self.config.prefetch,
            threads: self.config.threads.stage,
            tickets: self.config.steps.saturating_mul(self.config.batch_groups),
            track: if self.config.prefetch > 0 { meter.trace.track("ahead") } else { Track::default() },
        };
        let ahead = Ahead::start(outlook, order, gate.state().next).await.map_err(start_error("ahead"))?;
        let last = Hop::Buffer(buffer.clone(), self.worth);
        let (outcome, outcomes) = mpsc::unbounded_channel();
        let fuse = Fuse { gate: gate.clone(), outcome };
        let watch = Watch {
            faults: self.faults.clone(),
            fuse: fuse.clone(),
            max_restarts: self.config.max_restarts_in_a_row,
            limit: self.config.stage_seconds.map(Duration::from_secs_f64),
        };
        let (pools, first) = chain(self.stages, self.config.threads.stage, last, &meter, &recorder, &watch);
        if self.resume {
            recorder.put(RecorderMessage::Event(resumed));
        }
        let context = Arc::new(Context {
            config: self.config,
            identity,
            has_folder,
            records,
            dataset: self.dataset,
            ahead,
            gate,
            buffer,
            snapshots,
            suspects: Suspects::default(),
            gathering: Mutex::default(),
            meter,
            trainer,
            writer,
            first,
            evaluator: self.evaluator.as_ref().map(|_| Arc::default()),
            evaluated,
            recorder,
            faults: self.faults,
            fuse,
        });
        // Before any actor could publish a later version. Older ones are those that waited for it in a checkpoint.
        for version in context.snapshots.versions().into_iter().filter(|version| context.evaluation_is_due(*version)) {
            context.evaluate(version, None);
        }
        let roster = Arc::new(Roster::default());
        let supervisor = Supervisor {
            context: context.clone(),
            roster: roster.clone(),
            samplers: self.samplers,
            pools,
            evaluator: self.evaluator,
        };
        let (supervisor, handle) = Actor::spawn(None, supervisor, ()).await.map_err(not_started)?;
        let started = Instant::now();
        let telling = tokio::spawn(telling::keep_telling(context.clone(), started));
        Ok(Running {
            context,
            roster,
            supervisor: supervisor.get_cell(),
            handle,
            outcomes,
            stop: self.stop.unwrap_or_else(|| Box::pin(std::future::pending())),
            telling,
            started,
        })
    }

    /// What [`Pipeline::start`] would refuse before it computes or writes anything.
    ///
    /// # Errors
    /// The configuration is impossible, the folder is another process's, the folder holds another run, or none to
    /// resume, or its checkpoints are damaged or of another run; the trace's file cannot be written.
    pub fn check(&self) -> Result<(), RunError> {
        self.validate()?;
        match &self.folder {
            Some(folder) if self.resume => {
                RunLog::is_ours(folder)?;
                drop(FolderLock::take(folder)?);
                find(folder, &self.identity_of_run())?;
            }
            Some(folder) => RunLog::is_free(folder)?,
            None => {}
        }
        match &self.trace {
            Some((path, _)) => {
                OpenOptions::new().create(true).append(true).open(path).map(drop).map_err(RunError::io(path))
            }
            None => Ok(()),
        }
    }

    fn identity_of_run(&self) -> Identity {
        let mut identity = self.config.identity(self.dataset.len());
        if let Some(recording) = &self.recording {
            identity.insert("recording".into(), format!("crc32 {:08x}", recording.digest()));
        }
        identity.extend(self.identity.clone());
        identity
    }

    fn validate(&self) -> Result<(), RunError> {
        self.config.validate()?;
        if self.dataset.is_empty() {
            return Err(RunError::NoStudies);
        }
        if self.stages.is_empty() {
            return Err(RunError::NoStages);
        }
        if let Some(recording) = &self.recording {
            recording.suits(&self.config)?;
            FreshnessGate::new(self.config.gate(self.dataset.len()))?.following(recording.plan())?;
        }
        for (index, Pool { name, workers, timeout, .. }) in self.stages.iter().enumerate() {
            if *workers == 0 {
                return Err(RunError::config("workers of a stage", 0, "at least 1"));
            }
            if timeout.is_some_and(|limit| limit.is_zero()) {
                return Err(RunError::config("time limit of a stage", 0, "more than nothing"));
            }
            if self.stages[..index].iter().any(|other| other.name == *name) {
                return Err(RunError::config("name of a stage", name, "a name that no other stage has"));
            }
        }
        let stages: Vec<&str> = self.stages.iter().map(|stage| stage.name.as_str()).collect();
        if let Some(place) = self.faults.unknown(&stages) {
            let places = Faults::PLACES.iter().map(|(name, _)| *name).chain(stages.iter().copied());
            let (place, places) = (place.to_string(), places.map(str::to_string).collect());
            return Err(RunError::NoSuchPlace { place, places });
        }
        Ok(())
    }
}
