//! The laws of tickets under random schedules, failures, restarts and numbers of samplers.

mod draws;
mod endings;
mod versions;
mod waiting;
mod world;

use std::collections::BTreeMap;

use addendum_replay::{
    FreshnessGate, GateConfig, GateState, Issue, Mode, Origin, PolicyVersion, PushError, ReplayBuffer, Scored, TicketId,
};
use proptest::prelude::*;
use world::{Event, World, any_mode, config, event, group, picky};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_ticket_ends_exactly_once_and_nothing_stale_is_trained_on(
        config in any_mode().prop_flat_map(config),
        events in prop::collection::vec(event(), 0..120),
    ) {
        let mut world = World::new(config, picky);
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
        let mut calm = World::new(config.clone(), picky);
        calm.finish();
        let mut stormy = World::new(config, picky);
        events.iter().for_each(|event| stormy.happen(event));
        stormy.finish();
        prop_assert_eq!(calm.steps, stormy.steps);
    }

    #[test]
    fn attempts_lost_with_their_workers_change_no_batch(
        config in config(Mode::FixedLag),
        events in prop::collection::vec(event(), 0..120),
    ) {
        let mut calm = World::new(config.clone(), picky);
        calm.finish();
        let mut stormy = World::new(config, picky);
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
        let mut world = World::new(config, picky);
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
    GateConfig { steps: 4, batch_groups: 2, staleness, mode, studies: 3, seed: 0, max_attempts: 3, max_draws: 3 }
}

#[test]
fn a_group_that_grew_too_old_is_evicted_and_sampled_again_without_a_lost_attempt() {
    let mut world = World::new(small(Mode::Latest, 1), |_, _| true);
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
    wrong.rollouts[0].origin =
        Origin::Sampled { logprobs: vec![-0.5, -0.1], versions: vec![PolicyVersion(0), PolicyVersion(3)] };
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
    let mut world = World::new(small(Mode::FixedLag, 1), |_, _| true);
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
