//! Where every ticket is and what the slow actors are at, since when: what a run tells of itself when nothing moves.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use addendum_replay::{Mode, PolicyVersion, TicketId};

use crate::RunConfig;

/// Tickets that a report names one by one.
const MOST_NAMED: usize = 16;

/// Written by all actors of a run.
pub(crate) struct Board(Mutex<Notes>);

struct Notes {
    moved: Instant,
    tickets: BTreeMap<TicketId, (Place, Instant)>,
    busy: BTreeMap<&'static str, (String, Instant)>,
}

/// Where a ticket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Sampler(Arc<str>),
    /// Waits for a worker of this stage.
    Before(Arc<str>),
    /// A worker of this stage has it.
    In(Arc<str>),
    /// Waits for the other groups of its step.
    Ready,
}

impl Board {
    pub fn new() -> Self {
        Self(Mutex::new(Notes { moved: Instant::now(), tickets: BTreeMap::new(), busy: BTreeMap::new() }))
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something happened.
    pub fn moved(&self) {
        self.notes().moved = Instant::now();
    }

    /// A ticket came to a place.
    pub fn at(&self, ticket: TicketId, place: Place) {
        let (mut notes, now) = (self.notes(), Instant::now());
        notes.moved = now;
        notes.tickets.insert(ticket, (place, now));
    }

    /// A ticket is back at the gate, or has ended.
    pub fn gone(&self, ticket: TicketId) {
        let mut notes = self.notes();
        notes.moved = Instant::now();
        notes.tickets.remove(&ticket);
    }

    /// An actor is at something until what this returns is dropped.
    pub fn busy(&self, actor: &'static str, what: String) -> Busy<'_> {
        let (mut notes, now) = (self.notes(), Instant::now());
        notes.moved = now;
        notes.busy.insert(actor, (what, now));
        Busy(self, actor)
    }

    /// For how long nothing has happened.
    pub fn still(&self) -> Duration {
        self.notes().moved.elapsed()
    }

    /// Who waits for whom, and for how long, one a line.
    pub fn report(&self, version: PolicyVersion, config: &RunConfig) -> String {
        let notes = self.notes();
        let mut lines: Vec<String> = notes
            .busy
            .iter()
            .map(|(actor, (what, since))| format!("{actor}: {what}, for {}", lasting(since)))
            .collect();
        if !notes.busy.contains_key("learner") {
            lines.push(notes.learner_waits(version, config));
        }
        let under_way = || notes.tickets.iter().filter(|(_, (place, _))| *place != Place::Ready);
        for (ticket, (place, since)) in under_way().take(MOST_NAMED) {
            let place = match place {
                Place::Sampler(name) => format!("at {name}"),
                Place::Before(stage) => format!("waits for {stage}"),
                Place::In(stage) => format!("in {stage}"),
                Place::Ready => continue,
            };
            lines.push(format!("{ticket}: {place}, for {}", lasting(since)));
        }
        let more = under_way().count().saturating_sub(MOST_NAMED);
        if more > 0 {
            lines.push(format!("and {more} tickets more"));
        }
        if notes.tickets.is_empty() {
            lines.push("no ticket is out: samplers have taken none".into());
        }
        lines.join("\n")
    }
}

impl Notes {
    fn learner_waits(&self, version: PolicyVersion, config: &RunConfig) -> String {
        let ready = |ticket: &TicketId| matches!(self.tickets.get(ticket), Some((Place::Ready, _)));
        let (step, groups) = (version.0, config.batch_groups);
        if config.mode == Mode::Latest {
            let there = self.tickets.values().filter(|(place, _)| *place == Place::Ready).count();
            return format!("the learner waits for {groups} groups to begin step {step}; {there} are ready");
        }
        let missing = (step * groups..(step + 1) * groups).map(TicketId).filter(|ticket| !ready(ticket));
        let missing: Vec<String> = missing.take(MOST_NAMED).map(|ticket| ticket.0.to_string()).collect();
        format!("the learner waits for step {step}: tickets {} are missing", missing.join(", "))
    }
}

fn lasting(since: &Instant) -> String {
    format!("{} s", since.elapsed().as_secs())
}

/// While it lives, somebody is at something.
pub(crate) struct Busy<'a>(&'a Board, &'static str);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let mut notes = self.0.notes();
        notes.moved = Instant::now();
        notes.busy.remove(self.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_who_waits_for_whom() {
        let config = RunConfig { batch_groups: 3, ..RunConfig::default() };
        let board = Board::new();
        assert!(board.report(PolicyVersion(0), &config).contains("no ticket is out"));
        board.at(TicketId(3), Place::Ready);
        board.at(TicketId(4), Place::Sampler("sampler-0".into()));
        board.at(TicketId(4), Place::Before("editor".into()));
        board.at(TicketId(5), Place::In("reward".into()));
        board.at(TicketId(6), Place::In("reward".into()));
        board.gone(TicketId(6));
        let report = board.report(PolicyVersion(1), &config);
        let lines: Vec<_> = report.lines().collect();
        assert_eq!(
            lines,
            [
                "the learner waits for step 1: tickets 4, 5 are missing",
                "ticket 4: waits for editor, for 0 s",
                "ticket 5: in reward, for 0 s"
            ]
        );
        let latest = RunConfig { mode: Mode::Latest, ..config.clone() };
        assert!(board.report(PolicyVersion(1), &latest).starts_with("the learner waits for 3 groups"));
        let _step = board.busy("learner", "step 1".into());
        assert!(board.report(PolicyVersion(1), &config).starts_with("learner: step 1, for 0 s\nticket 4"));
    }

    #[test]
    fn of_many_tickets_some_are_named_and_the_others_counted() {
        let board = Board::new();
        (0..40).for_each(|id| board.at(TicketId(id), Place::In("reward".into())));
        let report = board.report(PolicyVersion(0), &RunConfig::default());
        assert!(report.ends_with("and 24 tickets more") && report.lines().count() == 18, "{report}");
    }
}
