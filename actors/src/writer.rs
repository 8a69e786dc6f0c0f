//! Writes the run folder and tells the observer. It lives on the recorder's compute thread for the whole run.

use std::sync::Arc;

use addendum_replay::PolicyVersion;
use addendum_studies::Dataset;

use crate::{
    Event, RunError, Scores,
    compute::{Failure, guarded},
    messages::RecorderMessage,
    run_log::RunLog,
    status::RunStatus,
    telemetry,
};

/// Hears every event of a run.
pub(crate) type Observer = Box<dyn FnMut(&Event) + Send>;

pub(crate) struct Writer {
    folder: Option<RunLog>,
    dataset: Arc<dyn Dataset>,
    observer: Observer,
    pub evaluations: Vec<(PolicyVersion, Scores)>,
}

impl Writer {
    /// `evaluations` are those from before a resume.
    pub fn new(
        folder: Option<RunLog>,
        dataset: Arc<dyn Dataset>,
        evaluations: Vec<(PolicyVersion, Scores)>,
        observer: Observer,
    ) -> Self {
        Self { folder, dataset, observer, evaluations }
    }

    /// Lets go of the folder, so that another run may have it.
    pub fn close(&mut self) {
        self.folder = None;
    }

    /// Leaves a status in the folder, if it can.
    pub fn status(&self, status: &RunStatus) {
        if let Some(folder) = &self.folder {
            folder.status(status);
        }
    }

    /// What comes after an error is told, and not written: files have no holes.
    ///
    /// # Errors
    /// Names the file that could not be written.
    pub fn write(&mut self, message: RecorderMessage) -> Result<(), RunError> {
        let written = self.try_write(message);
        if written.is_err() {
            self.close();
        }
        written
    }

    fn try_write(&mut self, message: RecorderMessage) -> Result<(), RunError> {
        let event = match message {
            RecorderMessage::Step { record, samples, sampled } => {
                if let Some(folder) = &mut self.folder {
                    folder.step(&record, &samples, sampled.as_ref())?;
                }
                Event::Step(record)
            }
            RecorderMessage::Checkpoint(checkpoint) => {
                let Some(folder) = &self.folder else { return Ok(()) };
                let path = folder.checkpoint(&checkpoint)?;
                telemetry::checkpointed();
                Event::Checkpoint { version: checkpoint.gate.version, path }
            }
            RecorderMessage::DeadLetters(letters) => {
                let Some(folder) = &mut self.folder else { return Ok(()) };
                return folder.dead_letters(&*self.dataset, &letters);
            }
            RecorderMessage::SetBack(version) => {
                let Some(folder) = &self.folder else { return Ok(()) };
                let Some((version, path)) = folder.set_back(version)? else { return Ok(()) };
                Event::SetBack { version, path }
            }
            RecorderMessage::Event(event) => event,
        };
        if let Event::Evaluated { version, scores } = &event {
            if let Some(folder) = &mut self.folder {
                folder.evaluation(*version, scores)?;
            }
            self.evaluations.push((*version, scores.clone()));
            telemetry::best(&self.evaluations);
        }
        self.tell(&event);
        Ok(())
    }

    /// The observer is the user's: its panics are counted, and keep nobody from being told or written.
    fn tell(&mut self, event: &Event) {
        let told = guarded(|| {
            (self.observer)(event);
            Ok::<_, Failure>(())
        });
        if told.is_err() {
            telemetry::observer_panicked();
        }
    }
}
