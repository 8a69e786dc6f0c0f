//! What one request has gone through at several servers, and how long it may go on.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{Backoff, Error, error::Blame};

/// Attempts at one request.
pub(super) struct Tries {
    backoff: Backoff,
    /// Since the first attempt, or since there was nobody to ask.
    began: Option<Instant>,
    /// At each server, by its index.
    at: BTreeMap<usize, u32>,
    all: u32,
    last: Option<Error>,
}

impl Tries {
    pub fn new(backoff: Backoff) -> Self {
        Self { backoff, began: None, at: BTreeMap::new(), all: 0, last: None }
    }

    /// From now on time counts: a request that waits for its turn is not late.
    pub fn begin(&mut self) {
        self.began.get_or_insert_with(Instant::now);
    }

    pub fn elapsed(&self) -> Duration {
        self.began.map(|began| began.elapsed()).unwrap_or_default()
    }

    /// Whether the server of this index may be asked once more.
    pub fn may(&self, server: usize) -> bool {
        self.at.get(&server).is_none_or(|tries| *tries < self.backoff.attempts)
    }

    /// The server of this index failed. One that gave a wrong answer is not asked again.
    pub fn failed(&mut self, server: usize, error: Error) {
        let tries = self.at.entry(server).or_default();
        *tries = if error.blame() == Blame::Moment { *tries + 1 } else { self.backoff.attempts };
        self.all += 1;
        self.last = Some(error);
    }

    /// Whether the last answer was a wrong one.
    pub fn blames_a_server(&self) -> bool {
        self.last.as_ref().is_some_and(|error| error.blame() == Blame::Server)
    }

    /// Whether its time is over.
    pub fn over(&self) -> bool {
        self.elapsed() >= Duration::try_from_secs_f64(self.backoff.deadline_seconds).unwrap_or_default()
    }

    /// The last failure, if there was one and no other attempt may begin.
    pub fn used_up(&mut self) -> Option<Error> {
        if self.over() { self.give_up() } else { None }
    }

    /// The last failure, if there was one, with how many led to it.
    pub fn give_up(&mut self) -> Option<Error> {
        let (last, attempts, seconds) = (self.last.take()?, self.all, self.elapsed().as_secs_f64());
        Some(if attempts == 1 { last } else { Error::GaveUp { attempts, seconds, last: Box::new(last) } })
    }
}
