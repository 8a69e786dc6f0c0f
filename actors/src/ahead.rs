//! Work done ahead of need: studies are read, and whoever offers to gets ready for them, before their tickets are issued.
//!
//! Which study a ticket will draw depends on the seed alone, so a thread of its own may work as far ahead as it is
//! allowed to. Nothing depends on it: what is not ready is done when it is needed, and what goes wrong here goes wrong
//! there again, where it counts.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use addendum_replay::{StudyOrder, TicketId};
use addendum_studies::{Dataset, Study};
use serde_json::json;

use crate::{
    Track,
    compute::{Compute, Failure},
};

/// Gets ready for a study. It may be called for studies that nobody asks for later, and not at all for others.
pub(crate) type Foresee = Arc<dyn Fn(&Study) + Send + Sync>;

/// How far ahead of the tickets a run works, and on what.
pub(crate) struct Outlook {
    pub dataset: Arc<dyn Dataset>,
    pub hooks: Vec<Foresee>,
    /// Tickets ahead; with 0 nothing is done.
    pub distance: u64,
    /// As many as a stage has, so that what it annotates is, to the bit, what the stage would.
    pub threads: usize,
    pub seed: u64,
    /// Tickets of the whole run.
    pub tickets: u64,
    pub track: Track,
}

pub(crate) struct Ahead(Option<Working>);

struct Working {
    thread: Compute<StudyOrder>,
    shared: Arc<Shared>,
}

struct Shared {
    outlook: Outlook,
    /// The first ticket that was not issued yet.
    next: AtomicU64,
    /// Studies that were read and are not asked for yet, the oldest first.
    read: Mutex<VecDeque<(usize, Study)>>,
}

impl Ahead {
    /// Begins with the tickets from `next` on.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub async fn start(outlook: Outlook, next: TicketId) -> Result<Self, Failure> {
        let distance = outlook.distance;
        if distance == 0 {
            return Ok(Self(None));
        }
        let order = StudyOrder::new(outlook.seed, outlook.dataset.len());
        let thread = Compute::spawn("ahead", outlook.threads, move || Ok::<_, Failure>(order)).await?;
        let shared = Shared { outlook, next: AtomicU64::new(next.0), read: Mutex::default() };
        let working = Working { thread, shared: Arc::new(shared) };
        (next.0..next.0.saturating_add(distance)).for_each(|ticket| working.foresee(ticket));
        Ok(Self(Some(working)))
    }

    /// A ticket left the gate, so that one more is within sight. To be called within the runtime.
    pub fn issued(&self, ticket: TicketId) {
        let Some(working) = &self.0 else { return };
        let next = ticket.0 + 1;
        // One that is issued again was seen before.
        if working.shared.next.fetch_max(next, Ordering::Relaxed) < next {
            working.foresee(ticket.0.saturating_add(working.shared.outlook.distance));
        }
    }

    /// The study at this index of the dataset, if it was read ahead.
    pub fn study(&self, index: usize) -> Option<Study> {
        let mut read = self.0.as_ref()?.shared.read();
        let position = read.iter().position(|(known, _)| *known == index)?;
        read.remove(position).map(|(_, study)| study)
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        if let Some(Working { shared, .. }) = &self.0 {
            // Nothing is ahead of the end.
            shared.next.store(u64::MAX, Ordering::Relaxed);
        }
    }
}

impl Working {
    fn foresee(&self, ticket: u64) {
        let (thread, shared) = (self.thread.clone(), self.shared.clone());
        tokio::spawn(async move { thread.run(move |order| shared.foresee(ticket, order)).await });
    }
}

impl Shared {
    fn read(&self) -> MutexGuard<'_, VecDeque<(usize, Study)>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn foresee(&self, ticket: u64, order: &mut StudyOrder) -> Result<(), Failure> {
        let Outlook { dataset, hooks, distance, tickets, track, .. } = &self.outlook;
        if ticket >= *tickets || ticket < self.next.load(Ordering::Relaxed) {
            return Ok(());
        }
        let _span = track.span("foreseeing").about(|| json!({"ticket": ticket}));
        let index = order.study_of(TicketId(ticket), 0);
        let Ok(study) = dataset.study(index) else { return Ok(()) };
        hooks.iter().for_each(|get_ready| get_ready(&study));
        let mut read = self.read();
        read.push_back((index, study));
        // As many again may be on their way to a sampler; what a sampler that was faster has left here goes.
        while read.len() as u64 > 2 * *distance {
            read.pop_front();
        }
        Ok(())
    }
}
