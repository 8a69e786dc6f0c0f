use std::{collections::BTreeSet, sync::Arc};

use addendum_replay::{
    EditOperation, FreshnessGate, GateConfig, Issue, Mode, PolicyVersion, RolloutId, Scored, TicketId,
};
use addendum_studies::{Reference, Study};
use proptest::prelude::*;

use super::*;
use crate::{SelectConfig, Variant};

/// A copy of the sample of the same index: whether it was edited, and what it earns.
type Copy = (bool, f64);

fn run(group_size: usize, select: SelectConfig) -> RunConfig {
    RunConfig { group_size, select, ..RunConfig::default() }
}

fn scored(total: f64) -> Option<Scored> {
    Some(Scored { total, components: [("only".to_string(), total)].into() })
}

fn sample(id: u64, total: f64) -> Rollout {
    Rollout {
        id: RolloutId(id),
        tokens: vec![id as u32 + 1, 0],
        text: format!("Sample {id}."),
        origin: Origin::Sampled { logprobs: vec![-0.5; 2], versions: vec![PolicyVersion(0); 2] },
        truncated: id.is_multiple_of(3),
        reward: scored(total),
    }
}

fn copy(id: u64, source: &Rollout, (edited, total): Copy) -> Rollout {
    let operation = EditOperation {
        operation: "append".into(),
        rule: "missing".into(),
        position: 1,
        source: None,
        target: Some("Edema.".into()),
        triggers: vec![],
    };
    let record = EditRecord { operations: if edited { vec![operation] } else { vec![] } };
    let origin = Origin::Edited { source: source.id, record };
    match edited {
        false => Rollout { id: RolloutId(id), origin, ..source.clone() },
        true => Rollout {
            id: RolloutId(id),
            tokens: vec![source.tokens[0], 9, 0],
            text: format!("{} Edema.", source.text),
            origin,
            truncated: false,
            reward: scored(total),
        },
    }
}

/// Samples that earn `rewards`, and copies of the first of them.
fn judged(rewards: &[f64], copies: &[Copy]) -> RolloutGroup {
    let config = GateConfig {
        steps: 1,
        batch_groups: 1,
        staleness: 0,
        mode: Mode::FixedLag,
        studies: 1,
        seed: 0,
        max_attempts: 1,
        max_draws: 1,
    };
    let gate = FreshnessGate::new(config).unwrap();
    let Issue::Ticket(ticket) = gate.try_issue() else { panic!("no ticket") };
    let study = Study {
        id: "s".into(),
        views: Vec::new(),
        indication: None,
        technique: None,
        comparison: None,
        reference: Reference::new("Edema."),
    };
    let mut rollouts: Vec<Rollout> = (0..).zip(rewards).map(|(id, total)| sample(id, *total)).collect();
    let edited: Vec<Rollout> = (rewards.len() as u64..)
        .zip(copies)
        .zip(&rollouts)
        .map(|((id, made), source)| copy(id, source, *made))
        .collect();
    rollouts.extend(edited);
    RolloutGroup::new(ticket, Arc::new(study), rollouts)
}

fn select(run: &RunConfig, group: &mut RolloutGroup) {
    SelectStage::new(run.clone()).process(group).unwrap();
}

fn ids(group: &RolloutGroup) -> Vec<u64> {
    group.rollouts.iter().map(|rollout| rollout.id.0).collect()
}

fn reasons(group: &RolloutGroup) -> Vec<(u64, &'static str)> {
    group.dropped.iter().map(|dropped| (dropped.rollout.id.0, dropped.reason.name())).collect()
}

fn fresh() -> SelectConfig {
    SelectConfig { unedited: Unedited::Fresh, ..SelectConfig::default() }
}

#[test]
fn a_copy_without_an_edit_gives_its_place_to_the_next_sample() {
    let mut group = judged(&[1.0, 1.0, 0.5, 0.7], &[(false, 1.0), (true, 0.2)]);
    select(&run(4, fresh()), &mut group);
    assert_eq!(ids(&group), [0, 1, 2, 5], "an edit that loses stays where all are kept");
    assert_eq!(reasons(&group), [(4, "unedited"), (3, "spare")]);
    assert_eq!((group.fresh_samples(), group.copies().count()), (1, 2));
    assert!(group.rollouts[2].is_sampled());
}

#[test]
fn an_edit_that_earns_no_more_than_its_source_is_undone() {
    let improving = SelectConfig { keep: Keep::Improving, ..SelectConfig::default() };
    let mut group = judged(&[1.0, 0.5, 0.25], &[(true, 1.0), (true, 0.75), (false, 0.25)]);
    select(&run(6, improving), &mut group);
    assert_eq!(ids(&group), [0, 1, 2, 3, 4, 5]);
    assert_eq!(reasons(&group), [(3, "no_gain")]);
    let (source, undone) = (&group.rollouts[0], &group.rollouts[3]);
    assert_eq!((&undone.tokens, &undone.text, &undone.reward), (&source.tokens, &source.text, &source.reward));
    assert!(undone.source() == Some(source.id) && undone.edits().is_empty() && undone.truncated);
    assert_eq!(group.edit_gains().collect::<Vec<_>>(), [0.0, 0.25, 0.0]);
    let made: Vec<_> = group.copies().map(|copy| (copy.id.0, copy.edits().len(), group.gain(copy))).collect();
    assert_eq!(made, [(4, 1, Some(0.25)), (5, 0, Some(0.0)), (3, 1, Some(0.0))], "as the editor made them");
    assert_eq!(group.fresh_samples(), 0);
}

#[test]
fn an_edit_that_earns_no_more_gives_its_place_to_a_sample_where_those_replace_copies() {
    let improving = SelectConfig { keep: Keep::Improving, ..fresh() };
    let mut group = judged(&[1.0, 0.5, 0.25, 0.75], &[(true, 0.5), (true, 0.6)]);
    select(&run(4, improving), &mut group);
    assert_eq!((ids(&group), reasons(&group)), (vec![0, 1, 2, 5], vec![(4, "no_gain"), (3, "spare")]));
}

#[test]
fn a_group_whose_samples_differ_is_those_samples() {
    let low = SelectConfig { when: When::LowVariance, std_below: 0.25, ..SelectConfig::default() };
    let mut varied = judged(&[0.0, 0.5, 0.0, 0.5], &[(true, 0.9), (false, 0.5)]);
    select(&run(4, low), &mut varied);
    assert_eq!((ids(&varied), reasons(&varied)), (vec![0, 1, 2, 3], vec![(4, "varied"), (5, "varied")]));
    assert_eq!(varied.fresh_samples(), 2);
    let mut alike = judged(&[0.0, 0.4, 0.0, 0.4], &[(true, 0.9), (false, 0.4)]);
    select(&run(4, low), &mut alike);
    assert_eq!((ids(&alike), reasons(&alike)), (vec![0, 1, 4, 5], vec![(2, "spare"), (3, "spare")]));
}

#[test]
fn the_papers_way_and_grpos_choose_nothing() {
    let mut group = judged(&[1.0, 0.5], &[(false, 1.0), (true, 0.2)]);
    let before = group.rollouts.clone();
    select(&run(4, SelectConfig::default()), &mut group);
    assert!(group.rollouts == before && group.dropped.is_empty());
    let mut grpo = judged(&[1.0, 0.5, 0.1, 0.3], &[]);
    select(&RunConfig { variant: Variant::Grpo, ..run(4, fresh()) }, &mut grpo);
    assert_eq!(ids(&grpo), [0, 1, 2, 3]);
}

#[test]
fn a_group_that_an_earlier_stage_thinned_or_nobody_judged_is_refused() {
    let error = |group: &mut RolloutGroup| SelectStage::new(run(4, fresh())).process(group).unwrap_err().to_string();
    let mut thinned = judged(&[1.0, 0.5, 0.1], &[(true, 1.0), (true, 0.2)]);
    assert_eq!(error(&mut thinned), "3 sampled reports and 2 others to select from, expected 4 and 2");
    let mut unjudged = judged(&[1.0, 0.5, 0.1, 0.2], &[(true, 1.0), (true, 0.2)]);
    unjudged.rollouts[3].reward = None;
    assert_eq!(error(&mut unjudged), "selection comes after the rewards");
}

fn any_select() -> impl Strategy<Value = SelectConfig> {
    let parts = (any::<bool>(), any::<bool>(), any::<bool>(), 0.05f64..1.0);
    parts.prop_map(|(fresh, improving, low, std_below)| SelectConfig {
        unedited: if fresh { Unedited::Fresh } else { Unedited::Duplicate },
        keep: if improving { Keep::Improving } else { Keep::All },
        when: if low { When::LowVariance } else { When::Always },
        std_below,
    })
}

proptest! {
    #[test]
    fn a_group_has_its_size_its_sources_and_all_its_candidates_whatever_is_selected(
        half in 1usize..6, share in 0.0f64..=0.5, select_config in any_select(),
        rewards in prop::collection::vec(0u8..4, 12), made in prop::collection::vec((any::<bool>(), 0u8..4), 6),
    ) {
        let run = RunConfig { edited_share: share, ..run(2 * half, select_config) };
        let (sampled, copies) = (run.sampled(TicketId(0)), run.edited(TicketId(0)));
        let rewards: Vec<f64> = rewards.iter().map(|reward| f64::from(*reward) / 4.0).take(sampled).collect();
        let made: Vec<Copy> = made.iter().map(|(edited, reward)| (*edited, f64::from(*reward) / 4.0)).take(copies).collect();
        let [mut group, mut again] = [0; 2].map(|_| judged(&rewards, &made));
        let candidates = group.rollouts.clone();
        select(&run, &mut group);
        select(&run, &mut again);
        prop_assert_eq!((&group.rollouts, &group.dropped), (&again.rollouts, &again.dropped), "not reproducible");

        prop_assert_eq!(group.rollouts.len(), run.group_size);
        let distinct: BTreeSet<u64> = ids(&group).into_iter().collect();
        prop_assert_eq!(distinct.len(), run.group_size, "an id is there twice");
        for rollout in &group.rollouts {
            if let Some(source) = rollout.source() {
                let source = group.rollout(source);
                prop_assert!(source.is_some_and(|source| source.is_sampled()), "{} has no source", rollout.id);
                let improves = group.gain(rollout) > Some(0.0);
                prop_assert!(rollout.edits().is_empty() || select_config.keep == Keep::All || improves);
                prop_assert!(!rollout.edits().is_empty() || select_config.unedited == Unedited::Duplicate);
            }
        }
        for candidate in &candidates {
            let kept = group.rollouts.contains(candidate);
            let dropped = group.dropped.iter().filter(|dropped| dropped.rollout == *candidate).count();
            prop_assert_eq!(usize::from(kept) + dropped, 1, "{} is lost, or there twice", candidate.id);
        }
        let without = group.rollouts.iter().filter(|rollout| rollout.is_sampled()).count();
        prop_assert_eq!(without, run.group_size - copies + group.fresh_samples());
        prop_assert_eq!(group.copies().count(), copies);
    }
}
