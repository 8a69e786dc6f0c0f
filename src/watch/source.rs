//! Where news of a run come from.

use std::{fmt, path::Path};

use super::{endpoint::Endpoint, error::SourceError, folder::Folder, view::Update};

/// Something that tells what is new since it was asked before. It never writes.
pub enum Source {
    /// The files of a run.
    Folder(Box<Folder>),
    /// The metrics that a run serves.
    Endpoint(Box<Endpoint>),
}

impl Source {
    /// A run folder, or a URL that begins with http:// or https://, whose path is `/metrics` if it has none.
    ///
    /// # Errors
    /// No run is there. A run that has only begun is one.
    pub fn open(target: &str) -> Result<Self, SourceError> {
        match target.starts_with("http://") || target.starts_with("https://") {
            true => Ok(Self::Endpoint(Box::new(Endpoint::open(target)?))),
            false => Ok(Self::Folder(Box::new(Folder::open(Path::new(target))?))),
        }
    }

    /// What is new; the last of it says when it was looked for, and what could not be read.
    pub fn news(&mut self) -> Vec<Update> {
        match self {
            Self::Folder(folder) => folder.news(),
            Self::Endpoint(endpoint) => endpoint.news(),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => folder.path().display().fmt(f),
            Self::Endpoint(endpoint) => endpoint.url().fmt(f),
        }
    }
}
