//! The Prometheus endpoint.

use std::net::SocketAddr;

use addendum_actors::telemetry;
use anyhow::{Context, Result};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::settings::Problem;

/// How a run can be watched.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// Serve Prometheus metrics at this address, such as 127.0.0.1:9464.
    pub metrics_address: Option<String>,
}

impl TelemetryConfig {
    /// # Errors
    /// What is no address of this machine's.
    pub fn address(&self) -> Result<Option<SocketAddr>, Problem> {
        let parsed = |text: &String| {
            text.parse().map_err(|_| {
                Problem::new("metrics_address", format!("is {text}, expected IP:PORT, such as 127.0.0.1:9464"))
            })
        };
        self.metrics_address.as_ref().map(parsed).transpose()
    }
}

/// Whether the address can be bound at the moment.
///
/// # Errors
/// It is taken, or none of this machine's.
pub fn available(address: SocketAddr) -> Result<()> {
    std::net::TcpListener::bind(address).map(drop).with_context(|| format!("metrics address {address} cannot be used"))
}

/// Serves `http://<address>/metrics` for the rest of the process. Call it once, within a tokio runtime.
pub fn serve(address: SocketAddr) -> Result<()> {
    let mut builder = PrometheusBuilder::new();
    for (name, buckets) in telemetry::BUCKETS {
        builder = builder.set_buckets_for_metric(Matcher::Full((*name).into()), buckets)?;
    }
    // Bound before the exporter binds it, so that a taken port is told here and not on a background task.
    available(address)?;
    builder.with_http_listener(address).install().with_context(|| format!("metrics address {address}"))?;
    telemetry::describe();
    tracing::info!("metrics: http://{address}/metrics");
    Ok(())
}
