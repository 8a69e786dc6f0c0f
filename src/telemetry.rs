//! The metrics that runs and servers publish beside those of actors and rewards, and what is made of all tables: exporters
//! and docs/metrics.md.

use std::fmt::Write;

use addendum_actors::telemetry as actors;
use addendum_rewards::telemetry::{self as rewards, Metric};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder};

use crate::vllm;

const REQUESTS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

const ENDPOINT: (&str, &str) = ("endpoint", "`predict`, `analyze`, `health` or another path's name");

/// Of the machine, the studies and the reward server.
pub const METRICS: &[Metric] = &[
    Metric::gauge(
        "addendum_run_info",
        "1",
        &[
            ("run", "the name of its folder"),
            ("method", "what the paper calls it, such as `EditGRPO`"),
            ("algorithm", "algorithm.name"),
            ("mode", "`fixed_lag` or `latest`"),
            ("version", "of Addendum"),
        ],
        "Which run this is",
    ),
    Metric::gauge(
        "addendum_run_disk_free_bytes",
        "bytes",
        &[],
        "What the run folder's disk can still give to this user",
    ),
    Metric::gauge("addendum_run_disk_size_bytes", "bytes", &[], "Size of the run folder's disk"),
    Metric::gauge("addendum_run_resident_memory_bytes", "bytes", &[], "Memory of the process that is resident"),
    Metric::gauge(
        "addendum_data_skipped_entries",
        "entries",
        &[("set", "`training`, `validation` or `test`")],
        "Entries that are no studies and were left out (data.skip_bad)",
    ),
    Metric::counter(
        "addendum_serve_requests_total",
        "requests",
        &[ENDPOINT, ("status", "of HTTP")],
        "Requests that were answered",
    ),
    Metric::histogram(
        "addendum_serve_request_duration_seconds",
        "seconds",
        &[ENDPOINT],
        REQUESTS,
        "Time from the head of a request to the head of its answer",
    ),
    Metric::gauge("addendum_serve_queue_jobs", "requests", &[], "Requests that wait for a compute thread"),
    Metric::gauge("addendum_serve_connections", "connections", &[], "Open connections"),
];

/// All tables, each with what it is about.
pub const TABLES: [(&str, &[Metric]); 4] = [
    ("Actors of a run", actors::METRICS),
    ("Reward back ends and clients of reward services", rewards::METRICS),
    ("vLLM servers that sample for a run", vllm::METRICS),
    ("Machine, studies and reward server", METRICS),
];

/// An exporter that counts the histograms of all tables in their buckets.
///
/// # Errors
/// A histogram without buckets.
pub(crate) fn exporter() -> Result<PrometheusBuilder, BuildError> {
    let metrics = TABLES.iter().flat_map(|(_, table)| *table);
    let mut histograms = metrics.filter_map(|metric| Some((metric.name, metric.bounds()?)));
    histograms.try_fold(PrometheusBuilder::new(), |builder, (name, bounds)| {
        builder.set_buckets_for_metric(Matcher::Full(name.into()), bounds)
    })
}

/// The text of docs/metrics.md.
pub fn document() -> String {
    let mut text = INTRODUCTION.to_owned();
    for (title, table) in TABLES {
        let _ = write!(text, "\n## {title}\n\n| metric | type | unit | labels | meaning |\n|:--|:--|:--|:--|:--|\n");
        for Metric { name, kind, unit, labels, meaning } in table {
            let labels: Vec<String> = labels.iter().map(|(name, told)| format!("`{name}`: {told}")).collect();
            let (kind, labels) = (kind.name(), labels.join("; "));
            let _ = writeln!(text, "| `{name}` | {kind} | {unit} | {labels} | {meaning} |");
        }
    }
    text
}

const INTRODUCTION: &str = "\
# Metrics

`addendum train` serves them at `telemetry.metrics_address`, `addendum serve-rewards` at `/metrics`, in the text format of
Prometheus. [monitoring/](../monitoring) has a dashboard and alerts made of them.

A counter counts from zero when its process starts; ask for its `rate` or `increase`. A histogram `NAME` is there as
`NAME_bucket` (with the label `le`), `NAME_sum` and `NAME_count`. A gauge is not there before it is first known, and a mean
of nothing leaves it as it was. Prometheus adds the labels `job` and `instance`.

This file is what `addendum metrics` prints; a test compares them.
";
