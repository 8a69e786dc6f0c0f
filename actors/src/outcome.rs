//! How training ends, told by whoever ends it.

use addendum_replay::FreshnessGate;
use tokio::sync::mpsc;

use crate::RunError;

/// How training ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    Finished,
    Failed(RunError),
}

/// Ends a run.
#[derive(Clone)]
pub(crate) struct Fuse {
    pub gate: FreshnessGate,
    pub outcome: mpsc::UnboundedSender<Outcome>,
}

impl Fuse {
    /// Ends the run with an error.
    pub fn fail(&self, error: RunError) {
        self.gate.close();
        self.tell(Outcome::Failed(error));
    }

    /// Nobody listens any more if the run is being taken down already.
    pub fn tell(&self, outcome: Outcome) {
        let _ = self.outcome.send(outcome);
    }
}
