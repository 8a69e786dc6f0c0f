//! Metrics of the server, beside those of the rewards crate.

use std::{sync::OnceLock, time::Duration};

use anyhow::{Context, Result};
use axum::http::StatusCode;
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

const DURATION: &str = "addendum_serve_request_duration_seconds";
const SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Installs the process's recorder, once.
///
/// # Errors
/// Another recorder is installed.
pub(super) fn install() -> Result<PrometheusHandle> {
    static INSTALLED: OnceLock<Result<PrometheusHandle, String>> = OnceLock::new();
    let install = || {
        let builder = PrometheusBuilder::new().set_buckets_for_metric(Matcher::Full(DURATION.into()), SECONDS);
        let handle = builder.and_then(PrometheusBuilder::install_recorder).map_err(|error| error.to_string());
        describe();
        handle
    };
    let handle = INSTALLED.get_or_init(install).as_ref().map_err(|reason| anyhow::anyhow!("{reason}"));
    Ok(handle.context("the metrics recorder cannot be installed")?.clone())
}

fn describe() {
    describe_counter!("addendum_serve_requests_total", "Requests by endpoint and status");
    describe_histogram!(DURATION, Unit::Seconds, "Time from the head of a request to the head of its answer");
    describe_gauge!("addendum_serve_queue_jobs", "Requests that wait for a compute thread");
    describe_gauge!("addendum_serve_connections", "Open connections");
    addendum_rewards::telemetry::describe();
}

pub(super) fn answered(endpoint: &'static str, status: StatusCode, time: Duration, waiting: usize) {
    counter!("addendum_serve_requests_total", "endpoint" => endpoint, "status" => status.as_u16().to_string())
        .increment(1);
    histogram!(DURATION, "endpoint" => endpoint).record(time);
    gauge!("addendum_serve_queue_jobs").set(waiting as f64);
}

/// A connection, counted while it lives.
pub(super) struct Connection;

impl Connection {
    pub fn opened() -> Self {
        gauge!("addendum_serve_connections").increment(1.0);
        Self
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        gauge!("addendum_serve_connections").decrement(1.0);
    }
}
