//! What a person sees of a run: progress while it runs, plots and tables afterwards, and the folder that holds them.
//!
//! Nothing in here influences a run. The plots are drawn from `metrics.jsonl` alone, so they can be drawn again at any
//! time, also of a run that was interrupted.

pub mod chart;
pub mod events;
pub mod lines;
pub mod log;
pub mod metrics;
pub mod page;
pub mod plots;
pub mod progress;
pub mod results;
pub mod run;
pub mod run_folder;
mod scale;
mod svg;
pub mod table;
pub mod terminal;
pub mod tested;
pub mod timeline;

use std::{io, path::PathBuf};

/// Why a report could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A file or folder could not be read or written.
    #[error("{}: {reason}", path.display())]
    Io { path: PathBuf, reason: io::Error },
    /// A line of a file is not a JSON object.
    #[error("{}, line {line}: {reason}", path.display())]
    Line { path: PathBuf, line: usize, reason: String },
    /// A folder in which no run was begun.
    #[error("{} holds no run: it has neither metrics.jsonl nor config.toml", path.display())]
    NoRun { path: PathBuf },
    /// A run's settings are not TOML.
    #[error("{}: is not TOML: {reason}", path.display())]
    Settings { path: PathBuf, reason: String },
    /// Runs that make no page.
    #[error("{count} runs, expected 1 to {most} for a page")]
    Runs { count: usize, most: usize },
    /// A page of these runs would be too long even without pictures.
    #[error("the page of these runs would be longer than {most} bytes; choose fewer runs")]
    TooLong { most: usize },
    /// Something could not be written as JSON.
    #[error("{}: {reason}", path.display())]
    Json { path: PathBuf, reason: serde_json::Error },
    /// A run folder that exists and holds files.
    #[error("the folder {} is not empty (it holds {found}); choose another one or resume the run in it", path.display())]
    NotEmpty { path: PathBuf, found: String },
    /// A run folder's place is taken by a file.
    #[error("{} is a file, expected a folder or nothing", path.display())]
    NotAFolder { path: PathBuf },
    /// A run folder in which nothing can be written.
    #[error("the folder {} is not writable: {reason}", path.display())]
    NotWritable { path: PathBuf, reason: io::Error },
}

impl ReportError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |reason| Self::Io { path, reason }
    }
}

/// What is wrong with a line of JSON, without the line's number: that is the place, which is told anyway.
pub fn not_json(error: &serde_json::Error) -> String {
    let (text, column) = (error.to_string(), error.column());
    let reason = text.strip_suffix(&format!(" at line {} column {column}", error.line())).unwrap_or(&text);
    format!("is not JSON: {reason} (column {column})")
}
