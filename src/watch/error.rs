//! What keeps one from watching.

/// Why nothing can be watched.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("{folder}: {reason}")]
    Unreadable { folder: String, reason: std::io::Error },
    #[error("{folder} holds no run: it has neither config.toml nor metrics.jsonl{}", hint(.within))]
    NoRun {
        folder: String,
        /// The newest run in a folder of it.
        within: Option<String>,
    },
    #[error("{url}: {reason}")]
    Unreachable { url: String, reason: String },
    #[error(
        "{url} shows no metrics of a run; with telemetry.metrics_address = \"127.0.0.1:9464\" they are at http://127.0.0.1:9464/metrics"
    )]
    NoMetrics { url: String },
}

fn hint(within: &Option<String>) -> String {
    within.as_ref().map(|run| format!("; the newest run in it is {run}")).unwrap_or_default()
}
