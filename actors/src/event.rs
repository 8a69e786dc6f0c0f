//! What a run tells its observer, in order.

use std::path::PathBuf;

use addendum_replay::PolicyVersion;

use crate::{Scores, StepRecord};

/// Something worth a line in a log or a move of a progress bar.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A training step is done.
    Step(Box<StepRecord>),
    /// A snapshot was evaluated.
    Evaluated { version: PolicyVersion, scores: Scores },
    /// A snapshot could not be evaluated; the run goes on.
    EvaluationFailed { version: PolicyVersion, error: String },
    /// A checkpoint is complete on disk.
    Checkpoint { version: PolicyVersion, path: PathBuf },
    /// An actor died and was replaced.
    Restarted { actor: String, reason: String },
}
