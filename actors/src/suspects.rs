//! Tickets that were lost together, when a sampler broke over one of them: nobody knows which.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use addendum_replay::TicketId;

/// They are sampled one by one, so that the one to blame fails and the others do not.
#[derive(Default)]
pub(crate) struct Suspects(Mutex<BTreeSet<TicketId>>);

impl Suspects {
    fn all(&self) -> MutexGuard<'_, BTreeSet<TicketId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn contains(&self, id: TicketId) -> bool {
        self.all().contains(&id)
    }

    pub fn add(&self, ids: impl Iterator<Item = TicketId>) {
        self.all().extend(ids);
    }

    /// It was sampled.
    pub fn clear(&self, id: TicketId) {
        self.all().remove(&id);
    }
}
