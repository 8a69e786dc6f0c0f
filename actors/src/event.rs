//! What a run tells its observer, in order.

use std::path::PathBuf;

use addendum_replay::PolicyVersion;

use crate::{Diverging, Scores, StepRecord};

/// Something worth a line in a log or a move of a progress bar.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A run goes on. This comes before anything else.
    Resumed {
        /// From where.
        version: PolicyVersion,
        /// The checkpoint; `None` if there was none yet, so that the run begins anew.
        path: Option<PathBuf>,
        /// Newer ones that are not whole, each with what is wrong with it.
        skipped: Vec<(PathBuf, String)>,
    },
    /// A training step is done.
    Step(Box<StepRecord>),
    /// A snapshot was evaluated.
    Evaluated { version: PolicyVersion, scores: Scores },
    /// A snapshot could not be evaluated; the run goes on.
    EvaluationFailed { version: PolicyVersion, error: String },
    /// A checkpoint is complete on disk.
    Checkpoint { version: PolicyVersion, path: PathBuf },
    /// The trace could not be written any further; the run goes on.
    TraceStopped { path: PathBuf, reason: String },
    /// An actor died and was replaced.
    Restarted { actor: String, reason: String },
    /// Nothing has moved for so long; the run goes on.
    Stalled {
        seconds: u64,
        /// Who waits for whom, one a line.
        report: String,
    },
    /// Training shows a sign of going wrong that it did not show before.
    Diverging { step: u64, found: Diverging },
    /// Checkpoints from after training began to go wrong were put aside; the newest that is left is this one.
    SetBack { version: PolicyVersion, path: PathBuf },
}
