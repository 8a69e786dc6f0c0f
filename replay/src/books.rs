//! What gate, buffer and tickets share: the ledger behind a lock, and those who wait for a change in it.

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
    waiting: Vec<Waker>,
}

impl Books {
    pub fn new(ledger: Ledger) -> Self {
        Self { pages: Mutex::new(Pages { ledger, waiting: Vec::new() }) }
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
        waiting.into_iter().for_each(Waker::wake);
        answer
    }

    /// Asks to be woken at the next change. Call it before looking, so that no change falls between the two.
    pub fn watch(&self, cx: &Context<'_>) {
        let mut pages = lock(&self.pages);
        if !pages.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            pages.waiting.push(cx.waker().clone());
        }
    }

    pub fn settle(&self, id: TicketId, fate: Fate) {
        self.change(|ledger| ledger.settle(id, fate));
    }
}
