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
use addendum_rewards::telemetry::{self as rewards, Metric};
use common::{First, Trouble, config, pipeline, run};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};

fn metrics() -> impl Iterator<Item = &'static Metric> {
    telemetry::METRICS.iter().chain(rewards::METRICS)
}

/// The exposition after a run in which everything happens that is measured.
async fn exposition() -> String {
    let mut builder = PrometheusBuilder::new();
    for metric in metrics() {
        if let Some(bounds) = metric.bounds() {
            builder = builder.set_buckets_for_metric(Matcher::Full(metric.name.into()), bounds).unwrap();
        }
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

/// They need real back ends of the reward, one that fails, and a selection.
const NOT_IN_THIS_RUN: [&str; 8] = [
    "addendum_reward_cache_hit_ratio",
    "addendum_reward_cache_lookups_total",
    "addendum_reward_failures_total",
    "addendum_reward_service_failures_total",
    "addendum_reward_service_in_flight_requests",
    "addendum_reward_service_speed_requests_per_second",
    "addendum_reward_service_up",
    "addendum_select_dropped_rollouts_total",
];

/// The labels of a sample's line but for those of the exposition itself; no value of this run has a brace or a comma.
fn labels(line: &str) -> BTreeSet<&str> {
    let inner = line.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map_or("", |(inner, _)| inner);
    inner.split(',').filter_map(|label| Some(label.split_once('=')?.0)).filter(|name| *name != "le").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_publishes_is_what_the_table_says_with_its_kind_its_labels_and_its_meaning() {
    let text = exposition().await;
    let known: BTreeMap<&str, &Metric> = metrics().map(|metric| (metric.name, metric)).collect();
    assert_eq!(known.len(), metrics().count(), "two metrics have one name");
    let (mut published, mut helped) = (BTreeSet::new(), BTreeSet::new());
    let mut name = "";
    for line in text.lines().filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words.as_slice() {
            ["#", "TYPE", typed, kind] => {
                name = *typed;
                let metric = known.get(name).unwrap_or_else(|| panic!("{name} is in no table"));
                assert_eq!(metric.kind.name(), *kind, "{name}");
                published.insert(name);
            }
            ["#", "HELP", name, help] => {
                assert!(known.get(name).is_some_and(|metric| metric.meaning == *help), "{name}: {help}");
                helped.insert(*name);
            }
            _ => {
                let expected: BTreeSet<&str> = known[name].labels.iter().map(|(label, _)| *label).collect();
                assert_eq!(labels(line), expected, "{line}");
            }
        }
    }
    assert_eq!(published, helped);
    let missing: Vec<&str> = known.keys().copied().filter(|name| !published.contains(name)).collect();
    assert_eq!(missing, NOT_IN_THIS_RUN, "in\n{text}");
    assert!(text.contains("addendum_learner_steps_total 8"), "{text}");
    assert!(text.contains(r#"addendum_supervisor_restarts_total{actor="reward"} 1"#), "{text}");
    assert!(text.contains(r#"addendum_learner_diverging{sign="kl_explosion"} 0"#), "{text}");
    assert!(text.contains("addendum_learner_planned_steps 8"), "{text}");
    promtool(&text);
}

/// The table says what a name promises.
#[test]
fn names_end_with_their_units_and_kinds() {
    for Metric { name, kind, unit, .. } in metrics() {
        assert!(name.starts_with("addendum_"), "{name} is not ours");
        assert_eq!(kind.name() == "counter", name.ends_with("_total"), "{name} is a {}", kind.name());
        for ending in ["seconds", "bytes", "ratio", "score", "nats", "tokens", "versions"] {
            let measured = name.ends_with(&format!("_{ending}"));
            assert!(!measured || *unit == ending, "{name} is in {unit}");
        }
    }
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
