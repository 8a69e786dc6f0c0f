//! What can go wrong with a service.

use std::path::PathBuf;

use super::Malformed;

/// Names the address and what was wrong there; never holds a token or a report.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("config of the service {url}: `{field}` is {value}, expected {expected}")]
    Config { url: String, field: &'static str, value: String, expected: &'static str },
    #[error("config of the service {url}: {reason}")]
    Prompt { url: String, reason: Box<addendum_rewards::Error> },
    #[error("token file {}: {reason}", path.display())]
    TokenFile { path: PathBuf, reason: String },
    #[error("environment variable {name}: {reason}")]
    TokenVariable { name: String, reason: &'static str },
    /// No connection, or none that lasted until the answer was there.
    #[error("{url}: {reason}")]
    Transport { url: String, reason: String },
    #[error("{url}: no answer within {seconds} s")]
    Late { url: String, seconds: f64 },
    #[error("{url}: status {status}: {message}")]
    Status { url: String, status: u16, message: String },
    #[error("{url}: the answer is longer than {limit} bytes")]
    TooLong { url: String, limit: u64 },
    #[error("{url}: the answer is not JSON: {reason}")]
    NotJson { url: String, reason: String },
    #[error("{url}: answer: {reason}")]
    Answer { url: String, reason: Malformed },
    #[error("{url}: {reason}")]
    Green { url: String, reason: addendum_rewards::green::AnswerError },
    #[error("{last} (tried {attempts} times in {seconds:.1} s)")]
    GaveUp { attempts: u32, seconds: f64, last: Box<Error> },
}

impl Error {
    /// Whether another attempt may end differently.
    pub(super) fn transient(&self) -> bool {
        match self {
            Self::Transport { .. } | Self::Late { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500..=599),
            _ => false,
        }
    }
}

impl Error {
    /// The setting that is wrong, by its path within the service's.
    pub fn field(&self) -> Option<&'static str> {
        match self {
            Self::Config { field, .. } => Some(field),
            Self::Prompt { .. } => Some("prompt"),
            Self::TokenFile { .. } => Some("token_file"),
            Self::TokenVariable { .. } => Some("token_variable"),
            _ => None,
        }
    }
}

impl From<Error> for addendum_rewards::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Config { field, value, expected, .. } => Self::setting(field, value, expected),
            Error::TokenFile { path, reason } => {
                Self::setting("token_file", path.display(), format!("a file with a token: {reason}"))
            }
            Error::TokenVariable { name, reason } => {
                Self::setting("token_variable", name, format!("an environment variable with a token: it {reason}"))
            }
            other => Self::Component { component: "service", reason: other.to_string() },
        }
    }
}
