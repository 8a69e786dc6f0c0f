//! What the servers are at, for Prometheus.

use metrics::{counter, describe_counter, describe_gauge, gauge};

/// Registers the help texts.
pub(crate) fn describe() {
    describe_gauge!("addendum_vllm_up", "Whether the server answered when it was asked last, by server");
    describe_gauge!("addendum_vllm_in_flight_reports", "Reports that the server is asked for at the moment");
    describe_gauge!(
        "addendum_vllm_speed_reports_per_second",
        "Reports that the server writes, while it is asked for some"
    );
    describe_gauge!("addendum_vllm_adapter_version", "Newest policy version that the server has loaded");
    describe_counter!("addendum_vllm_tokens_total", "Tokens that the server has written");
    describe_counter!("addendum_vllm_failures_total", "Requests that the server failed at");
}

pub(super) fn up(server: &str, up: bool) {
    gauge!("addendum_vllm_up", "server" => server.to_owned()).set(f64::from(u8::from(up)));
}

pub(super) fn load(server: &str, in_flight: usize, speed: f64) {
    gauge!("addendum_vllm_in_flight_reports", "server" => server.to_owned()).set(in_flight as f64);
    gauge!("addendum_vllm_speed_reports_per_second", "server" => server.to_owned()).set(speed);
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
