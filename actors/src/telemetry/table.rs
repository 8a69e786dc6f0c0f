//! The metrics of the actors, in the order in which a group meets them.

use addendum_rewards::telemetry::Metric;

const SECONDS: &[f64] = &[0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];
const SCORES: &[f64] = &[0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.5, 2.0, 3.0];
const GAINS: &[f64] = &[-1.0, -0.5, -0.2, -0.1, 0.0, 0.1, 0.2, 0.5, 1.0, 2.0];
const TOKENS: &[f64] = &[8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];
const VERSIONS: &[f64] = &[0.0, 1.0, 2.0, 3.0, 4.0, 8.0, 16.0];

const SAMPLER: (&str, &str) = ("sampler", "its index");
const OPERATION: (&str, &str) = ("operation", "`replace`, `delete` or `append`");
const SIGN: (&str, &str) =
    ("sign", "`reward_collapse`, `kl_explosion`, `entropy_collapse`, `empty_reports` or `mismatch`");
const SCORED: (&str, &str) = ("metric", "set and score, such as `validation/rate`");

/// Of sampler, editor, rewards, replay, learner, evaluator, recorder and supervisor.
pub const METRICS: &[Metric] = &[
    Metric::counter("addendum_sampler_rollouts_total", "reports", &[], "Reports sampled"),
    Metric::counter("addendum_sampler_tokens_total", "tokens", &[], "Tokens sampled"),
    Metric::counter(
        "addendum_sampler_truncated_rollouts_total",
        "reports",
        &[],
        "Sampled reports that hit the length limit",
    ),
    Metric::gauge(
        "addendum_sampler_truncated_ratio",
        "ratio",
        &[],
        "Share of the last batch's sampled reports that hit the length limit",
    ),
    Metric::gauge(
        "addendum_sampler_swapped_ratio",
        "ratio",
        &[],
        "Share of the last batch's sampled tokens from weights that were swapped in under way",
    ),
    Metric::gauge(
        "addendum_sampler_under_way_sequences",
        "sequences",
        &[SAMPLER],
        "Reports that a sampler writes at the moment",
    ),
    Metric::gauge(
        "addendum_sampler_cache_used_ratio",
        "ratio",
        &[SAMPLER],
        "Share of a sampler's key-value cache that is taken",
    ),
    Metric::gauge(
        "addendum_sampler_busy_ratio",
        "ratio",
        &[],
        "Share of the time that samplers computed, over the last step",
    ),
    Metric::gauge(
        "addendum_sampler_throughput_tokens_per_second",
        "tokens per second",
        &[],
        "Tokens sampled per second over the last step",
    ),
    Metric::histogram("addendum_sampler_group_duration_seconds", "seconds", &[], SECONDS, "Time to sample a group"),
    Metric::histogram(
        "addendum_sampler_response_length_tokens",
        "tokens",
        &[],
        TOKENS,
        "Length of sampled reports, end token included",
    ),
    Metric::counter(
        "addendum_editor_edits_total",
        "edits",
        &[OPERATION, ("rule", "the rule that asked for it, such as `conflict`")],
        "Edits of copies that were trained on; `none` where a copy needed none",
    ),
    Metric::histogram(
        "addendum_editor_gain_score",
        "score",
        &[],
        GAINS,
        "Reward of an edited report minus that of its source",
    ),
    Metric::gauge(
        "addendum_editor_mean_gain_score",
        "score",
        &[OPERATION],
        "Mean gain of the last batch's edits; `several` where a copy had more than one",
    ),
    Metric::gauge(
        "addendum_editor_duplicate_ratio",
        "ratio",
        &[],
        "Share of the last batch's copies that needed no edit",
    ),
    Metric::counter(
        "addendum_select_dropped_rollouts_total",
        "reports",
        &[("reason", "`unedited`, `no_gain`, `varied` or `spare`")],
        "Judged reports left out of their groups",
    ),
    Metric::counter(
        "addendum_select_fresh_rollouts_total",
        "reports",
        &[],
        "Samples that took the places of edited copies",
    ),
    Metric::histogram("addendum_reward_group_score", "score", &[], SCORES, "Mean reward of a group"),
    Metric::histogram(
        "addendum_reward_component_score",
        "score",
        &[("component", "of the reward, such as `rate`")],
        SCORES,
        "Mean of a reward component over a group, unweighted",
    ),
    Metric::gauge(
        "addendum_reward_batch_mean_score",
        "score",
        &[("origin", "`all`, `sampled` or `edited`")],
        "Mean reward of the last batch's reports",
    ),
    Metric::counter(
        "addendum_reward_zero_variance_groups_total",
        "groups",
        &[],
        "Groups trained on whose rewards are all equal: they teach nothing",
    ),
    Metric::histogram(
        "addendum_replay_staleness_versions",
        "versions",
        &[],
        VERSIONS,
        "Policy versions that a group lags behind the step that trains on it",
    ),
    Metric::gauge(
        "addendum_replay_staleness_bound_versions",
        "versions",
        &[],
        "Policy versions that a group may lag behind (run.staleness)",
    ),
    Metric::gauge("addendum_replay_tickets_in_flight", "tickets", &[], "Tickets out of the gate after the last step"),
    Metric::gauge(
        "addendum_replay_place_tickets",
        "tickets",
        &[
            ("place", "`sampler`, the name of a stage, `replay` or `learner`"),
            ("phase", "`waiting` there, or `inside`"),
        ],
        "Where the tickets are that are out of the gate",
    ),
    Metric::gauge(
        "addendum_replay_limit_tickets",
        "tickets",
        &[],
        "The most tickets that may be out of the gate at a time",
    ),
    Metric::counter("addendum_replay_evictions_total", "groups", &[], "Groups thrown away because they grew too old"),
    Metric::counter("addendum_replay_retries_total", "tickets", &[], "Tickets issued again after a failure"),
    Metric::counter(
        "addendum_replay_redraws_total",
        "groups",
        &[],
        "Groups that were not worth a step and gave their places to others",
    ),
    Metric::gauge("addendum_replay_dead_letters", "tickets", &[], "Tickets given up: their attempts are used up"),
    Metric::histogram(
        "addendum_stage_queue_wait_seconds",
        "seconds",
        &[("stage", "its name; `sampler` and `learner` too")],
        SECONDS,
        "Wait of groups for a stage, of samplers for a ticket, of the learner for a batch",
    ),
    Metric::counter(
        "addendum_stage_failures_total",
        "groups",
        &[("stage", "its name; `sampler` and `replay` too")],
        "Attempts at a group that failed",
    ),
    Metric::gauge(
        "addendum_actor_state_ratio",
        "ratio",
        &[("actor", "its name"), ("state", "`busy`, `starved` or `blocked`")],
        "Share of the last second that an actor was in a state",
    ),
    Metric::counter("addendum_learner_steps_total", "steps", &[], "Training steps done"),
    Metric::counter("addendum_learner_groups_total", "groups", &[], "Groups trained on"),
    Metric::gauge("addendum_learner_planned_steps", "steps", &[], "Training steps of the whole run (run.steps)"),
    Metric::gauge("addendum_learner_policy_version", "version", &[], "Newest published policy version"),
    Metric::gauge(
        "addendum_learner_reward_std_score",
        "score",
        &[],
        "Mean standard deviation of rewards within a group of the last batch",
    ),
    Metric::gauge("addendum_learner_policy_loss_nats", "nats", &[], "Loss of the last step, KL term included"),
    Metric::gauge(
        "addendum_learner_reference_kl_nats",
        "nats",
        &[],
        "KL to the reference policy per token of the last batch, k3 estimate",
    ),
    Metric::gauge("addendum_learner_entropy_nats", "nats", &[], "Entropy of the policy per token of the last batch"),
    Metric::gauge(
        "addendum_learner_logprob_difference_nats",
        "nats",
        &[],
        "Mean absolute difference of behaviour and proximal log-probabilities",
    ),
    Metric::gauge(
        "addendum_learner_importance_weight_ratio",
        "ratio",
        &[],
        "Mean truncated importance weight of sampled tokens",
    ),
    Metric::gauge(
        "addendum_learner_effective_sample_size_ratio",
        "ratio",
        &[],
        "Effective share of the sampled tokens under their importance weights",
    ),
    Metric::gauge("addendum_learner_clip_fraction_ratio", "ratio", &[], "Share of tokens whose ratio was clipped"),
    Metric::gauge("addendum_learner_gradient_norm", "norm", &[], "L2 norm of the gradient before clipping"),
    Metric::gauge("addendum_learner_learning_rate_ratio", "ratio", &[], "Learning rate of the last step"),
    Metric::counter(
        "addendum_learner_skipped_steps_total",
        "steps",
        &[],
        "Updates skipped because they or their gradient were not finite",
    ),
    Metric::counter(
        "addendum_learner_out_of_memory_total",
        "times",
        &[],
        "Times that a device was full and micro-batches were halved",
    ),
    Metric::counter(
        "addendum_learner_divergences_total",
        "times",
        &[SIGN],
        "Times that a sign came up that training goes wrong",
    ),
    Metric::gauge(
        "addendum_learner_diverging",
        "0 or 1",
        &[SIGN],
        "Whether the last steps show a sign that training goes wrong (run.divergence)",
    ),
    Metric::histogram(
        "addendum_learner_step_duration_seconds",
        "seconds",
        &[],
        SECONDS,
        "Compute time of a training step",
    ),
    Metric::gauge(
        "addendum_learner_busy_ratio",
        "ratio",
        &[],
        "Share of the time that the learner computed, over the last step",
    ),
    Metric::gauge("addendum_evaluation_score", "score", &[SCORED], "Score of the last evaluation on held-out studies"),
    Metric::gauge("addendum_evaluation_best_score", "score", &[SCORED], "Best score of the run's evaluations"),
    Metric::counter(
        "addendum_evaluator_evaluations_total",
        "evaluations",
        &[("outcome", "`done` or `failed`")],
        "Evaluations on held-out studies",
    ),
    Metric::counter("addendum_recorder_checkpoints_total", "checkpoints", &[], "Checkpoints written"),
    Metric::counter(
        "addendum_recorder_observer_panics_total",
        "events",
        &[],
        "Events at which the observer of the run panicked",
    ),
    Metric::counter(
        "addendum_supervisor_restarts_total",
        "restarts",
        &[("actor", "`recorder`, `evaluator`, `learner`, `sampler-<index>` or the name of a stage")],
        "Actors replaced after they died",
    ),
    Metric::counter(
        "addendum_supervisor_stalls_total",
        "times",
        &[("outcome", "`told` or `ended`, as run.stall sets their times")],
        "Times that nothing moved, by what came of it",
    ),
];
