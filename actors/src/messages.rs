//! What the actors are told.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use addendum_replay::{DeadLetter, PolicyVersion, RolloutGroup, TicketId};
use ractor::factory::FactoryMessage;
use tokio::sync::oneshot;

use crate::{Event, RolloutSample, StepRecord, checkpoint::Checkpoint, recording::RecordedStep};

/// A sampler, by itself: sample the next ticket.
pub(crate) struct Next;

/// The learner, by itself: train on the next batch.
pub(crate) struct Train;

/// Evaluator and recorder: there is something in your mailbox.
pub(crate) struct Mail;

/// A pool: take this work, and what else a factory is told.
pub(crate) type PoolMessage = FactoryMessage<TicketId, Work>;

/// A group on its way to a stage.
#[derive(Debug)]
pub(crate) struct Work {
    pub group: RolloutGroup,
    pub queued: Instant,
}

/// In the evaluator's mailbox: a snapshot to be evaluated.
pub(crate) struct Evaluation<S> {
    pub version: PolicyVersion,
    pub snapshot: Arc<S>,
    /// Dropped when the evaluation is over, whatever came of it.
    pub done: Option<oneshot::Sender<()>>,
}

/// In the recorder's mailbox: something to be written or told.
pub(crate) enum RecorderMessage {
    Step {
        record: Box<StepRecord>,
        samples: Vec<RolloutSample>,
        /// Where it is recorded.
        sampled: Option<RecordedStep>,
    },
    Checkpoint(Box<Checkpoint>),
    /// All that there are.
    DeadLetters(BTreeMap<TicketId, DeadLetter>),
    /// Training went wrong after this version.
    SetBack(PolicyVersion),
    Event(Event),
}

impl RecorderMessage {
    /// What writing it is called.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Step { .. } => "step",
            Self::Checkpoint(_) => "checkpoint",
            Self::DeadLetters(_) => "dead letters",
            Self::SetBack(_) => "set back",
            Self::Event(_) => "event",
        }
    }
}
