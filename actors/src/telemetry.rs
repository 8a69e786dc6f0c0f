//! Metrics of every stage.
//!
//! They go through the `metrics` facade: without an exporter they cost next to nothing. Call [`describe`] after
//! installing one.

mod table;

use std::{collections::BTreeSet, time::Duration};

use addendum_replay::{Batch, Origin, PolicyVersion};
use addendum_rewards::telemetry as rewards;
use metrics::{counter, gauge, histogram};

use crate::{Load, RunConfig, Scores, Sign, StepRecord};

pub use table::METRICS;

/// Registers the metrics of a run, those of the rewards included, with the installed recorder.
pub fn describe() {
    rewards::describe(METRICS);
    rewards::describe(rewards::METRICS);
}

/// What the sampler with the given index holds.
pub(crate) fn holds(sampler: usize, load: Load) {
    let sampler = sampler.to_string();
    gauge!("addendum_sampler_under_way_sequences", "sampler" => sampler.clone()).set(load.sequences as f64);
    gauge!("addendum_sampler_cache_used_ratio", "sampler" => sampler).set(load.cache);
}

pub(crate) fn sampled(tokens: &[usize], truncated: usize, duration: Duration) {
    counter!("addendum_sampler_rollouts_total").increment(tokens.len() as u64);
    counter!("addendum_sampler_tokens_total").increment(tokens.iter().sum::<usize>() as u64);
    counter!("addendum_sampler_truncated_rollouts_total").increment(truncated as u64);
    histogram!("addendum_sampler_group_duration_seconds").record(duration);
    for length in tokens {
        histogram!("addendum_sampler_response_length_tokens").record(*length as f64);
    }
}

pub(crate) fn waited(stage: &str, wait: Duration) {
    histogram!("addendum_stage_queue_wait_seconds", "stage" => stage.to_string()).record(wait);
}

/// Makes the count of an actor's restarts visible before the first one.
pub(crate) fn started(actor: &str) {
    counter!("addendum_supervisor_restarts_total", "actor" => actor.to_string()).increment(0);
}

pub(crate) fn restarted(actor: &str) {
    counter!("addendum_supervisor_restarts_total", "actor" => actor.to_string()).increment(1);
}

pub(crate) fn stalled(outcome: &'static str) {
    counter!("addendum_supervisor_stalls_total", "outcome" => outcome).increment(1);
}

pub(crate) fn diverged(sign: Sign) {
    counter!("addendum_learner_divergences_total", "sign" => sign.name()).increment(1);
}

/// The signs that the last steps show.
pub(crate) fn diverging(signs: &BTreeSet<Sign>) {
    for sign in Sign::ALL {
        let present = u8::from(signs.contains(&sign));
        gauge!("addendum_learner_diverging", "sign" => sign.name()).set(f64::from(present));
    }
}

/// What is known of a run before its first step, from this version on: what it is held against, and what it is watched for.
pub(crate) fn begun(config: &RunConfig, version: PolicyVersion) {
    set("addendum_learner_planned_steps", config.steps as f64);
    set("addendum_learner_policy_version", version.0 as f64);
    set("addendum_replay_staleness_bound_versions", config.staleness as f64);
    set("addendum_replay_dead_letters", 0.0);
    diverging(&BTreeSet::new());
    for outcome in ["told", "ended"] {
        counter!("addendum_supervisor_stalls_total", "outcome" => outcome).increment(0);
    }
    for outcome in ["done", "failed"] {
        counter!("addendum_evaluator_evaluations_total", "outcome" => outcome).increment(0);
    }
    for sign in Sign::ALL {
        counter!("addendum_learner_divergences_total", "sign" => sign.name()).increment(0);
    }
}

pub(crate) fn redrawn(groups: u64) {
    counter!("addendum_replay_redraws_total").increment(groups);
}

pub(crate) fn stage_failed(stage: &str) {
    counter!("addendum_stage_failures_total", "stage" => stage.to_string()).increment(1);
}

pub(crate) fn checkpointed() {
    counter!("addendum_recorder_checkpoints_total").increment(1);
}

pub(crate) fn observer_panicked() {
    counter!("addendum_recorder_observer_panics_total").increment(1);
}

pub(crate) fn evaluated(scores: Option<&Scores>) {
    let outcome = if scores.is_some() { "done" } else { "failed" };
    counter!("addendum_evaluator_evaluations_total", "outcome" => outcome).increment(1);
    for (name, score) in scores.into_iter().flatten() {
        finite(*score, |score| gauge!("addendum_evaluation_score", "metric" => name.clone()).set(score));
    }
}

/// The best of each score among all evaluations of a run.
pub(crate) fn best(evaluations: &[(PolicyVersion, Scores)]) {
    let names: BTreeSet<&String> = evaluations.iter().flat_map(|(_, scores)| scores.keys()).collect();
    for name in names {
        let scores = evaluations.iter().filter_map(|(_, scores)| scores.get(name)).copied();
        let best = scores.filter(|score| score.is_finite()).reduce(f64::max);
        best.into_iter().for_each(|best| gauge!("addendum_evaluation_best_score", "metric" => name.clone()).set(best));
    }
}

/// What the groups of a batch tell, before they are gone.
pub(crate) fn batch(batch: &Batch) {
    for lag in batch.staleness() {
        histogram!("addendum_replay_staleness_versions").record(lag as f64);
    }
    for group in batch.groups() {
        let rewards = || group.rollouts.iter().filter_map(|rollout| rollout.reward.as_ref());
        let size = rewards().count().max(1) as f64;
        histogram!("addendum_reward_group_score").record(rewards().map(|reward| reward.total).sum::<f64>() / size);
        let names = rewards().next().map(|reward| reward.components.keys()).into_iter().flatten();
        for name in names {
            let sum: f64 = rewards().filter_map(|reward| reward.components.get(name)).sum();
            histogram!("addendum_reward_component_score", "component" => name.clone()).record(sum / size);
        }
        for gain in group.edit_gains() {
            histogram!("addendum_editor_gain_score").record(gain);
        }
        for rollout in &group.rollouts {
            let Origin::Edited { record, .. } = &rollout.origin else {
                continue;
            };
            let edit = |operation: &str, rule: &str| {
                counter!("addendum_editor_edits_total", "operation" => operation.to_string(), "rule" => rule.to_string())
                    .increment(1);
            };
            if record.operations.is_empty() {
                edit("none", "none");
            }
            record.operations.iter().for_each(|e| edit(&e.operation, &e.rule));
        }
    }
}

/// What a finished step tells; evictions and retries are those since the step before.
pub(crate) fn step(record: &StepRecord, compute: Duration, evictions: u64, retries: u64) {
    counter!("addendum_learner_steps_total").increment(1);
    counter!("addendum_learner_groups_total").increment(record.groups as u64);
    counter!("addendum_learner_skipped_steps_total").increment(u64::from(record.stats.skipped));
    counter!("addendum_learner_out_of_memory_total").increment(record.stats.out_of_memory);
    counter!("addendum_reward_zero_variance_groups_total").increment(record.zero_variance_groups as u64);
    counter!("addendum_replay_evictions_total").increment(evictions);
    counter!("addendum_replay_retries_total").increment(retries);
    histogram!("addendum_learner_step_duration_seconds").record(compute);
    for (origin, mean) in
        [("all", record.reward_mean), ("sampled", record.reward_sampled), ("edited", record.reward_edited)]
    {
        finite(mean, |mean| gauge!("addendum_reward_batch_mean_score", "origin" => origin).set(mean));
    }
    for (operation, gain) in &record.edit_gains {
        finite(*gain, |gain| gauge!("addendum_editor_mean_gain_score", "operation" => operation.clone()).set(gain));
    }
    for (reason, rollouts) in &record.dropped {
        counter!("addendum_select_dropped_rollouts_total", "reason" => reason.clone()).increment(*rollouts);
    }
    counter!("addendum_select_fresh_rollouts_total").increment(record.fresh_samples as u64);
    set("addendum_editor_duplicate_ratio", record.duplicate_share);
    let stats = &record.stats;
    set("addendum_learner_reward_std_score", record.reward_std);
    set("addendum_learner_policy_loss_nats", stats.loss);
    set("addendum_learner_reference_kl_nats", stats.kl);
    set("addendum_learner_entropy_nats", stats.entropy);
    set("addendum_learner_logprob_difference_nats", stats.logprob_difference);
    set("addendum_learner_importance_weight_ratio", stats.importance_weight);
    set("addendum_learner_effective_sample_size_ratio", stats.effective_sample_size);
    set("addendum_learner_clip_fraction_ratio", stats.clip_fraction);
    set("addendum_learner_gradient_norm", stats.gradient_norm);
    set("addendum_learner_learning_rate_ratio", stats.learning_rate);
    set("addendum_learner_policy_version", record.version as f64);
    set("addendum_learner_busy_ratio", record.learner_busy);
    set("addendum_sampler_busy_ratio", record.sampler_busy);
    set("addendum_sampler_throughput_tokens_per_second", record.tokens_per_second);
    set("addendum_sampler_truncated_ratio", record.truncated_share);
    set("addendum_sampler_swapped_ratio", record.swapped_share);
    set("addendum_replay_tickets_in_flight", record.tickets_in_flight as f64);
    set("addendum_replay_dead_letters", record.dead_letters as f64);
}

fn set(name: &'static str, value: f64) {
    finite(value, |value| gauge!(name).set(value));
}

/// A mean of nothing is no number, and not published as one: its gauge stays what it was.
fn finite(value: f64, publish: impl FnOnce(f64)) {
    if value.is_finite() {
        publish(value);
    }
}
