//! What the servers are at, for Prometheus.

use addendum_rewards::telemetry::Metric;
use metrics::{counter, gauge};

use super::server::Queue;

const SERVER: (&str, &str) = ("server", "its address");

/// Of vLLM servers that sample for a run.
pub const METRICS: &[Metric] = &[
    Metric::gauge("addendum_vllm_up", "0 or 1", &[SERVER], "Whether the server answered when it was asked last"),
    Metric::gauge(
        "addendum_vllm_in_flight_reports",
        "reports",
        &[SERVER],
        "Reports that the server is asked for at the moment",
    ),
    Metric::gauge(
        "addendum_vllm_waiting_requests",
        "requests",
        &[SERVER],
        "Requests, of whomever, that wait in the server's own queue, as it says every 5 seconds while it samples",
    ),
    Metric::gauge(
        "addendum_vllm_running_requests",
        "requests",
        &[SERVER],
        "Requests, of whomever, that the server computes, as it says every 5 seconds while it samples",
    ),
    Metric::gauge(
        "addendum_vllm_speed_reports_per_second",
        "reports/s",
        &[SERVER],
        "Reports that the server writes while it is asked for some",
    ),
    Metric::gauge(
        "addendum_vllm_adapter_version",
        "version",
        &[SERVER],
        "Policy version that the server has loaded last",
    ),
    Metric::counter("addendum_vllm_tokens_total", "tokens", &[SERVER], "Tokens that the server has written"),
    Metric::counter("addendum_vllm_failures_total", "requests", &[SERVER], "Requests that the server failed at"),
];

pub(super) fn up(server: &str, up: bool) {
    gauge!("addendum_vllm_up", "server" => server.to_owned()).set(f64::from(u8::from(up)));
}

pub(super) fn load(server: &str, in_flight: usize, speed: f64) {
    gauge!("addendum_vllm_in_flight_reports", "server" => server.to_owned()).set(in_flight as f64);
    gauge!("addendum_vllm_speed_reports_per_second", "server" => server.to_owned()).set(speed);
}

pub(super) fn queue(server: &str, queue: Queue) {
    gauge!("addendum_vllm_waiting_requests", "server" => server.to_owned()).set(queue.waiting);
    gauge!("addendum_vllm_running_requests", "server" => server.to_owned()).set(queue.running);
}

pub(super) fn loaded(server: &str, version: u64) {
    gauge!("addendum_vllm_adapter_version", "server" => server.to_owned()).set(version as f64);
}

pub(super) fn tokens(server: &str, tokens: usize) {
    counter!("addendum_vllm_tokens_total", "server" => server.to_owned()).increment(tokens as u64);
}

pub(super) fn failed(server: &str) {
    counter!("addendum_vllm_failures_total", "server" => server.to_owned()).increment(1);
}
