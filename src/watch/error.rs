//! What keeps one from watching.

/// Why nothing can be watched.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The folder cannot be read: it is not there, or permissions are missing. Check the path.
    #[error("{folder}: {reason}")]
    Unreadable {
        /// The one that was named.
        folder: String,
        /// What the system said.
        reason: std::io::Error,
    },
    /// The folder is none of a run. Name a run's folder, which has its `config.toml`.
    #[error("{folder} holds no run: it has neither config.toml nor metrics.jsonl{}", hint(.within))]
    NoRun {
        /// The one that was named.
        folder: String,
        /// The newest run in a folder of it.
        within: Option<String>,
    },
    /// Nobody answers there. Check the address, and that the run serves its metrics (`telemetry.metrics_address`).
    #[error("{url}: {reason}")]
    Unreachable {
        /// The address that was asked.
        url: String,
        /// What went wrong.
        reason: String,
    },
    /// What answers there is no run of Addendum. Check the address.
    #[error(
        "{url} shows no metrics of a run; with telemetry.metrics_address = \"127.0.0.1:9464\" they are at http://127.0.0.1:9464/metrics"
    )]
    NoMetrics {
        /// The address that was asked.
        url: String,
    },
}

fn hint(within: &Option<String>) -> String {
    within.as_ref().map(|run| format!("; the newest run in it is {run}")).unwrap_or_default()
}
