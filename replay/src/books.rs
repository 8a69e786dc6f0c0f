//! What gate, buffer and tickets share: the ledger behind a lock, and those who wait for a change in it.
//!
//! Whoever waits is woken by what may concern it only: with many idle samplers, a group that reaches the buffer must not
//! wake them all.

use std::task::{Context, Waker};

use crate::{
    TicketId,
    ledger::{Fate, Ledger},
    sync::{Mutex, lock},
};

#[derive(Debug)]
pub(crate) struct Books {
    pages: Mutex<Pages>,
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
        Self { pages: Mutex::new(Pages { ledger, waiting: Default::default() }) }
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
        self.change(|ledger| ledger.settle(id, fate));
    }
}
