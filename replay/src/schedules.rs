//! Model-checked schedules of gate and buffer: samplers, a learner and a stopper as threads whose every lock and
//! wake-up is a choice of the checker. A lost wake-up or a lock cycle shows up as a deadlock.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex as StdMutex},
};

use addendum_studies::{Study, study::Reference};
use shuttle::{future::block_on, thread};

use crate::{
    FreshnessGate, GateConfig, Mode, Origin, PolicyVersion, ReplayBuffer, Rollout, RolloutGroup, RolloutId, Scored,
    Ticket, TicketId,
};

const ITERATIONS: usize = 1000;

fn config(mode: Mode, staleness: u64) -> GateConfig {
    GateConfig { steps: 3, batch_groups: 2, staleness, mode, studies: 4, seed: 5, max_attempts: 3, max_draws: 3 }
}

fn study() -> Arc<Study> {
    Arc::new(Study {
        id: "s".into(),
        views: Vec::new(),
        indication: None,
        technique: None,
        comparison: None,
        reference: Reference::new("Clear."),
    })
}

fn scored(ticket: Ticket) -> RolloutGroup {
    let rollout = Rollout {
        id: RolloutId(0),
        tokens: vec![1],
        text: "Clear.".into(),
        origin: Origin::Sampled { logprobs: vec![0.0], versions: vec![ticket.snapshot()] },
        truncated: false,
        reward: Some(Scored { total: 1.0, components: BTreeMap::new() }),
    };
    RolloutGroup::new(ticket, study(), vec![rollout])
}

/// Samples until the gate is finished; `drop_first` loses the first attempt of every ticket it names.
fn sampler(gate: FreshnessGate, buffer: ReplayBuffer, drop_first: fn(TicketId) -> bool) {
    let required = gate.config();
    while let Some(ticket) = block_on(gate.issue()) {
        assert!(gate.version() >= required.required_version(ticket.id()), "{} was issued too early", ticket.id());
        if drop_first(ticket.id()) && ticket.attempt() == 1 {
            continue;
        }
        buffer.push(scored(ticket)).unwrap();
    }
}

/// As [`sampler`], but the first draws of every other place are not worth a step.
fn picky_sampler(gate: FreshnessGate, buffer: ReplayBuffer) {
    while let Some(ticket) = block_on(gate.issue()) {
        assert!(gate.version() >= gate.config().required_version(ticket.id()), "{} was issued too early", ticket.id());
        let worth = ticket.id().0 % 2 == 1 || ticket.draw() == 2;
        let group = scored(ticket);
        let kept = if worth { Some(group) } else { group.redraw().err().map(|last| *last) };
        kept.into_iter().for_each(|group| buffer.push(group).unwrap());
    }
}

type Trained = Arc<StdMutex<Vec<Vec<u64>>>>;

fn learner(gate: FreshnessGate, buffer: ReplayBuffer, trained: Trained) {
    while let Some(batch) = block_on(buffer.next_batch()) {
        assert_eq!(batch.step(), gate.version().0);
        assert!(batch.staleness().all(|lag| lag <= gate.config().staleness));
        trained.lock().unwrap().push(batch.groups().iter().map(|group| group.ticket.id().0).collect());
        batch.publish();
    }
}

fn run(mode: Mode, staleness: u64, samplers: usize, drop_first: fn(TicketId) -> bool) -> Vec<Vec<u64>> {
    let gate = FreshnessGate::new(config(mode, staleness)).unwrap();
    let buffer = ReplayBuffer::new(&gate);
    let trained = Trained::default();
    let mut threads: Vec<_> = (0..samplers)
        .map(|_| {
            let (gate, buffer) = (gate.clone(), buffer.clone());
            thread::spawn(move || sampler(gate, buffer, drop_first))
        })
        .collect();
    let (learning_gate, log) = (gate.clone(), trained.clone());
    threads.push(thread::spawn(move || learner(learning_gate, buffer, log)));
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(gate.version(), PolicyVersion(3));
    trained.lock().unwrap().clone()
}

#[test]
fn no_schedule_deadlocks_or_changes_the_batches_of_fixed_lag() {
    shuttle::check_random(
        || {
            let trained = run(Mode::FixedLag, 1, 2, |id| id.0 % 3 == 0);
            assert_eq!(trained, [[0, 1], [2, 3], [4, 5]]);
        },
        ITERATIONS,
    );
}

#[test]
fn no_schedule_of_synchronous_training_deadlocks() {
    shuttle::check_pct(
        || {
            assert_eq!(run(Mode::FixedLag, 0, 2, |_| false), [[0, 1], [2, 3], [4, 5]]);
        },
        ITERATIONS,
        3,
    );
}

#[test]
fn no_schedule_loses_or_repeats_a_ticket_in_latest_mode() {
    shuttle::check_random(
        || {
            let mut trained = run(Mode::Latest, 1, 2, |id| id.0 == 1).concat();
            trained.sort_unstable();
            assert_eq!(trained, [0, 1, 2, 3, 4, 5]);
        },
        ITERATIONS,
    );
}

/// Ticket and draw of every group, by step, of a run with two picky samplers.
fn picky_run(mode: Mode, max_draws: u32) -> Vec<Vec<(u64, u32)>> {
    let gate = FreshnessGate::new(GateConfig { max_draws, ..config(mode, 1) }).unwrap();
    let buffer = ReplayBuffer::new(&gate);
    let mut threads = Vec::new();
    for _ in 0..2 {
        let (gate, buffer) = (gate.clone(), buffer.clone());
        threads.push(thread::spawn(move || picky_sampler(gate, buffer)));
    }
    let mut steps = Vec::new();
    while let Some(batch) = block_on(buffer.next_batch()) {
        assert!(batch.staleness().all(|lag| lag <= 1));
        steps.push(batch.groups().iter().map(|group| (group.ticket.id().0, group.ticket.draw())).collect());
        batch.publish();
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(gate.stats().redraws, 3 * u64::from(max_draws - 1));
    steps
}

#[test]
fn no_schedule_of_redraws_deadlocks_or_changes_the_batches_of_fixed_lag() {
    for max_draws in [2, 3] {
        let last = max_draws - 1;
        shuttle::check_random(
            move || {
                let steps = picky_run(Mode::FixedLag, max_draws);
                assert_eq!(steps, [[(0, last), (1, 0)], [(2, last), (3, 0)], [(4, last), (5, 0)]]);
            },
            ITERATIONS,
        );
    }
}

#[test]
fn no_schedule_of_redraws_loses_or_repeats_a_place_in_latest_mode() {
    shuttle::check_random(
        || {
            let mut trained = picky_run(Mode::Latest, 3).concat();
            trained.sort_unstable();
            assert_eq!(trained, [(0, 2), (1, 0), (2, 2), (3, 0), (4, 2), (5, 0)]);
        },
        ITERATIONS,
    );
}

#[test]
fn closing_the_gate_ends_everybody_in_every_schedule() {
    shuttle::check_random(
        || {
            let gate = FreshnessGate::new(config(Mode::FixedLag, 1)).unwrap();
            let buffer = ReplayBuffer::new(&gate);
            let (g, b) = (gate.clone(), buffer.clone());
            let sampling = thread::spawn(move || sampler(g, b, |_| false));
            let (g, b) = (gate.clone(), buffer.clone());
            let learning = thread::spawn(move || learner(g, b, Trained::default()));
            gate.close();
            sampling.join().unwrap();
            learning.join().unwrap();
            buffer.clear();
            let state = gate.state();
            assert!(state.open.values().all(|open| open.attempts + open.lost == 0), "closing counted as a failure");
            assert_eq!(gate.stats().in_flight, 0, "a ticket was lost");
            FreshnessGate::resume(gate.config(), state).unwrap();
        },
        ITERATIONS,
    );
}

#[test]
fn tickets_that_keep_failing_die_in_every_schedule_and_the_run_ends() {
    shuttle::check_random(
        || {
            let gate = FreshnessGate::new(config(Mode::FixedLag, 1)).unwrap();
            let buffer = ReplayBuffer::new(&gate);
            let mut threads = Vec::new();
            for _ in 0..2 {
                let (gate, buffer) = (gate.clone(), buffer.clone());
                threads.push(thread::spawn(move || {
                    while let Some(ticket) = block_on(gate.issue()) {
                        match ticket.id().0 {
                            2 | 3 => ticket.fail("unreadable image"),
                            _ => buffer.push(scored(ticket)).unwrap(),
                        }
                    }
                }));
            }
            let trained = Trained::default();
            let (g, log) = (gate.clone(), trained.clone());
            threads.push(thread::spawn(move || learner(g, buffer, log)));
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            assert_eq!(*trained.lock().unwrap(), [vec![0, 1], vec![], vec![4, 5]]);
            let dead = gate.dead_letters();
            assert_eq!(dead.keys().map(|id| id.0).collect::<Vec<_>>(), [2, 3]);
            assert!(dead.values().all(|letter| letter.error == "unreadable image" && letter.attempts == 3));
        },
        ITERATIONS,
    );
}
