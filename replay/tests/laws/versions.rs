//! Every token has a policy version, and all of them count.

use addendum_replay::{Issue, Mode, Origin, PolicyVersion, PushError, RolloutGroup};

use crate::{
    small,
    world::{World, group},
};

/// The group of the next ticket, its two tokens sampled with these versions.
fn sampled(world: &World, versions: &[u64]) -> RolloutGroup {
    let Issue::Ticket(ticket) = world.gate.try_issue() else { panic!("no ticket") };
    let mut group = group(ticket);
    let versions = versions.iter().copied().map(PolicyVersion).collect();
    group.rollouts[0].origin = Origin::Sampled { logprobs: vec![-0.5, -0.1], versions };
    group
}

#[test]
fn a_token_of_another_version_than_the_tickets_is_refused_in_fixed_lag() {
    for versions in [[1, 1], [0, 1], [1, 0]] {
        let world = World::new(small(Mode::FixedLag, 1), |_, _| true);
        let group = sampled(&world, &versions);
        assert!(matches!(world.buffer.push(group), Err(PushError::WrongVersion { found: PolicyVersion(1), .. })));
    }
}

#[test]
fn latest_mode_takes_versions_from_the_tickets_to_the_newest_and_no_others() {
    let mut world = World::new(small(Mode::Latest, 2), |_, _| true);
    world.issue();
    let first = world.take(0).unwrap();
    for _ in 0..2 {
        world.issue();
        let ticket = world.take(0).unwrap();
        world.score(ticket);
    }
    assert!(world.train());
    let mut swapped = group(first);
    swapped.rollouts[0].origin =
        Origin::Sampled { logprobs: vec![-0.5, -0.1], versions: vec![PolicyVersion(0), PolicyVersion(1)] };
    assert_eq!(swapped.oldest_version(), PolicyVersion(0), "the oldest token says how stale the group is");
    assert_eq!(world.buffer.push(swapped), Ok(()));

    for (versions, wrong) in [([0, 1], 0), ([1, 2], 2)] {
        let group = sampled(&world, &versions);
        assert_eq!(group.ticket.snapshot(), PolicyVersion(1));
        let error = world.buffer.push(group).unwrap_err();
        assert!(matches!(error, PushError::WrongVersion { found, .. } if found.0 == wrong), "{error}");
    }
}

#[test]
fn a_rollout_that_does_not_name_the_version_of_each_token_is_refused() {
    let world = World::new(small(Mode::FixedLag, 1), |_, _| true);
    for versions in [&[][..], &[0], &[0, 0, 0]] {
        let group = sampled(&world, versions);
        let (ticket, versions) = (group.ticket.id(), versions.len());
        let expected = PushError::Versions { ticket, rollout: 0, tokens: 2, versions };
        assert_eq!(world.buffer.push(group), Err(expected));
    }
}
