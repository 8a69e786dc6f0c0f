//! What all actors of a run share. It outlives every one of them, so a restarted actor finds everything in place.

use std::{collections::BTreeSet, sync::Arc};

use addendum_replay::{FreshnessGate, PolicyVersion, ReplayBuffer, Ticket};
use addendum_studies::Dataset;
use tokio::sync::{Mutex, oneshot};

use crate::{
    Faults, RunConfig, RunError,
    ahead::Ahead,
    compute::Compute,
    engine::Versioned,
    identity::Identity,
    mailbox::Mailbox,
    messages::{Evaluation, RecorderMessage},
    meter::Meter,
    outcome::Fuse,
    slot::Hop,
    snapshots::Snapshots,
    suspects::Suspects,
    trainer::Trainer,
    writer::Writer,
};

/// The shared part of a run with snapshots of type `S`.
pub(crate) struct Context<S> {
    pub config: RunConfig,
    pub identity: Identity,
    pub has_folder: bool,
    /// Whether what is sampled is recorded.
    pub records: bool,
    pub dataset: Arc<dyn Dataset>,
    pub ahead: Ahead,
    pub gate: FreshnessGate,
    pub buffer: ReplayBuffer,
    pub snapshots: Snapshots<S>,
    pub suspects: Suspects,
    /// Held by the sampler that gathers the tickets of a fixed batch, with a ticket of another block that came up while
    /// one was gathered. Who gathers next begins with it: kept by a sampler at work, it would be missed by one that waits
    /// for a ticket until this one is trained on.
    pub gathering: Mutex<Option<Ticket>>,
    pub meter: Arc<Meter>,
    pub trainer: Compute<Trainer<S>>,
    pub writer: Compute<Writer>,
    /// The first stage of the chain.
    pub first: Hop,
    /// None if nothing is evaluated.
    pub evaluator: Option<Arc<Mailbox<Evaluation<S>>>>,
    /// Versions that were evaluated before this run was resumed.
    pub evaluated: BTreeSet<PolicyVersion>,
    pub recorder: Arc<Mailbox<RecorderMessage>>,
    pub faults: Faults,
    /// Tells whoever waits for the run that it is over.
    pub fuse: Fuse,
}

impl<S> Context<S> {
    /// Asks for an evaluation of a version, if anything is evaluated and it was not before a resume. `done` is dropped when
    /// it is over. Until then the snapshot is part of every checkpoint.
    pub fn evaluate(&self, version: PolicyVersion, done: Option<oneshot::Sender<()>>) {
        let Some(evaluator) = self.evaluator.as_ref().filter(|_| !self.evaluated.contains(&version)) else { return };
        if let Some(snapshot) = self.snapshots.hold(version) {
            evaluator.put(Evaluation { version, snapshot, done });
        }
    }

    /// Whether a version is evaluated under way: the last one is when training is over.
    pub fn evaluation_is_due(&self, version: PolicyVersion) -> bool {
        let RunConfig { steps, evaluate_first, evaluate_every, .. } = self.config;
        match version.0 {
            0 => evaluate_first,
            version => version < steps && evaluate_every > 0 && version.is_multiple_of(evaluate_every),
        }
    }

    /// The newest published policy version.
    pub fn newest(&self) -> Option<Versioned<S>> {
        let version = self.gate.version();
        self.snapshots.get(version).map(|weights| Versioned { version, weights })
    }

    /// Ends the run with an error.
    pub fn fail(&self, error: RunError) {
        self.fuse.fail(error);
    }
}

/// The reason with which an actor stops when its work is done; the supervisor does not replace it.
pub(crate) const FINISHED: &str = "finished";
