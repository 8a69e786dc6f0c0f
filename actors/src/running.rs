//! A run under way: wait for its end, look into it, take it down.

use std::{collections::BTreeMap, future::Future, pin::Pin, sync::Arc};

use addendum_replay::{DeadLetter, FreshnessGate, PolicyVersion, TicketId};
use ractor::ActorCell;
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
    task::{JoinHandle, spawn_blocking},
    time::{Duration, Instant, timeout},
};

use crate::{
    RunError, Scores, compute::Failure, context::Context, messages::RecorderMessage, outcome::Outcome,
    recorder::catch_up, stall, status::RunState, supervisor::Roster, telling, trainer::Trainer, writer::Writer,
};

/// How long a run that stands still waits for its learner, to save it, at most.
const GRACE: Duration = Duration::from_secs(30);

/// Completes when the run is to end early.
pub(crate) type Stop = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How a run ended.
#[derive(Debug)]
pub struct RunSummary<S> {
    /// The newest policy version.
    pub version: PolicyVersion,
    /// The weights of that version.
    pub snapshot: Arc<S>,
    /// Whether all steps were done; false if the run was stopped before.
    pub finished: bool,
    /// Tickets that were given up after too many attempts.
    pub dead_letters: BTreeMap<TicketId, DeadLetter>,
    /// Actors replaced during this run.
    pub restarts: u64,
    /// All that there are of the run, those from before a resume first.
    pub evaluations: Vec<(PolicyVersion, Scores)>,
    /// From the start, or resume, to the end.
    pub duration: Duration,
}

/// A run that was started. Dropping it kills the run.
pub struct Running<S> {
    pub(crate) context: Arc<Context<S>>,
    pub(crate) roster: Arc<Roster>,
    pub(crate) supervisor: ActorCell,
    pub(crate) handle: JoinHandle<()>,
    pub(crate) outcomes: mpsc::UnboundedReceiver<Outcome>,
    pub(crate) stop: Stop,
    /// Tells of the run as it goes.
    pub(crate) telling: JoinHandle<()>,
    pub(crate) started: Instant,
}

impl<S> Drop for Running<S> {
    fn drop(&mut self) {
        self.telling.abort();
        self.roster.close();
        self.context.gate.close();
        // A killed run writes nothing more; another may be resumed in its folder.
        self.context.recorder.close();
        self.supervisor.kill();
        // What still computes holds the context; the folder is free as soon as nothing is written.
        if let Ok(runtime) = Handle::try_current() {
            let writer = self.context.writer.clone();
            runtime.spawn(async move { writer.run(closed).await });
        }
    }
}

/// Completes only if the run fails.
async fn failing(outcomes: &mut mpsc::UnboundedReceiver<Outcome>, supervisor: &mut JoinHandle<()>) -> RunError {
    loop {
        tokio::select! {
            biased;
            Some(outcome) = outcomes.recv() => if let Outcome::Failed(error) = outcome {
                return error;
            },
            _ = &mut *supervisor => return RunError::SupervisorKilled,
        }
    }
}

fn closed(writer: &mut Writer) -> Result<(), Failure> {
    writer.close();
    Ok(())
}

/// What is told of a run that is over.
fn ended<S>(summary: &Result<RunSummary<S>, RunError>, failure: Option<&RunError>) -> (RunState, Option<String>) {
    match (summary, failure) {
        (Err(error), _) | (Ok(_), Some(error)) => (RunState::Failed, Some(error.to_string())),
        (Ok(summary), None) if summary.finished => (RunState::Finished, None),
        (Ok(_), None) => (RunState::Stopped, None),
    }
}

impl<S: Send + Sync + 'static> Running<S> {
    /// The actor that currently plays a role: `learner`, `recorder`, `evaluator`, `sampler-<index>`, or the pool of the
    /// stage with that name, whose children are its workers.
    pub fn actor(&self, name: &str) -> Option<ActorCell> {
        self.roster.actor(name)
    }

    /// The gate of the run, to look at.
    pub fn gate(&self) -> &FreshnessGate {
        &self.context.gate
    }

    /// Waits until all steps are done, the stop signal comes, or the run fails; then takes everything down.
    ///
    /// # Errors
    /// The learner failed, a file could not be written, or an actor could not be replaced.
    pub async fn wait(mut self) -> Result<RunSummary<S>, RunError> {
        let outcome = tokio::select! {
            biased;
            outcome = self.outcomes.recv() => outcome,
            () = &mut self.stop => {
                // Whoever asks again hears the same.
                self.stop = Box::pin(std::future::ready(()));
                None
            }
            _ = &mut self.handle => Some(Outcome::Failed(RunError::SupervisorKilled)),
            error = stall::too_long(&self.context) => Some(Outcome::Failed(error)),
        };
        self.context.gate.close();
        let summary = match outcome {
            Some(Outcome::Failed(error)) => {
                if matches!(error, RunError::Stalled { .. }) {
                    // Whoever stands still may be the learner itself.
                    let grace = GRACE.min(Duration::from_secs_f64(self.context.config.stall.end_seconds));
                    let _ = timeout(grace, self.save()).await;
                }
                Err(error)
            }
            Some(Outcome::Finished) | None => self.conclude().await,
        };
        let failure = self.take_down(&summary).await;
        let summary = match (summary, failure.or_else(|| self.failure())) {
            (Ok(_), Some(error)) => return Err(error),
            (summary, _) => summary?,
        };
        Ok(RunSummary { evaluations: self.evaluations().await, restarts: self.context.meter.restarts(), ..summary })
    }

    /// Lets the current step end, saves it, and evaluates the last version if the run is complete and nobody stops that.
    async fn conclude(&mut self) -> Result<RunSummary<S>, RunError> {
        if let Some(learner) = self.actor("learner") {
            tokio::select! {
                _ = learner.wait(None) => {}
                error = stall::too_long(&self.context) => return Err(error),
            }
        }
        // A step that ended the run has chosen what it is resumed from.
        if let Some(error) = self.failure() {
            return Err(error);
        }
        self.save().await?;
        let context = self.context.clone();
        let version = context.gate.version();
        let finished = version.0 >= context.config.steps;
        if finished {
            let (done, over) = oneshot::channel();
            context.evaluate(version, Some(done));
            tokio::select! {
                biased;
                () = &mut self.stop => {}
                _ = over => {}
                error = failing(&mut self.outcomes, &mut self.handle) => return Err(error),
            }
        }
        let snapshot = context
            .snapshots
            .get(version)
            .ok_or_else(|| RunError::Learner { step: version.0, reason: format!("the snapshot {version} is gone") })?;
        Ok(RunSummary {
            version,
            snapshot,
            finished,
            dead_letters: context.gate.dead_letters(),
            restarts: 0,
            evaluations: Vec::new(),
            duration: self.started.elapsed(),
        })
    }

    /// Has the state after the last step written.
    async fn save(&self) -> Result<(), RunError> {
        if !self.context.has_folder {
            return Ok(());
        }
        let (context, step) = (self.context.clone(), self.context.gate.version().0);
        let capture = move |trainer: &mut Trainer<S>| {
            let checkpoint = trainer.capture(&context.identity, context.gate.state(), &context.snapshots)?;
            context.recorder.put(RecorderMessage::Checkpoint(Box::new(checkpoint)));
            Ok::<_, Failure>(())
        };
        let saved = self.context.trainer.run(capture).await;
        saved.map_err(|failure| RunError::Learner { step, reason: failure.to_string() })
    }

    /// Stops every actor, then writes what the recorder has not, however long that takes: unless it stands still. The
    /// failure that turned up meanwhile, if one did.
    async fn take_down(&mut self, summary: &Result<RunSummary<S>, RunError>) -> Option<RunError> {
        self.telling.abort();
        // The last evaluation was not watched.
        self.context.meter.board.moved();
        self.roster.close();
        // Not asked to stop: it may be waiting for a successor that is never ready. Its children go with it.
        self.supervisor.kill();
        if !self.handle.is_finished() {
            let _ = (&mut self.handle).await;
        }
        self.context.recorder.put(RecorderMessage::DeadLetters(self.context.gate.dead_letters()));
        let context = self.context.clone();
        let mut failure = None;
        let written = async {
            // What cannot be written fails the run by itself.
            let _ = catch_up(&context).await;
            self.finish_trace().await;
            failure = self.failure();
            let (state, error) = ended(summary, failure.as_ref());
            telling::tell(&context, self.started, state, error).await;
            let _ = context.writer.run(closed).await;
        };
        tokio::select! {
            () = written => {}
            error = stall::too_long(&context) => context.fail(error),
        }
        failure
    }

    async fn finish_trace(&self) {
        if self.context.meter.trace.has_file() {
            let trace = self.context.meter.trace.clone();
            let _ = spawn_blocking(move || trace.close()).await;
            // Whether that went well is news too.
            let _ = catch_up(&self.context).await;
        }
    }

    /// A failure that was reported while the run was being taken down.
    fn failure(&mut self) -> Option<RunError> {
        while let Ok(outcome) = self.outcomes.try_recv() {
            if let Outcome::Failed(error) = outcome {
                return Some(error);
            }
        }
        None
    }

    async fn evaluations(&self) -> Vec<(PolicyVersion, Scores)> {
        let read = self.context.writer.run(|writer| Ok::<_, Failure>(std::mem::take(&mut writer.evaluations)));
        read.await.unwrap_or_default()
    }
}
