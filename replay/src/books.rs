//! What gate, buffer and tickets share: the ledger behind a lock, and those who wait for a change in it.
//!
//! Whoever waits is woken by what may concern it only: with many idle samplers, a group that reaches the buffer must not
//! wake them all.

use std::{
    fmt,
    sync::OnceLock,
    task::{Context, Waker},
};

use crate::{
    PolicyVersion, TicketId,
    ledger::{Ending, Fate, Ledger},
    sync::{Mutex, lock},
};

#[derive(Debug)]
pub(crate) struct Books {
    pages: Mutex<Pages>,
    witness: OnceLock<Witness>,
}

/// Is told what became of a ticket, in the order in which it happens.
pub(crate) struct Witness(pub Box<dyn Fn(TicketId, Ending) + Send + Sync>);

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Witness")
    }
}

#[derive(Debug)]
struct Pages {
    ledger: Ledger,
    waiting: [Vec<Waker>; 2],
}

/// What is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum For {
    Ticket,
    Batch,
}

impl Books {
    pub fn new(ledger: Ledger) -> Self {
        Self { pages: Mutex::new(Pages { ledger, waiting: Default::default() }), witness: OnceLock::new() }
    }

    /// Looks into the ledger, or changes what nobody waits for.
    pub fn read<T>(&self, look: impl FnOnce(&mut Ledger) -> T) -> T {
        look(&mut lock(&self.pages).ledger)
    }

    /// Changes the ledger and wakes everybody who waits.
    pub fn change<T>(&self, change: impl FnOnce(&mut Ledger) -> T) -> T {
        let (answer, waiting) = {
            let mut pages = lock(&self.pages);
            (change(&mut pages.ledger), std::mem::take(&mut pages.waiting))
        };
        waiting.into_iter().flatten().for_each(Waker::wake);
        answer
    }

    /// Changes what concerns nobody but those who wait for a batch, and wakes them.
    pub fn change_for_batch(&self, change: impl FnOnce(&mut Ledger)) {
        let waiting = {
            let mut pages = lock(&self.pages);
            change(&mut pages.ledger);
            std::mem::take(&mut pages.waiting[For::Batch as usize])
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Asks to be woken at the next change that may concern it. Call it before looking, so that no change falls between
    /// the two.
    pub fn watch(&self, what: For, cx: &Context<'_>) {
        let waiting = &mut lock(&self.pages).waiting[what as usize];
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
    }

    pub fn settle(&self, id: TicketId, fate: Fate) {
        self.change(|ledger| self.settle_in(ledger, id, fate));
    }

    /// Settles the tickets of a batch that was trained on and publishes what was learnt from it, all at once.
    pub fn publish(&self, trained: Vec<TicketId>, dead: u64) -> PolicyVersion {
        self.change(|ledger| {
            trained.into_iter().for_each(|id| self.settle_in(ledger, id, Fate::Trained));
            ledger.publish(dead)
        })
    }

    fn settle_in(&self, ledger: &mut Ledger, id: TicketId, fate: Fate) {
        let ending = ledger.settle(id, fate);
        // Under the lock: the ticket may be issued again as soon as it is gone.
        if let (Some(Witness(tell)), Some(ending)) = (self.witness.get(), ending) {
            tell(id, ending);
        }
    }

    pub fn set_witness(&self, witness: Witness) {
        // The first one stays.
        let _ = self.witness.set(witness);
    }
}
