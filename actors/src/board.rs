//! Where every ticket is and what the actors are at, since when: what a run tells of itself, above all when nothing moves.

mod crew;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use addendum_replay::{Mode, PolicyVersion, TicketId};

use crate::{
    RunConfig,
    status::{ActorStatus, PlaceStatus},
};

pub(crate) use crew::{Crew, Kind};

/// Tickets that a report names one by one.
const MOST_NAMED: usize = 16;

/// Written by all actors of a run.
pub(crate) struct Board(Mutex<Notes>);

struct Notes {
    moved: Instant,
    tickets: BTreeMap<TicketId, (Place, Instant)>,
    busy: BTreeMap<&'static str, (String, Instant)>,
    /// In the order of the flow.
    crews: Vec<Crew>,
}

/// Where a ticket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// This sampler has it, and its study is being read.
    Reading(Arc<str>),
    Sampler(Arc<str>),
    /// Waits for a worker of this stage.
    Before(Arc<str>),
    /// A worker of this stage has it.
    In(Arc<str>),
    /// Waits for the other groups of its step.
    Ready,
    /// It is trained on.
    Learner,
}

impl Place {
    /// Whether it is told ticket by ticket: what the learner has or waits for is told of the learner.
    fn is_under_way(&self) -> bool {
        !matches!(self, Self::Ready | Self::Learner)
    }
}

impl Board {
    /// The board of a run with these actors.
    pub fn new(crews: Vec<Crew>) -> Self {
        Self(Mutex::new(Notes { moved: Instant::now(), tickets: BTreeMap::new(), busy: BTreeMap::new(), crews }))
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
        notes.count(&place, now, 1);
        if let Some((former, _)) = notes.tickets.insert(ticket, (place, now)) {
            notes.count(&former, now, -1);
        }
    }

    /// A ticket is back at the gate, or has ended.
    pub fn gone(&self, ticket: TicketId) {
        let (mut notes, now) = (self.notes(), Instant::now());
        notes.moved = now;
        if let Some((former, _)) = notes.tickets.remove(&ticket) {
            notes.count(&former, now, -1);
        }
    }

    /// An actor is at something until what this returns is dropped.
    pub fn busy(&self, actor: &'static str, what: String) -> Busy<'_> {
        let (mut notes, now) = (self.notes(), Instant::now());
        notes.moved = now;
        notes.busy.insert(actor, (what, now));
        notes.crew(actor, now, |crew| crew.inside = 1);
        Busy(self, actor)
    }

    /// For how long nothing has happened.
    pub fn still(&self) -> Duration {
        self.notes().moved.elapsed()
    }

    /// How the actors spent their time since this was asked before, and where the tickets are now.
    pub fn census(&self) -> (Vec<ActorStatus>, Vec<PlaceStatus>) {
        let (mut notes, now) = (self.notes(), Instant::now());
        let actors = notes.crews.iter_mut().map(|crew| crew.report(now)).collect();
        (actors, notes.places())
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
        let under_way = || notes.tickets.iter().filter(|(_, (place, _))| place.is_under_way());
        for (ticket, (place, since)) in under_way().take(MOST_NAMED) {
            let place = match place {
                Place::Reading(name) => format!("its study is read for {name}"),
                Place::Sampler(name) => format!("at {name}"),
                Place::Before(stage) => format!("waits for {stage}"),
                Place::In(stage) => format!("in {stage}"),
                Place::Ready | Place::Learner => continue,
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
    /// One ticket more, or less, at a place.
    fn count(&mut self, place: &Place, now: Instant, by: isize) {
        match place {
            Place::Reading(name) | Place::Before(name) => {
                self.crew(name, now, |crew| crew.waiting = crew.waiting.saturating_add_signed(by));
            }
            Place::Sampler(name) | Place::In(name) => {
                self.crew(name, now, |crew| crew.inside = crew.inside.saturating_add_signed(by));
            }
            Place::Ready | Place::Learner => {}
        }
    }

    fn crew(&mut self, name: &str, now: Instant, change: impl FnOnce(&mut Crew)) {
        if let Some(crew) = self.crews.iter_mut().find(|crew| *crew.name == *name) {
            crew.turn(now, change);
        }
    }

    fn places(&self) -> Vec<PlaceStatus> {
        let at = |wanted: &Place| self.tickets.values().filter(|(place, _)| place == wanted).count();
        let samplers = || self.crews.iter().filter(|crew| crew.kind == Kind::Sampler);
        let mut places = vec![PlaceStatus {
            place: "sampler".into(),
            waiting: samplers().map(|crew| crew.waiting).sum(),
            inside: samplers().map(|crew| crew.inside).sum(),
        }];
        let stages = self.crews.iter().filter(|crew| crew.kind == Kind::Stage);
        places.extend(stages.map(|crew| PlaceStatus {
            place: crew.name.to_string(),
            waiting: crew.waiting,
            inside: crew.inside,
        }));
        places.push(PlaceStatus { place: "replay".into(), waiting: at(&Place::Ready), inside: 0 });
        places.push(PlaceStatus { place: "learner".into(), waiting: 0, inside: at(&Place::Learner) });
        places
    }

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
        let (mut notes, now) = (self.0.notes(), Instant::now());
        notes.moved = now;
        notes.busy.remove(self.1);
        notes.crew(self.1, now, |crew| crew.inside = 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_who_waits_for_whom() {
        let config = RunConfig { batch_groups: 3, ..RunConfig::default() };
        let board = Board::new(Vec::new());
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
        let board = Board::new(Vec::new());
        (0..40).for_each(|id| board.at(TicketId(id), Place::In("reward".into())));
        let report = board.report(PolicyVersion(0), &RunConfig::default());
        assert!(report.ends_with("and 24 tickets more") && report.lines().count() == 18, "{report}");
    }

    #[test]
    fn a_census_counts_every_ticket_at_its_place_and_none_twice() {
        let crews = [("sampler-0", Kind::Sampler, 1), ("sampler-1", Kind::Sampler, 1), ("reward", Kind::Stage, 2)];
        let board = Board::new(crews.map(|(name, kind, workers)| Crew::new(name, kind, workers)).into());
        board.at(TicketId(0), Place::Reading("sampler-0".into()));
        board.at(TicketId(1), Place::Sampler("sampler-0".into()));
        board.at(TicketId(2), Place::Reading("sampler-1".into()));
        board.at(TicketId(2), Place::Sampler("sampler-1".into()));
        board.at(TicketId(3), Place::Before("reward".into()));
        for (ticket, place) in [(4, Place::In("reward".into())), (5, Place::Ready), (6, Place::Learner)] {
            board.at(TicketId(ticket), place);
        }
        board.at(TicketId(7), Place::In("reward".into()));
        board.gone(TicketId(7));
        board.gone(TicketId(7));
        let (actors, places) = board.census();
        let places: Vec<_> = places.iter().map(|at| (at.place.as_str(), at.waiting, at.inside)).collect();
        assert_eq!(places, [("sampler", 1, 2), ("reward", 1, 1), ("replay", 1, 0), ("learner", 0, 1)]);
        let tickets: Vec<_> = actors.iter().map(|actor| (actor.name.as_str(), actor.tickets)).collect();
        assert_eq!(tickets, [("sampler-0", 1), ("sampler-1", 1), ("reward", 1)]);
        for actor in actors {
            assert!((actor.busy + actor.starved + actor.blocked - 1.0).abs() < 1e-9, "{actor:?}");
        }
    }
}
