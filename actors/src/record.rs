//! What is recorded of a training step: one line of `metrics.jsonl`, and a few rollouts.

use std::collections::BTreeMap;

use addendum_replay::{Batch, EditOperation, GateStats, Origin, Rollout, RolloutGroup};
use serde::{Deserialize, Serialize};

use crate::{backend::StepStats, meter::Reading};

/// Everything measured about one step. Means are zero where there is nothing to average.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StepRecord {
    /// Counts from zero.
    pub step: u64,
    /// The version that the step published.
    pub version: u64,
    /// Seconds since the previous step.
    pub seconds: f64,
    pub groups: usize,
    pub rollouts: usize,

    pub reward_mean: f64,
    pub reward_sampled: f64,
    pub reward_edited: f64,
    /// Means of the unweighted components, over all rollouts.
    pub reward_components: BTreeMap<String, f64>,
    /// Mean reward of edited reports minus that of their sources.
    pub edit_gain: f64,
    /// Edits by operation; `none` counts edited copies without an edit.
    pub edits: BTreeMap<String, u64>,
    /// Groups whose rewards are all equal: they teach nothing.
    pub zero_variance_groups: usize,
    /// Mean over groups of the standard deviation of their rewards.
    pub advantage_spread: f64,

    #[serde(flatten)]
    pub stats: StepStats,

    /// Mean tokens per sampled report, end token included.
    pub response_length: f64,
    /// Share of sampled reports that hit the length limit.
    pub truncated_share: f64,
    pub staleness_mean: f64,
    pub staleness_max: u64,

    pub tickets_in_flight: u64,
    /// The following five count from the start (or resume) of the run.
    pub evictions: u64,
    pub retries: u64,
    pub dead_letters: u64,
    pub restarts: u64,

    /// Sampled tokens per second since the previous step.
    pub tokens_per_second: f64,
    pub sampler_busy: f64,
    pub learner_busy: f64,
    /// Mean seconds of waiting since the previous step: of groups for each stage, of samplers for tickets, of the
    /// learner for a batch.
    pub queue_wait: BTreeMap<String, f64>,
}

impl StepRecord {
    /// What the batch itself tells.
    pub(crate) fn of_batch(batch: &Batch) -> Self {
        let groups = batch.groups();
        let rollouts = || groups.iter().flat_map(|group| &group.rollouts);
        let sampled = || rollouts().filter(|rollout| rollout.is_sampled());
        let edited = || rollouts().filter(|rollout| matches!(rollout.origin, Origin::Edited { .. }));
        let spreads: Vec<f64> = groups.iter().map(spread).collect();
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
            edit_gain: mean(gains(groups)),
            edits: edits_by_operation(rollouts()),
            zero_variance_groups: spreads.iter().filter(|spread| **spread == 0.0).count(),
            advantage_spread: mean(spreads.iter().copied()),
            response_length: mean(sampled().map(|rollout| rollout.tokens.len() as f64)),
            truncated_share: mean(sampled().map(|rollout| f64::from(u8::from(rollout.truncated)))),
            staleness_mean: mean(staleness.iter().map(|lag| *lag as f64)),
            staleness_max: staleness.iter().copied().max().unwrap_or(0),
            ..Self::default()
        }
    }

    /// What gate, actors and clock tell once the step is published.
    pub(crate) fn complete(&mut self, gate: GateStats, reading: Reading) {
        self.tickets_in_flight = gate.in_flight;
        self.evictions = gate.evictions;
        self.retries = gate.retries;
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
    pub step: u64,
    pub ticket: u64,
    pub study: String,
    pub rollout: usize,
    /// `sampled`, `edited` or `reference`.
    pub origin: String,
    /// The rollout that an edited one was copied from.
    pub source: Option<usize>,
    pub edits: Vec<EditOperation>,
    pub reward: f64,
    pub components: BTreeMap<String, f64>,
    pub text: String,
}

impl RolloutSample {
    /// The rollouts of the first `groups` groups of a batch.
    pub(crate) fn of_batch(batch: &Batch, groups: usize) -> Vec<Self> {
        let groups = batch.groups().iter().take(groups);
        groups
            .flat_map(|group| {
                group.rollouts.iter().enumerate().map(|(index, rollout)| Self {
                    step: batch.step(),
                    ticket: group.ticket.id().0,
                    study: group.study.id.clone(),
                    rollout: index,
                    origin: match rollout.origin {
                        Origin::Sampled { .. } => "sampled",
                        Origin::Edited { .. } => "edited",
                        Origin::Reference => "reference",
                    }
                    .to_string(),
                    source: source(rollout),
                    edits: match &rollout.origin {
                        Origin::Edited { record, .. } => record.operations.clone(),
                        _ => Vec::new(),
                    },
                    reward: total(rollout),
                    components: rollout.reward.as_ref().map(|reward| reward.components.clone()).unwrap_or_default(),
                    text: rollout.text.clone(),
                })
            })
            .collect()
    }
}

fn source(rollout: &Rollout) -> Option<usize> {
    match rollout.origin {
        Origin::Edited { source, .. } => Some(source),
        _ => None,
    }
}

fn total(rollout: &Rollout) -> f64 {
    rollout.reward.as_ref().map_or(0.0, |reward| reward.total)
}

fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let (sum, count) = values.into_iter().fold((0.0, 0u32), |(sum, count), value| (sum + value, count + 1));
    if count == 0 { 0.0 } else { sum / f64::from(count) }
}

/// Population standard deviation of a group's rewards.
fn spread(group: &RolloutGroup) -> f64 {
    let center = mean(group.rollouts.iter().map(total));
    mean(group.rollouts.iter().map(|rollout| (total(rollout) - center).powi(2))).sqrt()
}

fn gains(groups: &[RolloutGroup]) -> impl Iterator<Item = f64> {
    groups.iter().flat_map(|group| {
        group.rollouts.iter().filter_map(|rollout| {
            let source = group.rollouts.get(source(rollout)?)?;
            Some(total(rollout) - total(source))
        })
    })
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
