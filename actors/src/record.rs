//! What is recorded of a training step: one line of `metrics.jsonl`, and a few rollouts.

use std::collections::BTreeMap;

use addendum_replay::{Batch, DropReason, EditOperation, GateStats, Origin, PolicyVersion, Rollout, RolloutGroup};
use serde::{Deserialize, Serialize};

use crate::{
    StepStats,
    engine::or_nan,
    spread::{all_equal, deviation, mean},
};

/// Everything measured about one step. Means are NaN (in JSON `null`) where there is nothing to average.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StepRecord {
    /// Counts from zero.
    pub step: u64,
    /// The version that the step published.
    pub version: u64,
    /// Seconds since the previous step.
    pub seconds: f64,
    /// Trained on; fewer than a batch has where tickets were given up.
    pub groups: usize,
    /// In all groups, those that were dropped not counted.
    pub rollouts: usize,

    /// Mean total reward of all rollouts trained on.
    #[serde(deserialize_with = "or_nan")]
    pub reward_mean: f64,
    /// The same over sampled reports alone: the reward of the policy.
    #[serde(deserialize_with = "or_nan")]
    pub reward_sampled: f64,
    /// The same over edited copies alone.
    #[serde(deserialize_with = "or_nan")]
    pub reward_edited: f64,
    /// Means of the unweighted components, over all rollouts.
    pub reward_components: BTreeMap<String, f64>,
    /// Mean reward of edited reports minus that of their sources.
    #[serde(deserialize_with = "or_nan")]
    pub edit_gain: f64,
    /// Edits by operation; `none` counts edited copies without an edit.
    pub edits: BTreeMap<String, u64>,
    /// Mean gain of edits over their sources by operation, `several` where a copy had more than one; those that a selection
    /// dropped included.
    pub edit_gains: BTreeMap<String, f64>,
    /// Share of the edited copies that needed no edit; those that a selection dropped included.
    #[serde(deserialize_with = "or_nan")]
    pub duplicate_share: f64,
    /// Reports that were judged, but left out by a selection, by its reason: `unedited` copies, edits with `no_gain`,
    /// copies of groups that were `varied` already, `spare` samples.
    pub dropped: BTreeMap<String, u64>,
    /// Samples that took the places of copies.
    pub fresh_samples: usize,
    /// Groups whose rewards are all equal: they teach nothing.
    pub zero_variance_groups: usize,
    /// Mean over groups of the (population) standard deviation of their rewards.
    #[serde(alias = "advantage_spread", deserialize_with = "or_nan")]
    pub reward_std: f64,

    /// What the learner measured.
    #[serde(flatten)]
    pub stats: StepStats,

    /// Mean tokens per sampled report, end token included.
    #[serde(deserialize_with = "or_nan")]
    pub response_length: f64,
    /// Share of sampled reports that hit the length limit.
    #[serde(deserialize_with = "or_nan")]
    pub truncated_share: f64,
    /// Share of sampled tokens that came from a younger policy version than the first token of their report.
    #[serde(deserialize_with = "or_nan")]
    pub swapped_share: f64,
    /// Mean number of versions that the groups lagged behind the step.
    #[serde(deserialize_with = "or_nan")]
    pub staleness_mean: f64,
    /// The same of the oldest group.
    pub staleness_max: u64,

    /// Being sampled, in a stage, or waiting in the buffer when the step was done.
    pub tickets_in_flight: u64,
    /// The following six count from the start (or resume) of the run.
    pub evictions: u64,
    /// Issues of tickets that had been issued before.
    pub retries: u64,
    /// Groups that were not worth a step and gave their places to others.
    pub redraws: u64,
    /// Tickets that failed, or were lost, too often.
    pub dead_letters: u64,
    /// Actors that died and were replaced.
    pub restarts: u64,

    /// Sampled tokens per second since the previous step.
    pub tokens_per_second: f64,
    /// Share of the time since the previous step that the samplers computed, in [0, 1].
    pub sampler_busy: f64,
    /// The same of the learner.
    pub learner_busy: f64,
    /// Mean seconds of waiting since the previous step: of groups for each stage, of samplers for tickets, of the
    /// learner for a batch.
    pub queue_wait: BTreeMap<String, f64>,
}

/// What happened since the meter was read before.
pub(crate) struct Reading {
    pub seconds: f64,
    pub tokens_per_second: f64,
    /// Share of the time that samplers and learner computed, in [0, 1].
    pub sampler_busy: f64,
    pub learner_busy: f64,
    /// Mean seconds that a group (or an actor) waited, by stage.
    pub waits: BTreeMap<String, f64>,
    /// Over the whole run.
    pub restarts: u64,
}

impl StepRecord {
    /// What the batch itself tells.
    pub(crate) fn of_batch(batch: &Batch) -> Self {
        let groups = batch.groups();
        let rollouts = || groups.iter().flat_map(|group| &group.rollouts);
        let sampled = || rollouts().filter(|rollout| rollout.is_sampled());
        let edited = || rollouts().filter(|rollout| matches!(rollout.origin, Origin::Edited { .. }));
        let rewards: Vec<Vec<f64>> = groups.iter().map(|group| group.rollouts.iter().map(total).collect()).collect();
        let staleness: Vec<u64> = batch.staleness().collect();
        Self {
            step: batch.step(),
            version: batch.step() + 1,
            groups: groups.len(),
            rollouts: rollouts().count(),
            reward_mean: mean(rollouts().map(total)),
            reward_sampled: mean(sampled().map(total)),
            reward_edited: mean(edited().map(total)),
            reward_components: component_means(rollouts()),
            edit_gain: mean(groups.iter().flat_map(RolloutGroup::edit_gains)),
            edits: edits_by_operation(rollouts()),
            edit_gains: gains_by_operation(groups),
            duplicate_share: mean(
                groups.iter().flat_map(RolloutGroup::copies).map(|copy| share(copy.edits().is_empty())),
            ),
            dropped: dropped_by_reason(groups),
            fresh_samples: groups.iter().map(RolloutGroup::fresh_samples).sum(),
            zero_variance_groups: rewards.iter().filter(|group| all_equal(group)).count(),
            reward_std: mean(rewards.iter().map(|group| deviation(group))),
            response_length: mean(sampled().map(|rollout| rollout.tokens.len() as f64)),
            truncated_share: mean(sampled().map(|rollout| share(rollout.truncated))),
            swapped_share: mean(sampled().flat_map(|rollout| swapped(rollout.origin.versions()))),
            staleness_mean: mean(staleness.iter().map(|lag| *lag as f64)),
            staleness_max: staleness.iter().copied().max().unwrap_or(0),
            ..Self::default()
        }
    }

    /// What the learner measured. A step without groups has no loss, only a learning rate.
    pub(crate) fn measured(&mut self, stats: StepStats) {
        self.stats = match self.groups {
            0 => StepStats {
                loss: f64::NAN,
                kl: f64::NAN,
                entropy: f64::NAN,
                gradient_norm: f64::NAN,
                clip_fraction: f64::NAN,
                logprob_difference: f64::NAN,
                importance_weight: f64::NAN,
                effective_sample_size: f64::NAN,
                ..stats
            },
            _ => stats,
        };
    }

    /// What gate, actors and clock tell once the step is published.
    pub(crate) fn complete(&mut self, gate: GateStats, reading: Reading) {
        self.tickets_in_flight = gate.in_flight;
        self.evictions = gate.evictions;
        self.retries = gate.retries;
        self.redraws = gate.redraws;
        self.dead_letters = gate.dead_letters;
        self.seconds = reading.seconds;
        self.tokens_per_second = reading.tokens_per_second;
        self.sampler_busy = reading.sampler_busy;
        self.learner_busy = reading.learner_busy;
        self.queue_wait = reading.waits;
        self.restarts = reading.restarts;
    }
}

/// One rollout as `rollouts.jsonl` keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RolloutSample {
    /// Counts from zero.
    pub step: u64,
    /// The ticket's number within the run.
    pub ticket: u64,
    /// Which draw of the ticket's place it is, counted from zero.
    #[serde(default)]
    pub draw: u32,
    /// The study's id in the dataset.
    pub study: String,
    /// The rollout's id within its group.
    pub rollout: usize,
    /// `sampled`, `edited` or `reference`.
    pub origin: String,
    /// The id of the rollout that an edited one was copied from.
    pub source: Option<usize>,
    /// The policy versions of a sampled report's tokens, in runs: version and number of tokens.
    #[serde(default)]
    pub versions: Vec<(u64, usize)>,
    /// What the editor did; empty for what is no edited copy.
    pub edits: Vec<EditOperation>,
    /// The total that the advantage is computed from.
    pub reward: f64,
    /// The parts of the reward by name, unweighted.
    pub components: BTreeMap<String, f64>,
    /// The report, without the end token.
    pub text: String,
    /// Why a selection left the rollout out of what is trained on. A copy whose edit was undone is there twice: as it was,
    /// dropped, and as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<DropReason>,
}

impl RolloutSample {
    /// The rollouts of the first `groups` groups of a batch.
    pub(crate) fn of_batch(batch: &Batch, groups: usize) -> Vec<Self> {
        let groups = batch.groups().iter().take(groups);
        groups
            .flat_map(|group| {
                let kept = group.rollouts.iter().map(|rollout| (rollout, None));
                let dropped = group.dropped.iter().map(|dropped| (&dropped.rollout, Some(dropped.reason)));
                kept.chain(dropped).map(|(rollout, reason)| Self::of(batch.step(), group, rollout, reason))
            })
            .collect()
    }

    fn of(step: u64, group: &RolloutGroup, rollout: &Rollout, dropped: Option<DropReason>) -> Self {
        Self {
            step,
            ticket: group.ticket.id().0,
            draw: group.ticket.draw(),
            study: group.study.id.clone(),
            rollout: rollout.id.0 as usize,
            origin: match rollout.origin {
                Origin::Sampled { .. } => "sampled",
                Origin::Edited { .. } => "edited",
                Origin::Reference => "reference",
            }
            .to_string(),
            source: rollout.source().map(|id| id.0 as usize),
            versions: runs(rollout.origin.versions()),
            edits: rollout.edits().to_vec(),
            reward: total(rollout),
            components: rollout.reward.as_ref().map(|reward| reward.components.clone()).unwrap_or_default(),
            text: rollout.text.clone(),
            dropped,
        }
    }
}

fn total(rollout: &Rollout) -> f64 {
    rollout.reward.as_ref().map_or(0.0, |reward| reward.total)
}

/// Equal versions next to each other: version and how many.
pub(crate) fn runs(versions: &[PolicyVersion]) -> Vec<(u64, usize)> {
    versions.chunk_by(PartialEq::eq).map(|run| (run[0].0, run.len())).collect()
}

/// One for each token from a younger version than the first, zero for each other one.
fn swapped(versions: &[PolicyVersion]) -> impl Iterator<Item = f64> + '_ {
    versions.iter().map(|version| share(*version > versions[0]))
}

/// What counts towards a share, as a number to take the mean of.
fn share(counts: bool) -> f64 {
    f64::from(u8::from(counts))
}

fn component_means<'a>(rollouts: impl Iterator<Item = &'a Rollout>) -> BTreeMap<String, f64> {
    let mut values: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for reward in rollouts.filter_map(|rollout| rollout.reward.as_ref()) {
        for (name, value) in &reward.components {
            values.entry(name.clone()).or_default().push(*value);
        }
    }
    values.into_iter().map(|(name, values)| (name, mean(values))).collect()
}

fn edits_by_operation<'a>(rollouts: impl Iterator<Item = &'a Rollout>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for rollout in rollouts {
        if let Origin::Edited { record, .. } = &rollout.origin {
            if record.operations.is_empty() {
                *counts.entry("none".to_string()).or_default() += 1;
            }
            for edit in &record.operations {
                *counts.entry(edit.operation.clone()).or_default() += 1;
            }
        }
    }
    counts
}

fn gains_by_operation(groups: &[RolloutGroup]) -> BTreeMap<String, f64> {
    let mut gains: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for group in groups {
        for copy in group.copies() {
            let operation = match copy.edits() {
                [] => continue,
                [edit] => edit.operation.as_str(),
                _ => "several",
            };
            gains.entry(operation).or_default().extend(group.gain(copy));
        }
    }
    gains.into_iter().map(|(operation, gains)| (operation.to_string(), mean(gains))).collect()
}

fn dropped_by_reason(groups: &[RolloutGroup]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for dropped in groups.iter().flat_map(|group| &group.dropped) {
        *counts.entry(dropped.reason.name().to_string()).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_in_runs_and_those_younger_than_the_first_token_count_as_swapped() {
        let versions = [3, 3, 4, 4, 4, 6].map(PolicyVersion);
        assert_eq!(runs(&versions), [(3, 2), (4, 3), (6, 1)]);
        assert_eq!(swapped(&versions).collect::<Vec<_>>(), [0.0, 0.0, 1.0, 1.0, 1.0, 1.0]);
        assert!(runs(&[]).is_empty() && swapped(&[]).next().is_none());
    }

    #[test]
    fn a_record_of_an_older_run_keeps_the_deviation_under_its_former_name() {
        let read: StepRecord = serde_json::from_str(r#"{"step": 3, "advantage_spread": 0.25, "loss": null}"#).unwrap();
        assert_eq!((read.step, read.reward_std), (3, 0.25));
        assert!(serde_json::to_string(&read).unwrap().contains(r#""reward_std":0.25"#));
    }
}
