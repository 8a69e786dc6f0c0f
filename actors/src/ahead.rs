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
    /// Tickets of the whole run.
    pub tickets: u64,
    pub track: Track,
}

pub(crate) struct Ahead(Option<Working>);

struct Working {
    thread: Compute<Lookout>,
    shared: Arc<Shared>,
}

/// What the thread knows of the tickets to come.
struct Lookout {
    order: StudyOrder,
    /// The first ticket that was not foreseen yet.
    cursor: u64,
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
    pub async fn start(outlook: Outlook, order: StudyOrder, next: TicketId) -> Result<Self, Failure> {
        let distance = outlook.distance;
        if distance == 0 {
            return Ok(Self(None));
        }
        let lookout = Lookout { order, cursor: next.0 };
        let thread = Compute::spawn("ahead", outlook.threads, move || Ok::<_, Failure>(lookout)).await?;
        let shared = Shared { outlook, next: AtomicU64::new(next.0), read: Mutex::default() };
        let working = Working { thread, shared: Arc::new(shared) };
        (0..distance).for_each(|_| working.foresee());
        Ok(Self(Some(working)))
    }

    /// A ticket left the gate, so that more are within sight. To be called within the runtime.
    pub fn issued(&self, ticket: TicketId) {
        let Some(working) = &self.0 else { return };
        let next = ticket.0 + 1;
        // Of two samplers the one with the younger ticket may be here first; one that is issued again was seen before.
        let before = working.shared.next.fetch_max(next, Ordering::Relaxed);
        (before..next).for_each(|_| working.foresee());
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
    /// Has the next one of the tickets within sight foreseen.
    fn foresee(&self) {
        let (thread, shared) = (self.thread.clone(), self.shared.clone());
        tokio::spawn(async move { thread.run(move |lookout| shared.foresee(lookout)).await });
    }
}

impl Shared {
    fn read(&self) -> MutexGuard<'_, VecDeque<(usize, Study)>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn foresee(&self, Lookout { order, cursor }: &mut Lookout) -> Result<(), Failure> {
        let Outlook { dataset, hooks, distance, tickets, track, .. } = &self.outlook;
        let next = self.next.load(Ordering::Relaxed);
        let ticket = next.max(*cursor);
        if ticket >= next.saturating_add(*distance).min(*tickets) {
            return Ok(());
        }
        *cursor = ticket + 1;
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
