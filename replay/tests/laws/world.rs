//! A run by hand: one event at a time, with its own idea of what the laws allow.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use addendum_replay::{
    Batch, FreshnessGate, GateConfig, GateState, Issue, Mode, Origin, ReplayBuffer, Rollout, RolloutGroup, RolloutId,
    Scored, Stream, StudyOrder, Ticket, TicketId,
};
use addendum_studies::{Study, study::Reference};
use proptest::prelude::*;
use rand::RngCore;

/// One thing that may happen; numbers select among the tickets at hand.
#[derive(Clone, Debug)]
pub enum Event {
    Issue,
    Score(usize),
    Fail(usize),
    Drop(usize),
    Train,
    LoseBatch,
    Restart,
}

pub fn event() -> impl Strategy<Value = Event> {
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

pub fn config(mode: Mode) -> impl Strategy<Value = GateConfig> {
    (1u64..6, 1u64..4, 0u64..5, 1usize..9, any::<u64>(), 1u32..5).prop_map(
        move |(steps, batch_groups, staleness, studies, seed, max_draws)| GateConfig {
            steps,
            batch_groups,
            staleness,
            mode,
            studies,
            seed,
            max_attempts: 3,
            max_draws,
        },
    )
}

pub fn any_mode() -> impl Strategy<Value = Mode> {
    prop_oneof![Just(Mode::FixedLag), Just(Mode::Latest)]
}

/// What a step was trained on: ticket, draw, study, version sampled with, and the head of its random stream.
type Step = Vec<(u64, u32, usize, u64, u64)>;

pub struct World {
    pub gate: FreshnessGate,
    pub buffer: ReplayBuffer,
    pub config: GateConfig,
    pub at_hand: Vec<Ticket>,
    pub steps: Vec<Step>,
    /// Whether the group of a ticket's draw is worth a step.
    pub worth: fn(TicketId, u32) -> bool,
    /// Failed attempts of the present draw of each ticket, counted independently of the gate.
    failures: BTreeMap<TicketId, u32>,
    /// Lost attempts likewise.
    losses: BTreeMap<TicketId, u32>,
    /// Draws that were given up, likewise.
    draws: BTreeMap<TicketId, u32>,
}

/// Says no to about two thirds of all draws.
pub fn picky(ticket: TicketId, draw: u32) -> bool {
    (ticket.0 * 7 + u64::from(draw) * 5).is_multiple_of(3)
}

pub fn group(ticket: Ticket) -> RolloutGroup {
    let rollout = Rollout {
        id: RolloutId(0),
        tokens: vec![1, 2],
        text: "The heart is enlarged.".into(),
        origin: Origin::Sampled { logprobs: vec![-0.5, -0.1], versions: vec![ticket.snapshot(); 2] },
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
    RolloutGroup::new(ticket, Arc::new(study), vec![rollout])
}

impl World {
    pub fn new(config: GateConfig, worth: fn(TicketId, u32) -> bool) -> Self {
        let gate = FreshnessGate::new(config.clone()).unwrap();
        let buffer = ReplayBuffer::new(&gate);
        let (at_hand, steps, failures, losses, draws) = Default::default();
        Self { gate, buffer, config, at_hand, steps, worth, failures, losses, draws }
    }

    pub fn happen(&mut self, event: &Event) {
        match event {
            Event::Issue => {
                self.issue();
            }
            Event::Score(i) => {
                if let Some(ticket) = self.take(*i) {
                    self.score(ticket);
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

    /// What stands between the last stage and the buffer.
    pub fn score(&mut self, ticket: Ticket) {
        let (id, draw) = (ticket.id(), ticket.draw());
        let group = group(ticket);
        let kept = if (self.worth)(id, draw) { Some(group) } else { group.redraw().err().map(|last| *last) };
        match kept {
            Some(group) => {
                assert!((self.worth)(id, draw) || draw + 1 == self.config.max_draws, "{id} had draws left");
                self.buffer.push(group).unwrap();
            }
            None => {
                *self.draws.entry(id).or_default() += 1;
                self.failures.remove(&id);
                self.losses.remove(&id);
            }
        }
    }

    pub fn take(&mut self, i: usize) -> Option<Ticket> {
        (!self.at_hand.is_empty()).then(|| self.at_hand.swap_remove(i % self.at_hand.len()))
    }

    /// Law 1 at the gate.
    pub fn issue(&mut self) -> bool {
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
        assert_eq!(ticket.draw(), count(&self.draws), "{} came with another draw", ticket.id());
        assert!(self.gate.oldest_needed() <= ticket.snapshot(), "a needed snapshot would have been dropped");
        self.at_hand.push(ticket);
        true
    }

    /// Laws 1, 3 and 5 at the learner.
    pub fn train(&mut self) -> bool {
        let Some(batch) = self.buffer.try_next_batch() else {
            return false;
        };
        assert_eq!(batch.step(), self.steps.len() as u64);
        assert!(batch.staleness().all(|lag| lag <= self.config.staleness), "trained on a stale group");
        assert_eq!(batch.groups().len() as u64 + batch.dead(), self.config.batch_groups);
        assert!(self.buffer.try_next_batch().is_none(), "two batches were out at once");
        let step = batch.groups().iter().map(|group| {
            let ticket = &group.ticket;
            let head = ticket.stream(Stream::Sample, 0).next_u64();
            (ticket.id().0, ticket.draw(), ticket.study(), ticket.snapshot().0, head)
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
        // A checkpoint has what died before its place was trained past open again.
        let needed = state.clone().reopened().oldest_needed();
        self.gate = FreshnessGate::resume(self.config.clone(), state).unwrap();
        self.buffer = ReplayBuffer::new(&self.gate);
        self.at_hand.clear();
        assert_eq!(self.gate.oldest_needed(), needed, "the checkpoint would hold the wrong snapshots");
    }

    /// Lets the rest of the run pass without further failures and checks law 2.
    pub fn finish(&mut self) {
        loop {
            let mut progress = false;
            while self.issue() {
                progress = true;
            }
            while let Some(ticket) = self.take(0) {
                self.score(ticket);
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
            let draw = self.draws.get(&id).copied().unwrap_or(0);
            let order = &mut StudyOrder::new(self.config.seed, self.config.studies);
            assert_eq!(letter.study, order.study_of(id, draw), "the letter names another draw's study");
        }
    }
}
