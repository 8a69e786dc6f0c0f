//! How an actor spends its time, known from where the tickets are.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::status::ActorStatus;

/// What tells whether an actor is at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The tickets that it holds. Without any it waits for the gate to give it one.
    Sampler,
    /// The groups that its workers have, and those that wait for one of them.
    Stage,
    /// What it says itself.
    Alone,
}

/// An actor, or the workers of a stage.
pub(crate) struct Crew {
    pub name: Arc<str>,
    pub kind: Kind,
    workers: usize,
    /// Tickets that wait: for a worker of the stage, or until their study is read.
    pub waiting: usize,
    /// Tickets, or other things, that are worked at.
    pub inside: usize,
    since: Instant,
    /// Seconds of one worker each.
    spent: Spent,
}

#[derive(Clone, Copy, Default)]
struct Spent {
    busy: f64,
    starved: f64,
    blocked: f64,
}

impl Crew {
    pub fn new(name: &str, kind: Kind, workers: usize) -> Self {
        Self { name: name.into(), kind, workers, waiting: 0, inside: 0, since: Instant::now(), spent: Spent::default() }
    }

    /// Something changes at this instant.
    pub fn turn(&mut self, now: Instant, change: impl FnOnce(&mut Self)) {
        let seconds = now.saturating_duration_since(self.since).as_secs_f64();
        let (busy, blocked) = self.at_work();
        self.spent.busy += busy as f64 * seconds;
        self.spent.blocked += blocked as f64 * seconds;
        self.spent.starved += (self.workers - busy - blocked) as f64 * seconds;
        self.since = now;
        change(self);
    }

    /// Workers that are at work, and workers that something other than a lack of input keeps from it.
    fn at_work(&self) -> (usize, usize) {
        let busy = self.inside.min(self.workers);
        let blocked = match self.kind {
            Kind::Sampler => usize::from(self.inside + self.waiting == 0),
            // Whoever is free and takes nothing is being restarted.
            Kind::Stage => self.waiting.min(self.workers - busy),
            Kind::Alone => 0,
        };
        (busy, blocked)
    }

    /// What was done since this was asked before.
    pub fn report(&mut self, now: Instant) -> ActorStatus {
        self.turn(now, |_| {});
        let Spent { busy, starved, blocked } = std::mem::take(&mut self.spent);
        let all = (busy + starved + blocked).max(Duration::from_nanos(1).as_secs_f64());
        let (name, workers, tickets) = (self.name.to_string(), self.workers, self.inside);
        ActorStatus { name, workers, tickets, busy: busy / all, starved: starved / all, blocked: blocked / all }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(crew: &mut Crew, now: Instant) -> [f64; 3] {
        let ActorStatus { busy, starved, blocked, .. } = crew.report(now);
        [busy, starved, blocked].map(|share| (share * 1000.0).round() / 1000.0)
    }

    #[test]
    fn a_sampler_is_blocked_without_a_ticket_starved_while_a_study_is_read_and_busy_with_one() {
        let mut crew = Crew::new("sampler-0", Kind::Sampler, 1);
        let start = crew.since;
        let at = |seconds| start + Duration::from_secs(seconds);
        crew.turn(at(1), |crew| crew.waiting += 1);
        crew.turn(at(3), |crew| (crew.waiting, crew.inside) = (0, 1));
        // A second study is read while the first is sampled.
        crew.turn(at(4), |crew| crew.waiting = 1);
        assert_eq!(shares(&mut crew, at(10)), [0.7, 0.2, 0.1]);
        assert_eq!(shares(&mut crew, at(11)), [1.0, 0.0, 0.0], "a reading begins anew");
    }

    #[test]
    fn a_stage_shares_its_time_among_its_workers_and_is_blocked_where_a_group_waits_for_none() {
        let mut crew = Crew::new("reward", Kind::Stage, 2);
        let start = crew.since;
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(shares(&mut crew, at(1)), [0.0, 1.0, 0.0]);
        crew.inside = 1;
        assert_eq!(shares(&mut crew, at(2)), [0.5, 0.5, 0.0]);
        crew.waiting = 3;
        assert_eq!(shares(&mut crew, at(3)), [0.5, 0.0, 0.5]);
        crew.inside = 5;
        assert_eq!(shares(&mut crew, at(4)), [1.0, 0.0, 0.0]);
    }
}
