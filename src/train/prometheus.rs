//! The Prometheus endpoint.

use std::net::SocketAddr;

use addendum_actors::telemetry;
use anyhow::{Context, Result};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};

/// Serves `http://<address>/metrics` for the rest of the process. Call it once, within a tokio runtime.
pub fn serve(address: SocketAddr) -> Result<()> {
    let mut builder = PrometheusBuilder::new();
    for (name, buckets) in telemetry::BUCKETS {
        builder = builder.set_buckets_for_metric(Matcher::Full((*name).into()), buckets)?;
    }
    // Bound before the exporter binds it, so that a taken port is told here and not on a background task.
    drop(std::net::TcpListener::bind(address).with_context(|| format!("metrics address {address} cannot be used"))?);
    builder.with_http_listener(address).install().with_context(|| format!("metrics address {address}"))?;
    telemetry::describe();
    tracing::info!("metrics: http://{address}/metrics");
    Ok(())
}
