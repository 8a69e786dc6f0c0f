//! How a run begins: what is checked, taken up from a checkpoint, opened and spawned, in this order.

use std::{fs::OpenOptions, sync::Arc};

use addendum_replay::{Ending, FreshnessGate, PolicyVersion, ReplayBuffer, StudyOrder};
use ractor::Actor;
use tokio::{
    sync::{Mutex, mpsc},
    time::{Duration, Instant},
};

use super::Pipeline;
use crate::{
    Event, Faults, Pool, RunError, RunSummary, Running, Track,
    ahead::{Ahead, Outlook},
    board::Board,
    compute::{Compute, Failure},
    context::Context,
    identity::Identity,
    lock::FolderLock,
    mailbox::Mailbox,
    messages::RecorderMessage,
    meter::Meter,
    outcome::Fuse,
    run_log::RunLog,
    shelf::Found,
    slot::Hop,
    start::{chain, claim, crews, find, open_trace, start_error, start_learner},
    supervisor::{Roster, Supervisor, not_started},
    suspects::Suspects,
    telemetry, telling,
    trace::Trace,
    workers::Watch,
    writer::Writer,
};

impl<S: Send + Sync + 'static> Pipeline<S> {
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
        let (witness, telling) = (meter.clone(), recorder.clone());
        gate.witness(move |ticket, ending| {
            witness.board.gone(ticket);
            if let Ending::Failed(reason) | Ending::Dead(reason) = &ending {
                let (reason, given_up) = (reason.clone(), matches!(ending, Ending::Dead(_)));
                telling.put(RecorderMessage::Event(Event::Failed { ticket, reason, given_up }));
            }
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
