//! Messages that outlive their reader: what an actor has not read when it dies, its successor reads.
//!
//! An actor's own queue dies with it. That is right for a group, whose ticket returns and is sampled again; what happens
//! only once must wait somewhere else.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use ractor::ActorRef;

use crate::{messages::Mail, slot::Slot};

pub(crate) struct Mailbox<M> {
    /// None once it is closed.
    unread: Mutex<Option<VecDeque<M>>>,
    reader: Slot<Mail>,
}

impl<M> Default for Mailbox<M> {
    fn default() -> Self {
        Self { unread: Mutex::new(Some(VecDeque::new())), reader: Slot::default() }
    }
}

impl<M> Mailbox<M> {
    fn unread(&self) -> MutexGuard<'_, Option<VecDeque<M>>> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn put(&self, message: M) {
        if let Some(unread) = self.unread().as_mut() {
            unread.push_back(message);
        }
        self.reader.send(Mail);
    }

    /// The oldest unread message.
    pub fn take(&self) -> Option<M> {
        self.unread().as_mut()?.pop_front()
    }

    /// Throws away what is unread and whatever comes.
    pub fn close(&self) {
        drop(self.unread().take());
    }

    /// Makes `actor` the reader. It must take all that is there whenever it gets [`Mail`], which it does now.
    pub fn belongs_to(&self, actor: ActorRef<Mail>) {
        self.reader.set(actor);
        self.reader.send(Mail);
    }
}
