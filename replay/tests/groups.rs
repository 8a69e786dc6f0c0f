//! Rollouts of a group know each other by id, whatever stages do to the group.

use std::{collections::BTreeMap, sync::Arc};

use addendum_replay::{
    EditRecord, FreshnessGate, GateConfig, Issue, Mode, Origin, PushError, ReplayBuffer, Rollout, RolloutGroup,
    RolloutId, Scored,
};
use addendum_studies::{Study, study::Reference};

fn gate() -> FreshnessGate {
    let (mode, seed) = (Mode::FixedLag, 0);
    let (max_attempts, max_draws) = (3, 1);
    let config =
        GateConfig { steps: 1, batch_groups: 1, staleness: 0, mode, studies: 1, seed, max_attempts, max_draws };
    FreshnessGate::new(config).unwrap()
}

fn rollout(id: u64, origin: Origin, total: f64) -> Rollout {
    let reward = Some(Scored { total, components: BTreeMap::new() });
    Rollout { id: RolloutId(id), tokens: vec![1], text: "Clear.".into(), origin, truncated: false, reward }
}

/// Samples 0 to 2 with the rewards 1, 2 and 3, and an edited copy of each that earns a half, a quarter, an eighth more.
fn group(gate: &FreshnessGate) -> RolloutGroup {
    let Issue::Ticket(ticket) = gate.try_issue() else { panic!("no ticket") };
    let study = Study {
        id: "s".into(),
        views: Vec::new(),
        indication: None,
        technique: None,
        comparison: None,
        reference: Reference::new("Clear."),
    };
    let sampled = || Origin::Sampled { logprobs: vec![0.0], versions: vec![ticket.snapshot()] };
    let mut rollouts: Vec<_> = (0..3).map(|i| rollout(i, sampled(), 1.0 + i as f64)).collect();
    for (source, gain) in [(0, 0.5), (1, 0.25), (2, 0.125)] {
        let origin = Origin::Edited { source: RolloutId(source), record: EditRecord::default() };
        rollouts.push(rollout(3 + source, origin, 1.0 + source as f64 + gain));
    }
    RolloutGroup::new(ticket, Arc::new(study), rollouts)
}

fn gains(group: &RolloutGroup) -> Vec<f64> {
    group.edit_gains().collect()
}

#[test]
fn a_stage_that_removes_or_reorders_rollouts_changes_no_gain_of_those_that_stay() {
    let gate = gate();
    let mut group = group(&gate);
    assert_eq!(gains(&group), [0.5, 0.25, 0.125]);
    group.rollouts.remove(0);
    assert_eq!(gains(&group), [0.25, 0.125], "the copy of a removed rollout has no gain");
    group.rollouts.reverse();
    assert_eq!(gains(&group), [0.125, 0.25]);
    group.rollouts.retain(Rollout::is_sampled);
    assert!(gains(&group).is_empty());
}

#[test]
fn a_new_rollout_is_not_taken_for_the_source_of_a_copy_whose_source_was_removed() {
    let gate = gate();
    let mut group = group(&gate);
    group.rollouts.retain(|rollout| rollout.id == RolloutId(5));
    group.rollouts[0].id = RolloutId(1);
    let next = group.next_id();
    group.rollouts.push(rollout(next.0, Origin::Reference, 9.0));
    assert!(gains(&group).is_empty(), "{next} is no source");
}

#[test]
fn two_rollouts_with_one_id_are_refused() {
    let gate = gate();
    let buffer = ReplayBuffer::new(&gate);
    let mut twins = group(&gate);
    twins.rollouts.push(twins.rollouts[1].clone());
    let ticket = twins.ticket.id();
    assert_eq!(buffer.push(twins), Err(PushError::SameId { ticket, id: RolloutId(1) }));

    let mut grown = group(&gate);
    let copy = Rollout { id: grown.next_id(), ..grown.rollouts[1].clone() };
    grown.rollouts.push(copy);
    assert_eq!(buffer.push(grown), Ok(()));
}
