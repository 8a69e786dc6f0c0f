//! The Prometheus endpoint.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use addendum_actors::telemetry as actors;
use addendum_rewards::telemetry as rewards;
use anyhow::{Context, Result};
use metrics::gauge;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::settings::Problem;
use crate::{host, telemetry, vllm};

/// How often the machine is looked at.
const LOOK: Duration = Duration::from_secs(10);

/// How a run can be watched.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// Serve Prometheus metrics at this address, such as 127.0.0.1:9464.
    pub metrics_address: Option<String>,
    /// Write the figures of steps and evaluations for TensorBoard too, into the folder `tensorboard` of the run.
    pub tensorboard: bool,
    /// Send traces of OpenTelemetry, one per ticket and step, to the collector at this address, such as
    /// http://127.0.0.1:4318 (OTLP over HTTP). It takes a build with `--features otlp`.
    pub otlp: Option<String>,
}

impl TelemetryConfig {
    /// # Errors
    /// The first setting that cannot be used.
    pub fn validate(&self) -> Result<(), Problem> {
        self.address()?;
        let Some(url) = &self.otlp else { return Ok(()) };
        let host = ["http://", "https://"].into_iter().find_map(|scheme| url.strip_prefix(scheme));
        let host = host.and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
        // A password is for the variable that the exporter reads its headers from, and shown nowhere.
        if host.contains('@') {
            return Err(Problem::new(
                "otlp",
                "has a user or password, expected http(s)://HOST:PORT; OTEL_EXPORTER_OTLP_HEADERS takes what proves who one is",
            ));
        }
        if host.is_empty() || url.parse::<ureq::http::Uri>().is_err() {
            return Err(Problem::new(
                "otlp",
                format!("is {url}, expected http(s)://HOST:PORT, such as http://127.0.0.1:4318"),
            ));
        }
        match cfg!(feature = "otlp") {
            true => Ok(()),
            false => Err(Problem::new(
                "otlp",
                "is set, which this build cannot send to; expected a build with `--features otlp`",
            )),
        }
    }

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

/// Serves `http://<address>/metrics` for the rest of the process, with what the machine has left of memory and of the
/// folder's disk; `facts` tell which run this is. Call it once, within a tokio runtime.
///
/// # Errors
/// The address cannot be used.
pub fn serve(address: SocketAddr, folder: &Path, facts: &[(&'static str, String)]) -> Result<()> {
    // Bound before the exporter binds it, so that a taken port is told here and not on a background task.
    available(address)?;
    let builder = telemetry::exporter()?.with_http_listener(address);
    builder.install().with_context(|| format!("metrics address {address}"))?;
    rewards::describe(telemetry::METRICS);
    rewards::describe(vllm::METRICS);
    actors::describe();
    gauge!("addendum_run_info", facts).set(1.0);
    tokio::spawn(watch(folder.to_owned()));
    tracing::info!("metrics: http://{address}/metrics");
    Ok(())
}

/// Looks at the machine every few seconds, on a thread that a slow disk may hold up.
async fn watch(folder: PathBuf) {
    let mut ticks = tokio::time::interval(LOOK);
    loop {
        ticks.tick().await;
        let folder = folder.clone();
        let _ = tokio::task::spawn_blocking(move || look(&folder)).await;
    }
}

fn look(folder: &Path) {
    let sizes = [
        ("addendum_run_disk_free_bytes", host::free_disk(folder)),
        ("addendum_run_disk_size_bytes", host::disk_size(folder)),
        ("addendum_run_resident_memory_bytes", host::resident()),
    ];
    for (name, size) in sizes {
        size.into_iter().for_each(|bytes| gauge!(name).set(bytes as f64));
    }
}
