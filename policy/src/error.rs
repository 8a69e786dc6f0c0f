use std::path::{Path, PathBuf};

/// What can go wrong with a policy, its files and its training.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("tensor operation failed: {0}")]
    Tensor(candle_core::Error),

    /// A value that cannot be used, whatever file it came from.
    #[error("{what}: {reason}")]
    Invalid { what: String, reason: String },

    /// A file that was read but cannot be used.
    #[error("{}: {reason}", path.display())]
    File { path: PathBuf, reason: String },

    #[error("{}: {reason}", path.display())]
    Io { path: PathBuf, reason: std::io::Error },
}

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        Self::Tensor(error)
    }
}

impl Error {
    /// Whether a device ran out of memory. Only its driver's words say so.
    pub fn is_out_of_memory(&self) -> bool {
        let Self::Tensor(error) = self else { return false };
        let said = error.to_string();
        ["OUT_OF_MEMORY", "out of memory", "ALLOC_FAILED"].iter().any(|words| said.contains(words))
    }

    pub fn invalid(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid { what: what.into(), reason: reason.into() }
    }

    pub fn file(path: &Path, reason: impl std::fmt::Display) -> Self {
        Self::File { path: path.into(), reason: reason.to_string() }
    }

    /// Names the folder where what is wrong is of no single file.
    pub(crate) fn of_folder(dir: &Path) -> impl FnOnce(Self) -> Self + '_ {
        move |error| match error {
            Self::Invalid { .. } => Self::file(dir, error),
            named => named,
        }
    }

    pub fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |reason| Self::Io { path: path.into(), reason }
    }
}

pub type Result<T> = std::result::Result<T, Error>;
