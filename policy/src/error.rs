use std::path::{Path, PathBuf};

/// What can go wrong with a policy, its files and its training.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A computation failed: most often a device is out of memory, else a tensor has another shape than the model
    /// expects. In the first case ask for less at a time: smaller `learner.micro_batch_tokens`, fewer
    /// `sampler.max_sequences`.
    #[error("tensor operation failed: {0}")]
    Tensor(candle_core::Error),

    /// A setting, a tensor or a part of a prompt cannot be used. Where it is a setting, set it as the message says;
    /// otherwise the data, or the checkpoint, are not what the model takes.
    #[error("{what}: {reason}")]
    Invalid {
        /// What cannot be used, by the name of its setting or tensor.
        what: String,
        /// What is wrong with it, and what was expected.
        reason: String,
    },

    /// A file of a checkpoint, an adapter or an image was read and cannot be used: it is damaged, incomplete, or does not
    /// fit the other files. Fetch or make it again, and see that all files are of one model.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file that cannot be used.
        path: PathBuf,
        /// What is wrong in it.
        reason: String,
    },

    /// A file could not be read or written: it is not there, permissions are missing, or the disk is full.
    #[error("{}: {reason}", path.display())]
    Io {
        /// The one that the system refused.
        path: PathBuf,
        /// What the system said.
        reason: std::io::Error,
    },
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

    /// An [`Error::Invalid`].
    pub fn invalid(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid { what: what.into(), reason: reason.into() }
    }

    /// An [`Error::File`].
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

    /// Turns an I/O error into one that names `path`.
    pub fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |reason| Self::Io { path: path.into(), reason }
    }
}

/// The result of this crate's fallible functions.
pub type Result<T> = std::result::Result<T, Error>;
