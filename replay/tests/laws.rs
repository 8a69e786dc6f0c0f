//! The laws of tickets under random schedules, failures, restarts and numbers of samplers.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use addendum_replay::{
    Batch, FreshnessGate, GateConfig, GateState, Issue, Mode, Origin, PushError, ReplayBuffer, Rollout, RolloutGroup,
    RolloutId, Scored, Stream, Ticket, TicketId,
};
use addendum_studies::{Study, study::Reference};
use proptest::prelude::*;
use rand::RngCore;

/// One thing that may happen; numbers select among the tickets at hand.
#[derive(Clone, Debug)]
enum Event {
    Issue,
    Score(usize),
    Fail(usize),
    Drop(usize),
    Train,
    LoseBatch,
    Restart,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => Just(Event::Issue),
        5 => any::<usize>().prop_map(Event::Score),
        1 => any::<usize>().prop_map(Event::Fail),
        1 => any::<usize>().prop_map(Event::Drop),
        3 => Just(Event::Train),
        1 => Just(Event::LoseBatch),
        1 => Just(Event::Restart),
    ]
}

fn config(mode: Mode) -> impl Strategy<Value = GateConfig> {
    (1u64..6, 1u64..4, 0u64..5, 1usize..9, any::<u64>()).prop_map(
        move |(steps, batch_groups, staleness, studies, seed)| GateConfig {
            steps,
            batch_groups,
            staleness,
            mode,
            studies,
            seed,
            max_attempts: 3,
        },
    )
}

fn any_mode() -> impl Strategy<Value = Mode> {
    prop_oneof![Just(Mode::FixedLag), Just(Mode::Latest)]
}

/// What a step was trained on: ticket, study, version sampled with, and the head of its random stream.
type Step = Vec<(u64, usize, u64, u64)>;

struct World {
    gate: FreshnessGate,
    buffer: ReplayBuffer,
    config: GateConfig,
    at_hand: Vec<Ticket>,
    steps: Vec<Step>,
    /// Failed attempts per ticket, counted independently of the gate.
    failures: BTreeMap<TicketId, u32>,
    /// Lost attempts likewise.
    losses: BTreeMap<TicketId, u32>,
}

fn group(ticket: Ticket) -> RolloutGroup {
    let rollout = Rollout {
        id: RolloutId(0),
        tokens: vec![1, 2],
        text: "The heart is enlarged.".into(),
        origin: Origin::Sampled { logprobs: vec![-0.5, -0.1], version: ticket.snapshot() },
        truncated: false,
        reward: Some(Scored { total: 0.5, components: BTreeMap::new() }),
    };
    let study = Study {
        id: ticket.study().to_string(),
        views: Vec::new(),
        indication: None,
        technique: None,
        comparison: None,
        reference: Reference::new("Cardiomegaly."),
    };
    RolloutGroup { ticket, study: Arc::new(study), rollouts: vec![rollout] }
}

impl World {
    fn new(config: GateConfig) -> Self {
        let gate = FreshnessGate::new(config.clone()).unwrap();
        let buffer = ReplayBuffer::new(&gate);
        let (at_hand, steps, failures, losses) = Default::default();
        Self { gate, buffer, config, at_hand, steps, failures, losses }
    }

    fn happen(&mut self, event: &Event) {
        match event {
            Event::Issue => {
                self.issue();
            }
            Event::Score(i) => {
                if let Some(ticket) = self.take(*i) {
                    self.buffer.push(group(ticket)).unwrap();
                }
            }
            Event::Fail(i) => {
                if let Some(ticket) = self.take(*i) {
                    *self.failures.entry(ticket.id()).or_default() += 1;
                    ticket.fail("the stage said no");
                }
            }
            Event::Drop(i) => {
                if let Some(ticket) = self.take(*i) {
                    *self.losses.entry(ticket.id()).or_default() += 1;
                    drop(ticket);
                }
            }
            Event::Train => {
                self.train();
            }
            Event::LoseBatch => {
                if let Some(batch) = self.buffer.try_next_batch() {
                    batch.groups().iter().for_each(|group| {
                        *self.losses.entry(group.ticket.id()).or_default() += 1;
                    });
                    drop(batch);
                }
            }
            Event::Restart => self.restart(),
        }
    }

    fn take(&mut self, i: usize) -> Option<Ticket> {
        (!self.at_hand.is_empty()).then(|| self.at_hand.swap_remove(i % self.at_hand.len()))
    }

    /// Law 1 at the gate.
    fn issue(&mut self) -> bool {
        let version = self.gate.version();
        let Issue::Ticket(ticket) = self.gate.try_issue() else {
            return false;
        };
        assert!(version >= self.config.required_version(ticket.id()), "{} came too early", ticket.id());
        match self.config.mode {
            Mode::FixedLag => assert_eq!(ticket.snapshot(), self.config.required_version(ticket.id())),
            Mode::Latest => assert_eq!(ticket.snapshot(), version),
        }
        assert!(self.at_hand.iter().all(|other| other.id() != ticket.id()), "{} was issued twice", ticket.id());
        let count = |counts: &BTreeMap<TicketId, u32>| counts.get(&ticket.id()).copied().unwrap_or(0);
        assert_eq!(ticket.attempt(), count(&self.failures) + count(&self.losses) + 1);
        assert!(self.gate.oldest_needed() <= ticket.snapshot(), "a needed snapshot would have been dropped");
        self.at_hand.push(ticket);
        true
    }

    /// Laws 1, 3 and 5 at the learner.
    fn train(&mut self) -> bool {
        let Some(batch) = self.buffer.try_next_batch() else {
            return false;
        };
        assert_eq!(batch.step(), self.steps.len() as u64);
        assert!(batch.staleness().all(|lag| lag <= self.config.staleness), "trained on a stale group");
        assert_eq!(batch.groups().len() as u64 + batch.dead(), self.config.batch_groups);
        assert!(self.buffer.try_next_batch().is_none(), "two batches were out at once");
        let step = batch.groups().iter().map(|group| {
            let ticket = &group.ticket;
            (ticket.id().0, ticket.study(), ticket.snapshot().0, ticket.stream(Stream::Sample, 0).next_u64())
        });
        self.steps.push(step.collect());
        self.check_tickets_of_step(&batch);
        assert_eq!(batch.publish().0, self.steps.len() as u64);
        true
    }

    fn check_tickets_of_step(&self, batch: &Batch) {
        if self.config.mode == Mode::Latest {
            return;
        }
        let (first, size) = (batch.step() * self.config.batch_groups, self.config.batch_groups);
        let present: BTreeSet<u64> = batch.groups().iter().map(|group| group.ticket.id().0).collect();
        let dead = self.gate.dead_letters();
        for id in first..first + size {
            assert!(present.contains(&id) != dead.contains_key(&TicketId(id)), "ticket {id} is missing from its step");
        }
    }

    /// Kills everything and resumes from what a checkpoint would hold.
    fn restart(&mut self) {
        let json = serde_json::to_string(&self.gate.state()).unwrap();
        let state: GateState = serde_json::from_str(&json).unwrap();
        let needed = state.oldest_needed();
        self.gate = FreshnessGate::resume(self.config.clone(), state).unwrap();
        self.buffer = ReplayBuffer::new(&self.gate);
        self.at_hand.clear();
        assert_eq!(self.gate.oldest_needed(), needed, "the checkpoint would hold the wrong snapshots");
    }

    /// Lets the rest of the run pass without further failures and checks law 2.
    fn finish(&mut self) {
        loop {
            let mut progress = false;
            while self.issue() {
                progress = true;
            }
            while let Some(ticket) = self.take(0) {
                self.buffer.push(group(ticket)).unwrap();
                progress = true;
            }
            while self.train() {
                progress = true;
            }
            if !progress {
                break;
            }
        }
        assert!(matches!(self.gate.try_issue(), Issue::Finished), "the run waits forever");
        assert_eq!(self.steps.len() as u64, self.config.steps);
        let trained: Vec<u64> = self.steps.iter().flatten().map(|entry| entry.0).collect();
        let dead: Vec<u64> = self.gate.dead_letters().keys().map(|id| id.0).collect();
        let mut ended = [trained, dead].concat();
        ended.sort_unstable();
        assert_eq!(ended, (0..self.config.tickets()).collect::<Vec<_>>(), "not every ticket ended exactly once");
        for (id, letter) in self.gate.dead_letters() {
            assert_eq!(self.failures.get(&id).copied().unwrap_or(0), letter.attempts);
            assert_eq!(self.losses.get(&id).copied().unwrap_or(0), letter.lost);
            assert!(letter.attempts == self.config.max_attempts || letter.lost == self.config.max_losses());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_ticket_ends_exactly_once_and_nothing_stale_is_trained_on(
        config in any_mode().prop_flat_map(config),
        events in prop::collection::vec(event(), 0..120),
    ) {
        let mut world = World::new(config);
        events.iter().for_each(|event| world.happen(event));
        world.finish();
    }

    #[test]
    fn fixed_lag_trains_on_the_same_groups_whatever_happens(
        config in config(Mode::FixedLag),
        events in prop::collection::vec(event(), 0..120),
    ) {
        // Enough attempts that nothing dies: death is the one thing that may change a batch.
        let config = GateConfig { max_attempts: u32::MAX, ..config };
        let mut calm = World::new(config.clone());
        calm.finish();
        let mut stormy = World::new(config);
        events.iter().for_each(|event| stormy.happen(event));
        stormy.finish();
        prop_assert_eq!(calm.steps, stormy.steps);
    }

    #[test]
    fn attempts_lost_with_their_workers_change_no_batch(
        config in config(Mode::FixedLag),
        events in prop::collection::vec(event(), 0..120),
    ) {
        let mut calm = World::new(config.clone());
        calm.finish();
        let mut stormy = World::new(config);
        let mut losses = 1..stormy.config.max_losses();
        for event in events.iter().filter(|event| !matches!(event, Event::Fail(_))) {
            if !matches!(event, Event::Drop(_) | Event::LoseBatch) || losses.next().is_some() {
                stormy.happen(event);
            }
        }
        stormy.finish();
        prop_assert_eq!(calm.steps, stormy.steps);
    }

    #[test]
    fn a_dropped_ticket_is_issued_before_any_fresh_one(config in config(Mode::FixedLag), lost in any::<prop::sample::Index>()) {
        let mut world = World::new(config);
        while world.issue() {}
        let ids: Vec<_> = world.at_hand.iter().map(|ticket| ticket.id()).collect();
        let lost = lost.index(ids.len());
        let position = world.at_hand.iter().position(|ticket| ticket.id() == ids[lost]).unwrap();
        world.happen(&Event::Drop(position));
        world.issue();
        prop_assert_eq!(world.at_hand.last().map(|ticket| (ticket.id(), ticket.attempt())), Some((ids[lost], 2)));
    }
}

fn small(mode: Mode, staleness: u64) -> GateConfig {
    GateConfig { steps: 4, batch_groups: 2, staleness, mode, studies: 3, seed: 0, max_attempts: 3 }
}

#[test]
fn a_group_that_grew_too_old_is_evicted_and_sampled_again_without_a_lost_attempt() {
    let mut world = World::new(small(Mode::Latest, 1));
    while world.issue() {}
    assert_eq!(world.at_hand.len(), 4);
    let slow = world.at_hand.remove(0);
    for _ in 0..2 {
        while let Some(ticket) = world.take(0) {
            world.buffer.push(group(ticket)).unwrap();
        }
        assert!(world.train());
        while world.issue() {}
    }
    let id = slow.id();
    world.buffer.push(group(slow)).unwrap();
    assert!(!world.train(), "the rest of the batch is still being sampled");
    assert_eq!(world.gate.stats().evictions, 1);
    assert!(world.issue());
    let again = world.at_hand.last().unwrap();
    assert_eq!((again.id(), again.attempt(), again.snapshot().0), (id, 1, 2));
    world.finish();
}

#[test]
fn groups_without_all_rewards_or_of_the_wrong_version_are_refused_and_their_tickets_return() {
    let gate = FreshnessGate::new(small(Mode::FixedLag, 1)).unwrap();
    let buffer = ReplayBuffer::new(&gate);
    let next = || match gate.try_issue() {
        Issue::Ticket(ticket) => group(ticket),
        other => panic!("expected a ticket, got {other:?}"),
    };
    let mut unscored = next();
    unscored.rollouts[0].reward = None;
    let ticket = unscored.ticket.id();
    assert_eq!(buffer.push(unscored), Err(PushError::NotScored { ticket, rollout: 0 }));

    let mut wrong = next();
    assert_eq!((wrong.ticket.id(), wrong.ticket.attempt()), (ticket, 2));
    wrong.rollouts[0].origin = Origin::Sampled { logprobs: vec![], version: addendum_replay::PolicyVersion(3) };
    assert!(matches!(buffer.push(wrong), Err(PushError::WrongVersion { .. })));

    let mut not_finite = next();
    not_finite.rollouts[0].reward = Some(Scored { total: f64::NAN, components: BTreeMap::new() });
    assert!(matches!(buffer.push(not_finite), Err(PushError::NotFinite { .. })));
    assert!(gate.dead_letters()[&ticket].error.contains("NaN"));
    assert!(buffer.is_empty());
}

#[test]
fn a_panic_while_a_ticket_is_held_loses_an_attempt_and_the_thirtieth_ends_it() {
    let gate = FreshnessGate::new(small(Mode::FixedLag, 1)).unwrap();
    for attempt in 1..=30 {
        assert!(gate.dead_letters().is_empty(), "dead after {attempt} losses");
        let Issue::Ticket(ticket) = gate.try_issue() else { panic!("no ticket") };
        assert_eq!((ticket.id(), ticket.attempt()), (TicketId(0), attempt));
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _held = ticket;
            panic!("stage");
        }));
        assert!(result.is_err());
    }
    let letter = &gate.dead_letters()[&TicketId(0)];
    assert_eq!((letter.attempts, letter.lost), (0, 30));
    assert!(
        letter
            .to_string()
            .ends_with(" failed 0 times and was lost 30 times, at last with: the worker that held it is gone")
    );
}

#[test]
fn a_study_that_fails_between_losses_still_has_its_three_attempts() {
    let gate = FreshnessGate::new(small(Mode::FixedLag, 1)).unwrap();
    let next = || match gate.try_issue() {
        Issue::Ticket(ticket) => ticket,
        other => panic!("expected a ticket, got {other:?}"),
    };
    for _ in 0..2 {
        drop(next());
        next().fail("unreadable image");
        drop(next());
    }
    assert!(gate.dead_letters().is_empty());
    let state = gate.state();
    assert_eq!((state.open[&TicketId(0)].attempts, state.open[&TicketId(0)].lost), (2, 4));
    next().fail("unreadable image");
    let letter = &gate.dead_letters()[&TicketId(0)];
    assert_eq!((letter.attempts, letter.lost, letter.error.as_str()), (3, 4, "unreadable image"));
}

#[test]
fn a_checkpoint_from_before_losses_were_counted_is_read() {
    let gate = FreshnessGate::new(small(Mode::FixedLag, 1)).unwrap();
    let Issue::Ticket(ticket) = gate.try_issue() else { panic!("no ticket") };
    ticket.fail("unreadable image");
    let mut json = serde_json::to_value(gate.state()).unwrap();
    json["open"]["0"].as_object_mut().unwrap().remove("lost").unwrap();
    let read: GateState = serde_json::from_value(json).unwrap();
    assert_eq!(read, gate.state());
}

#[test]
fn a_checkpoint_of_another_run_or_a_damaged_one_is_refused_by_name() {
    let mut world = World::new(small(Mode::FixedLag, 1));
    world.issue();
    world.at_hand.clear();
    let state = world.gate.state();
    let refuse = |config: GateConfig, state: GateState| FreshnessGate::resume(config, state).unwrap_err().to_string();
    let seed = GateConfig { seed: 9, ..small(Mode::FixedLag, 1) };
    assert_eq!(refuse(seed, state.clone()), "the saved run has `seed` = 0, this one 9: resume with the saved value");
    let mut damaged = state.clone();
    damaged.open.clear();
    assert!(refuse(small(Mode::FixedLag, 1), damaged).contains("inconsistent"));
    let zero = GateConfig { steps: 0, ..small(Mode::FixedLag, 1) };
    assert_eq!(refuse(zero, state), "`steps` is 0, expected at least 1");
}
