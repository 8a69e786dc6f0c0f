//! Metrics of the server, beside those of the rewards crate.

use std::{sync::OnceLock, time::Duration};

use addendum_rewards::telemetry as rewards;
use anyhow::{Context, Result};
use axum::http::StatusCode;
use metrics::{counter, gauge, histogram};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use crate::telemetry;

/// Installs the process's recorder, once.
///
/// # Errors
/// Another recorder is installed.
pub(super) fn install() -> Result<PrometheusHandle> {
    static INSTALLED: OnceLock<Result<PrometheusHandle, String>> = OnceLock::new();
    let install = || {
        let handle = telemetry::exporter().and_then(PrometheusBuilder::install_recorder);
        rewards::describe(telemetry::METRICS);
        rewards::describe(rewards::METRICS);
        handle.map_err(|error| error.to_string())
    };
    let handle = INSTALLED.get_or_init(install).as_ref().map_err(|reason| anyhow::anyhow!("{reason}"));
    Ok(handle.context("the metrics recorder cannot be installed")?.clone())
}

pub(super) fn answered(endpoint: &'static str, status: StatusCode, time: Duration, waiting: usize) {
    counter!("addendum_serve_requests_total", "endpoint" => endpoint, "status" => status.as_u16().to_string())
        .increment(1);
    histogram!("addendum_serve_request_duration_seconds", "endpoint" => endpoint).record(time);
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
