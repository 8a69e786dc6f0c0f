//! A place that is drawn again: another study under the same ticket, and nothing else changes.

use std::collections::BTreeSet;

use addendum_replay::{FreshnessGate, GateConfig, GateState, Issue, Mode, Stream, Ticket, TicketId};
use rand::RngCore;

use crate::{
    small,
    world::{World, group},
};

fn next(gate: &FreshnessGate) -> Ticket {
    match gate.try_issue() {
        Issue::Ticket(ticket) => ticket,
        other => panic!("expected a ticket, got {other:?}"),
    }
}

fn head(ticket: &Ticket, purpose: Stream) -> u64 {
    ticket.stream(purpose, 1).next_u64()
}

#[test]
fn a_draw_keeps_place_and_version_and_shares_no_stream_with_the_one_before() {
    let gate = FreshnessGate::new(GateConfig { max_draws: 40, ..small(Mode::FixedLag, 1) }).unwrap();
    let (mut studies, mut heads) = (BTreeSet::new(), BTreeSet::new());
    for draw in 0..40 {
        let ticket = next(&gate);
        assert_eq!((ticket.id(), ticket.draw(), ticket.snapshot().0, ticket.attempt()), (TicketId(0), draw, 0, 1));
        studies.insert(ticket.study());
        heads.extend([Stream::Sample, Stream::Edit, Stream::Group, Stream::Custom].map(|of| head(&ticket, of)));
        let left = ticket.redraw();
        assert_eq!(left.is_ok(), draw < 39);
    }
    assert_eq!((studies.len(), heads.len()), (3, 160));
    assert_eq!(gate.stats().redraws, 39);
}

#[test]
fn after_the_last_draw_the_group_is_trained_on_as_it_is() {
    for max_draws in [1, 3] {
        let config = GateConfig { max_draws, ..small(Mode::FixedLag, 0) };
        let mut world = World::new(config, |_, _| false);
        world.finish();
        assert!(world.steps.iter().flatten().all(|group| group.1 == max_draws - 1));
        assert_eq!(world.gate.stats().redraws, 8 * u64::from(max_draws - 1));
    }
}

#[test]
fn the_attempts_of_one_draw_do_not_count_for_the_next() {
    let gate = FreshnessGate::new(small(Mode::FixedLag, 0)).unwrap();
    for _ in 0..2 {
        next(&gate).fail("unreadable image");
        next(&gate).fail("unreadable image");
        let third = next(&gate);
        assert_eq!(third.attempt(), 3);
        third.redraw().unwrap();
    }
    let ticket = next(&gate);
    assert_eq!((ticket.draw(), ticket.attempt()), (2, 1));
    assert!(gate.dead_letters().is_empty());
}

#[test]
fn a_redraw_while_the_run_is_being_shut_down_is_kept_for_its_resumption() {
    let config = small(Mode::FixedLag, 0);
    let gate = FreshnessGate::new(config.clone()).unwrap();
    let ticket = next(&gate);
    gate.close();
    group(ticket).redraw().unwrap();
    let resumed = FreshnessGate::resume(config, gate.state()).unwrap();
    assert_eq!(next(&resumed).draw(), 1);
}

#[test]
fn a_checkpoint_from_before_there_were_draws_is_read_and_one_with_too_many_is_refused() {
    let config = GateConfig { max_draws: GateConfig::DEFAULT_MAX_DRAWS, ..small(Mode::FixedLag, 0) };
    let gate = FreshnessGate::new(config.clone()).unwrap();
    next(&gate).fail("unreadable image");
    let mut json = serde_json::to_value(gate.state()).unwrap();
    json["open"]["0"].as_object_mut().unwrap().remove("draw").unwrap();
    json["config"].as_object_mut().unwrap().remove("max_draws").unwrap();
    let mut state: GateState = serde_json::from_value(json).unwrap();
    assert_eq!(state, gate.state());

    let fewer = GateConfig { max_draws: 1, ..config.clone() };
    let error = FreshnessGate::resume(fewer, state.clone()).unwrap_err().to_string();
    assert!(error.contains("`max_draws` = 10, this one 1"), "{error}");
    state.open.get_mut(&TicketId(0)).unwrap().draw = 10;
    let error = FreshnessGate::resume(config, state).unwrap_err().to_string();
    assert!(error.ends_with("ticket 0 was drawn 11 times, the run allows 10"), "{error}");
}
