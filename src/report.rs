//! What a person sees of a run: progress while it runs, plots and tables afterwards, and the folder that holds them.
//!
//! Nothing in here influences a run. The plots are drawn from `metrics.jsonl` alone, so they can be drawn again at any
//! time, also of a run that was interrupted.

pub(crate) mod chart;
pub mod log;
pub mod metrics;
pub mod plots;
pub mod progress;
pub mod results;
pub mod run_folder;
mod scale;
mod svg;
pub mod table;
pub mod tensorboard;
pub mod terminal;

use std::{io, path::PathBuf};

/// Why a report could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A file or folder could not be read or written: it is not there, permissions are missing, or the disk is full.
    #[error("{}: {reason}", path.display())]
    Io {
        /// The one that the system refused.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// A line of a run's file is not a JSON object: the file was changed, or its disk is damaged. Remove the line, or take
    /// the file from a copy.
    #[error("{}, line {line}: {reason}", path.display())]
    Line {
        /// The file with the line.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Why it is no JSON object.
        reason: String,
    },
    /// Something could not be written as JSON, which is a fault of the program. Please report it.
    #[error("{}: {reason}", path.display())]
    Json {
        /// The file that was to be written.
        path: PathBuf,
        /// What could not be expressed, such as a number that is not finite.
        reason: serde_json::Error,
    },
    /// The folder for a new run holds files already. Choose another one, or resume the run in it.
    #[error("the folder {} is not empty (it holds {found}); choose another one or resume the run in it", path.display())]
    NotEmpty {
        /// The folder that was named.
        path: PathBuf,
        /// One of the files in it.
        found: String,
    },
    /// The place of a run folder is taken by a file. Choose another path, or move the file.
    #[error("{} is a file, expected a folder or nothing", path.display())]
    NotAFolder {
        /// The path that was named.
        path: PathBuf,
    },
    /// Nothing can be written in a run folder: permissions are missing, or the disk is full or read-only.
    #[error("the folder {} is not writable: {reason}", path.display())]
    NotWritable {
        /// The folder that was named.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
}

impl ReportError {
    fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
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
