//! The metrics of a whole run, as an exporter shows them.

#[path = "pipeline/common.rs"]
mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    process::{Command, Stdio},
    time::Duration,
};

use addendum_actors::{RunConfig, telemetry};
use common::{First, Trouble, config, pipeline, run};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};

/// The exposition after a run in which everything happens that is measured.
async fn exposition() -> String {
    let mut builder = PrometheusBuilder::new();
    for (name, bounds) in telemetry::BUCKETS {
        builder = builder.set_buckets_for_metric(Matcher::Full((*name).into()), bounds).unwrap();
    }
    let handle = builder.install_recorder().unwrap();
    telemetry::describe();
    let trouble = Trouble {
        reward_panics: vec![1],
        unreadable: vec!["study-3".into()],
        delay: Duration::from_millis(1),
        ..Trouble::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let config = RunConfig { samplers: 2, ..config() };
    run(pipeline(config, trouble).folder(folder.path()).evaluator(|| Ok(First))).await.unwrap();
    handle.render()
}

/// What the project promises to measure.
const PROMISED: [&str; 43] = [
    "addendum_sampler_rollouts_total",
    "addendum_sampler_tokens_total",
    "addendum_editor_edits_total",
    "addendum_editor_gain_score",
    "addendum_editor_mean_gain_score",
    "addendum_editor_duplicate_ratio",
    "addendum_select_fresh_rollouts_total",
    "addendum_reward_component_score",
    "addendum_reward_group_score",
    "addendum_reward_zero_variance_groups_total",
    "addendum_learner_reward_std_score",
    "addendum_learner_policy_loss_nats",
    "addendum_learner_reference_kl_nats",
    "addendum_learner_logprob_difference_nats",
    "addendum_learner_importance_weight_ratio",
    "addendum_learner_effective_sample_size_ratio",
    "addendum_learner_clip_fraction_ratio",
    "addendum_learner_entropy_nats",
    "addendum_learner_gradient_norm",
    "addendum_learner_skipped_steps_total",
    "addendum_learner_learning_rate_ratio",
    "addendum_sampler_response_length_tokens",
    "addendum_sampler_truncated_ratio",
    "addendum_replay_staleness_versions",
    "addendum_replay_tickets_in_flight",
    "addendum_replay_evictions_total",
    "addendum_replay_retries_total",
    "addendum_replay_dead_letters",
    "addendum_supervisor_restarts_total",
    "addendum_learner_policy_version",
    "addendum_stage_queue_wait_seconds",
    "addendum_sampler_busy_ratio",
    "addendum_sampler_under_way_sequences",
    "addendum_sampler_cache_used_ratio",
    "addendum_learner_busy_ratio",
    "addendum_learner_step_duration_seconds",
    "addendum_stage_failures_total",
    "addendum_evaluation_score",
    "addendum_recorder_checkpoints_total",
    "addendum_actor_state_ratio",
    "addendum_replay_place_tickets",
    "addendum_replay_limit_tickets",
    "addendum_learner_planned_steps",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_promised_metric_is_exported_described_and_well_named() {
    let text = exposition().await;
    let mut kinds = BTreeMap::new();
    let mut helped = BTreeSet::new();
    for line in text.lines() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words.as_slice() {
            ["#", "TYPE", name, kind] => drop(kinds.insert((*name).to_string(), (*kind).to_string())),
            ["#", "HELP", name, help] if !help.is_empty() => drop(helped.insert((*name).to_string())),
            _ => {}
        }
    }
    for name in PROMISED {
        assert!(kinds.contains_key(name), "{name} is missing from\n{text}");
    }
    for (name, kind) in &kinds {
        assert!(name.starts_with("addendum_"), "{name} is not ours");
        assert!(helped.contains(name), "{name} has no help text");
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
        assert_ne!(kind, "summary", "{name} has no buckets");
    }
    assert!(text.contains("addendum_learner_steps_total 8"), "{text}");
    assert!(text.contains(r#"addendum_supervisor_restarts_total{actor="reward"} 1"#), "{text}");
    promtool(&text);
}

/// The judge itself, where it is installed.
fn promtool(text: &str) {
    let check =
        Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut check) = check else { return };
    check.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = check.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}
