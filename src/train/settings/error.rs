//! What is wrong with settings, and where.

use std::{fmt, path::PathBuf};

use serde::Serialize;

/// Where a setting was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Line and column count from one.
    File {
        /// The settings file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
    },
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
    /// A settings or study file cannot be read. Check its path.
    #[error("{}: {reason}", path.display())]
    Read {
        /// The file that was named.
        path: PathBuf,
        /// What the system said.
        reason: std::io::Error,
    },
    /// Not TOML, not a key, or not a value of the key's kind. Correct it at the place that the message names;
    /// `addendum config` prints every key with its meaning and default.
    #[error("{place}{reason}")]
    Malformed {
        /// Where it is.
        place: Place,
        /// What is wrong there.
        reason: String,
    },
    /// The folder that is to be resumed has no settings of a run. Check its path.
    #[error("{}: holds no run that could be resumed: there is no {missing}", folder.display())]
    NoRun {
        /// The folder that was named.
        folder: PathBuf,
        /// The file that it lacks.
        missing: &'static str,
    },
    /// Settings that a run is bound to were changed. Resume it with those that it was started with, or start a new run in
    /// another folder.
    #[error("{}: the result of this run would change:{}", folder.display(), listed(differences))]
    Bound {
        /// The run's folder.
        folder: PathBuf,
        /// Each binding setting, with both of its values.
        differences: Vec<Problem>,
    },
    /// A value is out of its range, or does not go with another one. Set it as the message says.
    #[error("{place}{problem}")]
    Invalid {
        /// Where it is.
        place: Place,
        /// The setting, and what was expected.
        problem: Problem,
    },
}

/// A value that cannot be used, by its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Such as `learner.schedule.learning_rate`.
    pub key: String,
    /// Its value, and what was expected.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.reason)
    }
}

impl std::error::Error for Problem {}

impl Problem {
    /// What is wrong with the setting `key`.
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
