//! What the witness of a gate is told: all of it, once, in order.

use std::sync::{Arc, Mutex};

use addendum_replay::{Ending, FreshnessGate, GateConfig, Issue, Mode, ReplayBuffer, Ticket, TicketId};

use crate::{small, world::group};

fn next(gate: &FreshnessGate) -> Ticket {
    match gate.try_issue() {
        Issue::Ticket(ticket) => ticket,
        other => panic!("expected a ticket, got {other:?}"),
    }
}

#[test]
fn whatever_becomes_of_a_ticket_is_told_once_and_a_recalled_one_ends_when_it_is_recalled() {
    let gate = FreshnessGate::new(GateConfig { max_draws: 2, ..small(Mode::FixedLag, 0) }).unwrap();
    let (told, buffer) = (Arc::new(Mutex::new(Vec::new())), ReplayBuffer::new(&gate));
    let notes = told.clone();
    gate.witness(move |ticket, ending| notes.lock().unwrap().push((ticket.0, ending)));
    let heard = || std::mem::take(&mut *told.lock().unwrap());

    drop(next(&gate));
    next(&gate).redraw().unwrap();
    let ticket = next(&gate);
    ticket.recall().fail("late");
    drop(ticket);
    assert_eq!(heard(), [(0, Ending::Lost), (0, Ending::Redrawn), (0, Ending::Failed("late".into()))]);

    for _ in 2..=3 {
        next(&gate).fail("unreadable");
    }
    let places = gate.config().batch_groups;
    (1..places).for_each(|_| buffer.push(group(next(&gate))).unwrap());
    buffer.try_next_batch().unwrap().publish();
    let mut expected = vec![(0, Ending::Failed("unreadable".into())), (0, Ending::Dead("unreadable".into()))];
    expected.extend((1..places).map(|ticket| (ticket, Ending::Trained)));
    assert_eq!(heard(), expected);

    let last = next(&gate);
    assert_eq!(last.id(), TicketId(places));
    gate.close();
    last.fail("killed");
    assert_eq!(heard(), [(places, Ending::Closed)]);
}

#[test]
fn groups_that_grew_too_old_are_told_as_such() {
    let gate = FreshnessGate::new(small(Mode::Latest, 1)).unwrap();
    let (told, buffer) = (Arc::new(Mutex::new(Vec::new())), ReplayBuffer::new(&gate));
    let notes = told.clone();
    gate.witness(move |ticket, ending| notes.lock().unwrap().push((ticket.0, ending)));
    let mut tickets: Vec<Ticket> = (0..4).map(|_| next(&gate)).collect();
    let late = tickets.split_off(2);
    tickets.into_iter().for_each(|ticket| buffer.push(group(ticket)).unwrap());
    buffer.try_next_batch().unwrap().publish();
    (0..2).for_each(|_| buffer.push(group(next(&gate))).unwrap());
    buffer.try_next_batch().unwrap().publish();
    told.lock().unwrap().clear();
    late.into_iter().for_each(|ticket| buffer.push(group(ticket)).unwrap());
    assert!(buffer.try_next_batch().is_none());
    assert_eq!(*told.lock().unwrap(), [(2, Ending::Evicted), (3, Ending::Evicted)]);
}
