//! Tickets that were lost together, when a sampler broke over one of them: nobody knows which.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use addendum_replay::TicketId;

/// How often each of them was lost so. They are sampled one by one, so that the one to blame fails and the others do
/// not.
#[derive(Default)]
pub(crate) struct Suspects(Mutex<BTreeMap<TicketId, u32>>);

impl Suspects {
    fn all(&self) -> MutexGuard<'_, BTreeMap<TicketId, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn crashes(&self, id: TicketId) -> u32 {
        self.all().get(&id).copied().unwrap_or(0)
    }

    pub fn add(&self, ids: impl Iterator<Item = TicketId>) {
        let mut all = self.all();
        ids.for_each(|id| *all.entry(id).or_default() += 1);
    }

    /// It was sampled.
    pub fn clear(&self, id: TicketId) {
        self.all().remove(&id);
    }
}
