//! Who is woken by what: with many idle samplers, a group that arrives must cost no more than with one.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake},
};

use addendum_replay::{FreshnessGate, Issue, Mode, ReplayBuffer};

use crate::{small, world::group};

/// Counts how often it was woken.
#[derive(Default)]
struct Sleeper(AtomicU64);

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Sleeper {
    fn woken(&self) -> u64 {
        self.0.swap(0, Ordering::SeqCst)
    }
}

#[test]
fn a_group_that_arrives_wakes_the_learner_alone_and_a_publication_wakes_a_sampler_once() {
    let gate = FreshnessGate::new(small(Mode::FixedLag, 0)).unwrap();
    let buffer = ReplayBuffer::new(&gate);
    let mut tickets = Vec::new();
    while let Issue::Ticket(ticket) = gate.try_issue() {
        tickets.push(ticket);
    }
    assert_eq!(tickets.len() as u64, gate.config().batch_groups, "a step's tickets are out");
    let (sampler, learner) = (Arc::new(Sleeper::default()), Arc::new(Sleeper::default()));
    let (for_sampler, for_learner) = (sampler.clone().into(), learner.clone().into());
    let (mut issued, mut batched) = (pin!(gate.issue()), pin!(buffer.next_batch()));
    let mut batch = None;
    for ticket in tickets {
        assert!(issued.as_mut().poll(&mut Context::from_waker(&for_sampler)).is_pending());
        assert!(batched.as_mut().poll(&mut Context::from_waker(&for_learner)).is_pending());
        buffer.push(group(ticket)).unwrap();
        assert_eq!((sampler.woken(), learner.woken()), (0, 1));
    }
    if let Poll::Ready(ready) = batched.as_mut().poll(&mut Context::from_waker(&for_learner)) {
        batch = ready;
    }
    batch.expect("the step is complete").publish();
    assert_eq!(sampler.woken(), 1, "for all tickets of the step together");
    assert!(issued.as_mut().poll(&mut Context::from_waker(&for_sampler)).is_ready());
}

#[test]
fn a_ticket_that_comes_back_wakes_samplers_and_learner() {
    let gate = FreshnessGate::new(small(Mode::FixedLag, 0)).unwrap();
    let buffer = ReplayBuffer::new(&gate);
    let Issue::Ticket(ticket) = gate.try_issue() else { panic!("no ticket") };
    while let Issue::Ticket(other) = gate.try_issue() {
        buffer.push(group(other)).unwrap();
    }
    let (sampler, learner) = (Arc::new(Sleeper::default()), Arc::new(Sleeper::default()));
    let (for_sampler, for_learner) = (sampler.clone().into(), learner.clone().into());
    let (mut issued, mut batched) = (pin!(gate.issue()), pin!(buffer.next_batch()));
    assert!(issued.as_mut().poll(&mut Context::from_waker(&for_sampler)).is_pending());
    assert!(batched.as_mut().poll(&mut Context::from_waker(&for_learner)).is_pending());
    ticket.fail("unreadable");
    assert_eq!((sampler.woken(), learner.woken()), (1, 1));
}
