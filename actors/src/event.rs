//! What a run tells its observer, in order.

use std::path::PathBuf;

use addendum_replay::{PolicyVersion, TicketId};

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
    Evaluated {
        /// The snapshot's.
        version: PolicyVersion,
        /// The means over all held-out studies.
        scores: Scores,
    },
    /// A snapshot could not be evaluated; the run goes on.
    EvaluationFailed {
        /// The snapshot's.
        version: PolicyVersion,
        /// What the evaluation reported.
        error: String,
    },
    /// A checkpoint is complete on disk.
    Checkpoint {
        /// The newest version that it holds.
        version: PolicyVersion,
        /// Its folder.
        path: PathBuf,
    },
    /// The trace could not be written any further; the run goes on.
    TraceStopped {
        /// The file that the trace was written to.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// An actor died and was replaced.
    Restarted {
        /// Its name, such as `sampler-0` or that of a stage.
        actor: String,
        /// What it died of.
        reason: String,
    },
    /// An attempt at a study failed.
    Failed {
        /// The study's ticket.
        ticket: TicketId,
        /// What the sampler or the stage reported.
        reason: String,
        /// It was the last attempt, and the study is left out; otherwise it is sampled again.
        given_up: bool,
    },
    /// Nothing has moved for so long; the run goes on.
    Stalled {
        /// How long, at least.
        seconds: u64,
        /// Who waits for whom, one a line.
        report: String,
    },
    /// Training shows a sign of going wrong that it did not show before.
    Diverging {
        /// The step at which it was first seen, counted from 0.
        step: u64,
        /// The sign with its figures.
        found: Diverging,
    },
    /// Checkpoints from after training began to go wrong were put aside; the newest that is left is this one.
    SetBack {
        /// The newest version of that checkpoint.
        version: PolicyVersion,
        /// Its folder.
        path: PathBuf,
    },
}
