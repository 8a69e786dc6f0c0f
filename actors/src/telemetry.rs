//! Metrics of every stage, named `addendum_<stage>_<what>_<unit>`.
//!
//! They go through the `metrics` facade: without an exporter they cost next to nothing. Call [`describe`] after
//! installing one.

use std::time::Duration;

use addendum_replay::{Batch, Origin};
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::{Load, Scores, Sign, StepRecord, status::RunStatus};

/// Bucket bounds by metric name, for exporters that want histograms instead of summaries.
pub const BUCKETS: &[(&str, &[f64])] = &[
    ("addendum_stage_queue_wait_seconds", SECONDS),
    ("addendum_sampler_group_duration_seconds", SECONDS),
    ("addendum_learner_step_duration_seconds", SECONDS),
    ("addendum_sampler_response_length_tokens", &[8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0]),
    ("addendum_reward_component_score", SCORES),
    ("addendum_reward_group_score", SCORES),
    ("addendum_editor_gain_score", &[-1.0, -0.5, -0.2, -0.1, 0.0, 0.1, 0.2, 0.5, 1.0, 2.0]),
    ("addendum_replay_staleness_versions", &[0.0, 1.0, 2.0, 3.0, 4.0, 8.0, 16.0]),
];

const SECONDS: &[f64] = &[0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];
const SCORES: &[f64] = &[0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.5, 2.0, 3.0];

/// Registers the help text of every metric with the installed recorder.
pub fn describe() {
    describe_sampling();
    describe_learning();
    describe_running();
}

fn describe_sampling() {
    describe_counter!("addendum_sampler_rollouts_total", "Reports sampled");
    describe_counter!("addendum_sampler_tokens_total", "Tokens sampled");
    describe_counter!("addendum_sampler_truncated_rollouts_total", "Sampled reports that hit the length limit");
    describe_gauge!("addendum_sampler_truncated_ratio", "Share of the last batch's sampled reports that hit the limit");
    describe_gauge!("addendum_sampler_swapped_ratio", "Share of the last batch's tokens from swapped-in weights");
    describe_gauge!("addendum_sampler_under_way_sequences", "Reports that a sampler writes at the moment");
    describe_gauge!("addendum_sampler_cache_used_ratio", "Share of a sampler's cache that is taken");
    describe_gauge!("addendum_sampler_busy_ratio", "Share of the time that samplers compute");
    describe_gauge!("addendum_sampler_throughput_tokens_per_second", "Tokens sampled per second over the last step");
    describe_histogram!("addendum_sampler_group_duration_seconds", Unit::Seconds, "Time to sample a group");
    describe_histogram!("addendum_sampler_response_length_tokens", "Length of sampled reports, end token included");
    describe_counter!("addendum_editor_edits_total", "Edits by operation and rule, none included");
    describe_histogram!("addendum_editor_gain_score", "Reward of an edited report minus that of its source");
    describe_gauge!("addendum_editor_mean_gain_score", "Mean gain of the last batch's edits by operation");
    describe_gauge!("addendum_editor_duplicate_ratio", "Share of the last batch's copies that needed no edit");
    describe_counter!("addendum_select_dropped_rollouts_total", "Judged reports left out of their groups, by reason");
    describe_counter!("addendum_select_fresh_rollouts_total", "Samples that took the places of edited copies");
    describe_histogram!("addendum_reward_group_score", "Mean reward of a group");
    describe_histogram!("addendum_reward_component_score", "Mean of a reward component over a group, unweighted");
    describe_gauge!("addendum_reward_batch_mean_score", "Mean reward of the last batch by origin of the report");
    describe_counter!("addendum_reward_zero_variance_groups_total", "Groups whose rewards are all equal");
    addendum_rewards::telemetry::describe();
}

fn describe_learning() {
    describe_gauge!("addendum_learner_reward_std_score", "Mean standard deviation of rewards within a group");
    describe_gauge!("addendum_learner_policy_loss_nats", "Loss of the last step, KL term included");
    describe_gauge!("addendum_learner_reference_kl_nats", "KL to the reference policy, k3 estimate");
    describe_gauge!("addendum_learner_entropy_nats", "Entropy of the policy per token");
    describe_gauge!(
        "addendum_learner_logprob_difference_nats",
        "Mean absolute difference of behaviour and proximal log-probabilities"
    );
    describe_gauge!("addendum_learner_importance_weight_ratio", "Mean truncated importance weight of sampled tokens");
    describe_gauge!("addendum_learner_effective_sample_size_ratio", "Effective share of the sampled tokens");
    describe_gauge!("addendum_learner_clip_fraction_ratio", "Share of tokens whose ratio was clipped");
    describe_gauge!("addendum_learner_gradient_norm", "L2 norm of the gradient before clipping");
    describe_gauge!("addendum_learner_learning_rate_ratio", "Learning rate of the last step");
    describe_counter!("addendum_learner_steps_total", "Training steps done");
    describe_counter!(
        "addendum_learner_skipped_steps_total",
        "Updates skipped because they or their gradient were not finite"
    );
    describe_counter!(
        "addendum_learner_out_of_memory_total",
        "Times that a device was full and micro-batches were halved"
    );
    describe_counter!("addendum_learner_divergences_total", "Signs that training goes wrong, by sign");
    describe_histogram!("addendum_learner_step_duration_seconds", Unit::Seconds, "Compute time of a training step");
    describe_gauge!("addendum_learner_busy_ratio", "Share of the time that the learner computes");
    describe_gauge!("addendum_learner_policy_version", "Newest published policy version");
    describe_gauge!("addendum_evaluation_score", "Scores of the last evaluation, by metric");
    describe_counter!("addendum_evaluator_evaluations_total", "Evaluations done, by outcome");
}

fn describe_running() {
    describe_histogram!("addendum_replay_staleness_versions", "Age of groups when they are trained on");
    describe_gauge!("addendum_replay_tickets_in_flight", "Tickets out of the gate");
    describe_gauge!("addendum_replay_place_tickets", "Tickets by place and phase: waiting there, or inside");
    describe_gauge!("addendum_replay_limit_tickets", "The most tickets that may be out of the gate");
    describe_gauge!(
        "addendum_actor_state_ratio",
        "Share of the last second that an actor was busy, starved or blocked"
    );
    describe_gauge!("addendum_learner_planned_steps", "Training steps of the whole run");
    describe_counter!("addendum_replay_evictions_total", "Groups evicted because they grew too old");
    describe_counter!("addendum_replay_retries_total", "Tickets issued again");
    describe_counter!("addendum_replay_redraws_total", "Groups that were not worth a step and were replaced");
    describe_gauge!("addendum_replay_dead_letters", "Tickets that used up their attempts");
    describe_histogram!(
        "addendum_stage_queue_wait_seconds",
        Unit::Seconds,
        "Wait of groups for a stage, of samplers for a ticket, of the learner for a batch"
    );
    describe_counter!("addendum_stage_failures_total", "Groups that a stage gave up");
    describe_counter!("addendum_supervisor_restarts_total", "Actors restarted");
    describe_counter!("addendum_supervisor_stalls_total", "Times that nothing moved, by what came of it: told, ended");
    describe_counter!("addendum_recorder_checkpoints_total", "Checkpoints written");
    describe_counter!("addendum_recorder_observer_panics_total", "Events at which the observer panicked");
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

/// How a run stood when it last told of itself.
pub(crate) fn status(status: &RunStatus) {
    gauge!("addendum_learner_planned_steps").set(status.steps as f64);
    gauge!("addendum_replay_limit_tickets").set(status.tickets_at_most as f64);
    for actor in &status.actors {
        for (state, share) in [("busy", actor.busy), ("starved", actor.starved), ("blocked", actor.blocked)] {
            gauge!("addendum_actor_state_ratio", "actor" => actor.name.clone(), "state" => state).set(share);
        }
    }
    for at in &status.tickets {
        for (phase, tickets) in [("waiting", at.waiting), ("inside", at.inside)] {
            gauge!("addendum_replay_place_tickets", "place" => at.place.clone(), "phase" => phase).set(tickets as f64);
        }
    }
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

pub(crate) fn diverging(sign: Sign) {
    counter!("addendum_learner_divergences_total", "sign" => sign.name()).increment(1);
}

/// Makes what a run is watched for visible before it happens.
pub(crate) fn watched() {
    for outcome in ["told", "ended"] {
        counter!("addendum_supervisor_stalls_total", "outcome" => outcome).increment(0);
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
