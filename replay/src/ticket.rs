//! The ticket: the right, and the duty, to sample one study once.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use rand_chacha::ChaCha8Rng;

use crate::{Drawn, PolicyVersion, Stream, TicketId, books::Books, ledger::Fate, stream::stream_of_draw};

/// An owned value that travels inside the group it admitted. It is neither `Clone` nor constructible outside the
/// gate, so holding tickets is the backpressure of the whole pipeline.
///
/// A ticket ends by being trained on. Before that it may fail ([`Ticket::fail`]) or be lost (dropped by a panic or with
/// a killed actor): it returns to the gate, which issues it again before any other, or dead-letters it once it has
/// failed, or was lost, too often.
///
/// What ends for good is the ticket's place in the batches of the run. A group that is not worth a step gives the
/// place to another draw ([`Ticket::redraw`]): the same ticket number and policy version, another study, other random
/// streams, and attempts that start anew.
#[derive(Debug)]
pub struct Ticket {
    pub(crate) id: TicketId,
    pub(crate) drawn: Drawn,
    pub(crate) last_draw: bool,
    pub(crate) attempt: u32,
    pub(crate) snapshot: PolicyVersion,
    pub(crate) seed: u64,
    pub(crate) fate: Fate,
    pub(crate) books: Arc<Books>,
    /// Whether it has come back already, by one way or the other.
    pub(crate) settled: Arc<AtomicBool>,
}

/// The way to have a ticket back from someone who does not give it up, such as a computation that cannot be stopped.
#[derive(Debug)]
pub struct Recall {
    id: TicketId,
    books: Arc<Books>,
    settled: Arc<AtomicBool>,
}

impl Recall {
    /// Returns the ticket to the gate with the reason of the failure. Whatever becomes of the group that it is in
    /// counts for nothing: hand it on no more. Does nothing if the ticket has ended before.
    pub fn fail(self, error: impl ToString) {
        if !self.settled.swap(true, Ordering::SeqCst) {
            self.books.settle(self.id, Fate::Failed(error.to_string()));
        }
    }
}

impl Ticket {
    /// The n of the freshness law.
    pub fn id(&self) -> TicketId {
        self.id
    }

    /// The ticket whose random streams this one has, and which decides what its group is made of: its own number, unless
    /// an earlier run is trained on again.
    pub fn origin(&self) -> TicketId {
        self.drawn.ticket
    }

    /// Which draw of its place this is, counted from zero.
    pub fn draw(&self) -> u32 {
        self.drawn.draw
    }

    /// Index of the study in the training set.
    pub fn study(&self) -> usize {
        self.drawn.study
    }

    /// Counts from one in every draw; those that failed and those that were lost, but not those that grew too old.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The policy version to sample with.
    pub fn snapshot(&self) -> PolicyVersion {
        self.snapshot
    }

    /// The random stream of one rollout of this draw; the same at every attempt.
    pub fn stream(&self, purpose: Stream, rollout: u64) -> ChaCha8Rng {
        stream_of_draw(self.seed, purpose, self.drawn.draw, self.drawn.ticket.0, rollout)
    }

    /// A way to have it back from whoever will hold it.
    pub fn recall(&self) -> Recall {
        Recall { id: self.id, books: self.books.clone(), settled: self.settled.clone() }
    }

    /// Returns the ticket to the gate with the reason of the failure.
    pub fn fail(mut self, error: impl ToString) {
        self.fate = Fate::Failed(error.to_string());
    }

    /// Retires this draw, because its group is not worth a step, and has the place drawn again.
    ///
    /// # Errors
    /// This is the last draw that the place has: here is the ticket again, to be trained on as it is.
    pub fn redraw(mut self) -> Result<(), Self> {
        if self.last_draw {
            return Err(self);
        }
        self.fate = Fate::Redrawn;
        Ok(())
    }

    /// Returns the ticket without counting the attempt: the study did nothing wrong, its group grew too old.
    pub(crate) fn evict(mut self) {
        self.fate = Fate::Evicted;
    }

    /// Ends the ticket for good, once the ledger is told; nothing if it has come back before.
    pub(crate) fn retire(self) -> Option<TicketId> {
        (!self.settled.swap(true, Ordering::SeqCst)).then_some(self.id)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.settled.swap(true, Ordering::SeqCst) {
            self.books.settle(self.id, std::mem::replace(&mut self.fate, Fate::Trained));
        }
    }
}
