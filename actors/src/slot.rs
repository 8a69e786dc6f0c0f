//! Addresses that survive a restart: a slot holds the actor that currently plays a role.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use addendum_replay::{ReplayBuffer, RolloutGroup};
use ractor::{
    ActorRef, Message,
    factory::{FactoryMessage, Job},
};

use crate::{
    board::Place,
    compute::{Failure, guarded},
    messages::{PoolMessage, Work},
    meter::Meter,
    telemetry,
};

/// Where messages for a role go. While nobody plays it, they are dropped: a group in them returns its ticket.
pub(crate) struct Slot<M>(Arc<Mutex<Option<ActorRef<M>>>>);

impl<M> Clone for Slot<M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<M> Default for Slot<M> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<M: Message> Slot<M> {
    pub fn set(&self, actor: ActorRef<M>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(actor);
    }

    pub fn send(&self, message: M) {
        let actor = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(actor) = actor {
            // An actor that has just died gives the message back; dropping it is what the slot promises.
            let _ = actor.cast(message);
        }
    }
}

/// Where a group goes when its stage is done.
#[derive(Clone)]
pub(crate) enum Hop {
    /// A stage by its name.
    Pool(Arc<str>, Slot<PoolMessage>),
    Buffer(ReplayBuffer, Option<Worth>),
}

/// Says whether a scored group is worth a step.
pub(crate) type Worth = Arc<dyn Fn(&RolloutGroup) -> bool + Send + Sync>;

impl Hop {
    pub fn forward(&self, group: RolloutGroup, meter: &Meter) {
        let place = match self {
            Self::Pool(stage, _) => Place::Before(stage.clone()),
            Self::Buffer(..) => Place::Ready,
        };
        // Before it goes: it may be back at the gate as soon as it has gone.
        meter.board.at(group.ticket.id(), place);
        match self {
            Self::Pool(_, slot) => {
                let (key, msg) = (group.ticket.id(), Work { group, queued: Instant::now() });
                slot.send(FactoryMessage::Dispatch(Job::builder().key(key).msg(msg).build()));
            }
            Self::Buffer(buffer, None) => push(buffer, group),
            Self::Buffer(buffer, Some(worth)) => {
                let (buffer, worth) = (buffer.clone(), worth.clone());
                // Nobody knows how long the judge thinks.
                tokio::task::spawn_blocking(move || judge(&buffer, &worth, group));
            }
        }
    }
}

fn push(buffer: &ReplayBuffer, group: RolloutGroup) {
    if buffer.push(group).is_err() {
        telemetry::stage_failed("replay");
    }
}

/// Only groups that the buffer would take are judged. One that is not worth a step gives its place to another draw, if
/// it has one left.
fn judge(buffer: &ReplayBuffer, worth: &Worth, group: RolloutGroup) {
    match guarded(|| Ok::<_, Failure>(buffer.check(&group).is_err() || worth(&group))) {
        Ok(true) => push(buffer, group),
        Ok(false) => group.redraw().unwrap_or_else(|last| push(buffer, *last)),
        Err(crash) => {
            telemetry::stage_failed("replay");
            group.fail(crash);
        }
    }
}
