//! The freshness gate: issues tickets no faster than versions are published, and takes dropped ones back.
//!
//! It holds no rollouts and no weights. It may be shared by any number of threads and tasks of any executor.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use crate::{
    ConfigError, DeadLetter, GateConfig, GateState, GateStats, PolicyVersion, Ticket, TicketId,
    ledger::{Ledger, Next, Permit},
    sync::{Mutex, lock},
    ticket::Fate,
};

/// The gate of one run. Cloning it gives another handle to the same gate.
#[derive(Clone, Debug)]
pub struct FreshnessGate {
    pub(crate) shared: Arc<Shared>,
}

/// The answer to [`FreshnessGate::try_issue`].
#[derive(Debug)]
pub enum Issue {
    Ticket(Ticket),
    /// Ask again after a publication or the return of a ticket.
    Wait,
    /// No ticket will ever be issued again.
    Finished,
}

/// What gate, buffer and tickets share: the books, and those who wait for a change in them.
#[derive(Debug)]
pub(crate) struct Shared {
    books: Mutex<Books>,
}

#[derive(Debug)]
struct Books {
    ledger: Ledger,
    waiting: Vec<Waker>,
}

impl FreshnessGate {
    /// # Errors
    /// The configuration is invalid.
    pub fn new(config: GateConfig) -> Result<Self, ConfigError> {
        Ledger::new(config).map(Self::with)
    }

    /// Continues from a checkpoint; tickets that were open then are issued again before any other.
    ///
    /// # Errors
    /// The configuration is invalid, or the state is inconsistent or belongs to a different run.
    pub fn resume(config: GateConfig, state: GateState) -> Result<Self, ConfigError> {
        Ledger::resume(config, state).map(Self::with)
    }

    fn with(ledger: Ledger) -> Self {
        Self { shared: Arc::new(Shared { books: Mutex::new(Books { ledger, waiting: Vec::new() }) }) }
    }

    /// A ticket, if one may be issued now.
    pub fn try_issue(&self) -> Issue {
        let (next, seed) = self.shared.read(|ledger| (ledger.issue(), ledger.config.seed));
        match next {
            Next::Permit(Permit { id, study, attempt, snapshot }) => Issue::Ticket(Ticket {
                id,
                study,
                attempt,
                snapshot,
                seed,
                fate: Fate::unless_told_otherwise(),
                gate: self.shared.clone(),
            }),
            Next::Wait => Issue::Wait,
            Next::Finished => Issue::Finished,
        }
    }

    /// Waits for the next ticket; `None` once no ticket will ever be issued again.
    pub async fn issue(&self) -> Option<Ticket> {
        poll_fn(|cx| {
            self.shared.watch(cx);
            match self.try_issue() {
                Issue::Ticket(ticket) => Poll::Ready(Some(ticket)),
                Issue::Finished => Poll::Ready(None),
                Issue::Wait => Poll::Pending,
            }
        })
        .await
    }

    /// Ends the run early: nothing more is issued or batched, and tickets dropped from now on count no attempt.
    pub fn close(&self) {
        self.shared.change(|ledger| ledger.closed = true);
    }

    /// The newest published version.
    pub fn version(&self) -> PolicyVersion {
        self.shared.read(|ledger| ledger.version)
    }

    /// The oldest version that a ticket may still be sampled with; older snapshots can be dropped.
    pub fn oldest_needed(&self) -> PolicyVersion {
        self.shared.read(|ledger| ledger.oldest_needed())
    }

    pub fn dead_letters(&self) -> BTreeMap<TicketId, DeadLetter> {
        self.shared.read(|ledger| ledger.dead_letters().clone())
    }

    pub fn stats(&self) -> GateStats {
        self.shared.read(|ledger| ledger.stats())
    }

    /// What a checkpoint must keep. Take it between two steps, after [`Batch::publish`](crate::Batch::publish).
    pub fn state(&self) -> GateState {
        self.shared.read(|ledger| ledger.state())
    }

    pub fn config(&self) -> GateConfig {
        self.shared.read(|ledger| ledger.config.clone())
    }
}

impl Shared {
    /// Looks into the books, or changes what nobody waits for.
    pub fn read<T>(&self, look: impl FnOnce(&mut Ledger) -> T) -> T {
        look(&mut lock(&self.books).ledger)
    }

    /// Changes the books and wakes everybody who waits.
    pub fn change<T>(&self, change: impl FnOnce(&mut Ledger) -> T) -> T {
        let (answer, waiting) = {
            let mut books = lock(&self.books);
            (change(&mut books.ledger), std::mem::take(&mut books.waiting))
        };
        waiting.into_iter().for_each(Waker::wake);
        answer
    }

    /// Asks to be woken at the next change. Call it before looking, so that no change falls between the two.
    pub fn watch(&self, cx: &Context<'_>) {
        let mut books = lock(&self.books);
        if !books.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            books.waiting.push(cx.waker().clone());
        }
    }

    pub fn settle(&self, id: TicketId, fate: Fate) {
        self.change(|ledger| ledger.settle(id, fate));
    }
}
