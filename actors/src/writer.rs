//! Writes the run folder and tells the observer. It lives on the recorder's compute thread for the whole run.

use addendum_replay::PolicyVersion;

use crate::{
    Event, RunError, Scores,
    compute::{Failure, guarded},
    messages::RecorderMessage,
    run_log::RunLog,
    telemetry,
};

/// Hears every event of a run.
pub(crate) type Observer = Box<dyn FnMut(&Event) + Send>;

pub(crate) struct Writer {
    folder: Option<RunLog>,
    observer: Observer,
    pub evaluations: Vec<(PolicyVersion, Scores)>,
}

impl Writer {
    /// `evaluations` are those from before a resume.
    pub fn new(folder: Option<RunLog>, evaluations: Vec<(PolicyVersion, Scores)>, observer: Observer) -> Self {
        Self { folder, observer, evaluations }
    }

    /// Lets go of the folder, so that another run may have it.
    pub fn close(&mut self) {
        self.folder = None;
    }

    /// # Errors
    /// Names the file that could not be written.
    pub fn write(&mut self, message: RecorderMessage) -> Result<(), RunError> {
        let event = match message {
            RecorderMessage::Step { record, samples } => {
                if let Some(folder) = &mut self.folder {
                    folder.step(&record, &samples)?;
                }
                Event::Step(record)
            }
            RecorderMessage::Checkpoint(checkpoint) => {
                let Some(folder) = &self.folder else { return Ok(()) };
                let path = folder.checkpoint(&checkpoint)?;
                telemetry::checkpointed();
                Event::Checkpoint { version: checkpoint.gate.version, path }
            }
            RecorderMessage::Event(event) => event,
        };
        if let Event::Evaluated { version, scores } = &event {
            if let Some(folder) = &mut self.folder {
                folder.evaluation(*version, scores)?;
            }
            self.evaluations.push((*version, scores.clone()));
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
