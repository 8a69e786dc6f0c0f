//! What all actors of a run share. It outlives every one of them, so a restarted actor finds everything in place.

use std::sync::Arc;

use addendum_replay::{FreshnessGate, ReplayBuffer};
use addendum_studies::Dataset;
use tokio::sync::mpsc;

use crate::{
    RunConfig, RunError,
    compute::Compute,
    evaluator::EvaluatorMessage,
    learner::Trainer,
    meter::Meter,
    recorder::{RecorderMessage, Writer},
    slot::{Hop, Slot},
    snapshots::Snapshots,
};

/// The shared part of a run with snapshots of type `S`.
pub(crate) struct Context<S> {
    pub config: RunConfig,
    pub dataset: Arc<dyn Dataset>,
    pub gate: FreshnessGate,
    pub buffer: ReplayBuffer,
    pub snapshots: Snapshots<S>,
    pub meter: Arc<Meter>,
    pub trainer: Compute<Trainer<S>>,
    pub writer: Compute<Writer>,
    /// The first stage of the chain.
    pub first: Hop,
    pub evaluator: Slot<EvaluatorMessage<S>>,
    pub recorder: Slot<RecorderMessage>,
    /// Tells whoever waits for the run that it is over.
    pub outcome: mpsc::UnboundedSender<Outcome>,
}

/// How training ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    Finished,
    Failed(RunError),
}

impl<S> Context<S> {
    /// Ends the run with an error.
    pub fn fail(&self, error: RunError) {
        self.gate.close();
        // Nobody listens any more: the run is being taken down already.
        let _ = self.outcome.send(Outcome::Failed(error));
    }
}

/// The reason with which an actor stops when its work is done; the supervisor does not replace it.
pub(crate) const FINISHED: &str = "finished";
