//! What is wrong with settings, and where.

use std::{fmt, path::PathBuf};

use serde::Serialize;

/// Where a setting was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Line and column count from one.
    File { path: PathBuf, line: usize, column: usize },
    /// An argument of `--set`.
    Argument(String),
    /// Nowhere: it is a default, or was set by a program.
    Nowhere,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}: ", path.display()),
            Self::Argument(text) => write!(f, "--set {text}: "),
            Self::Nowhere => Ok(()),
        }
    }
}

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("{}: {reason}", path.display())]
    Read { path: PathBuf, reason: std::io::Error },
    /// Not TOML, not a key, or not a value of the key's kind.
    #[error("{place}{reason}")]
    Malformed { place: Place, reason: String },
    #[error("{}: holds no run that could be resumed: there is no {missing}", folder.display())]
    NoRun { folder: PathBuf, missing: &'static str },
    /// Settings that a run is bound to were changed.
    #[error("{}: the result of this run would change:{}", folder.display(), listed(differences))]
    Bound { folder: PathBuf, differences: Vec<Problem> },
    /// A value out of its range, or one that does not go with another.
    #[error("{place}{problem}")]
    Invalid { place: Place, problem: Problem },
}

/// A value that cannot be used, by its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Such as `learner.schedule.learning_rate`.
    pub key: String,
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.reason)
    }
}

impl std::error::Error for Problem {}

impl Problem {
    pub fn new(key: impl Into<String>, reason: impl fmt::Display) -> Self {
        Self { key: key.into(), reason: reason.to_string() }
    }

    /// The same with its key in a section.
    pub fn within(self, section: &str) -> Self {
        Self { key: format!("{section}.{}", self.key), ..self }
    }
}

fn listed(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("\n  {problem}")).collect()
}
