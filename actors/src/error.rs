//! Why a run could not start or had to end.

use std::path::PathBuf;

/// The error of a run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("config: `{field}` is {value}, expected {expected}")]
    Config { field: &'static str, value: String, expected: &'static str },
    #[error("the training set is empty")]
    NoStudies,
    #[error(transparent)]
    Gate(#[from] addendum_replay::ConfigError),
    #[error("the pipeline has no stage that gives rewards")]
    NoStages,
    #[error("{actor} could not be started: {reason}")]
    Start { actor: String, reason: String },
    #[error("the supervisor of the run was killed")]
    SupervisorKilled,
    #[error("the learner failed at step {step}: {reason}")]
    Learner { step: u64, reason: String },
    #[error("{}: {reason}", path.display())]
    Io { path: PathBuf, reason: std::io::Error },
    #[error("checkpoint {}: {reason}", path.display())]
    Checkpoint { path: PathBuf, reason: String },
    #[error("the run folder {} already holds a run; resume it or choose another folder", path.display())]
    NotEmpty { path: PathBuf },
}

impl RunError {
    pub(crate) fn config(field: &'static str, value: impl ToString, expected: &'static str) -> Self {
        Self::Config { field, value: value.to_string(), expected }
    }

    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |reason| Self::Io { path, reason }
    }

    pub(crate) fn checkpoint(path: impl Into<PathBuf>, reason: impl ToString) -> Self {
        Self::Checkpoint { path: path.into(), reason: reason.to_string() }
    }
}
