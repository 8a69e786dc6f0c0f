//! The trait of everything that yields studies, and the names of the splits.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    study::Study,
};

/// An indexed, unchanging collection of studies. The same index always yields the same study.
pub trait Dataset: Send + Sync {
    /// Number of studies.
    fn len(&self) -> usize;

    /// The study at `index`, in `0..len()`.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for any other index; otherwise whatever keeps the study from being read.
    fn study(&self, index: usize) -> Result<Study>;

    /// Whether there are no studies.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Dataset for Vec<Study> {
    fn len(&self) -> usize {
        Vec::len(self)
    }

    fn study(&self, index: usize) -> Result<Study> {
        self.get(index).cloned().ok_or(Error::OutOfRange { index, len: Vec::len(self) })
    }
}

impl<D: Dataset + ?Sized> Dataset for Arc<D> {
    fn len(&self) -> usize {
        (**self).len()
    }

    fn study(&self, index: usize) -> Result<Study> {
        (**self).study(index)
    }
}

/// One of the three disjoint parts of a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// For supervised fine-tuning and reinforcement.
    Train,
    /// For everything that is chosen: checkpoints, learning rates, when to stop.
    Val,
    /// For the final scores alone.
    Test,
}

impl Split {
    /// In the order of training.
    pub const ALL: [Self; 3] = [Self::Train, Self::Val, Self::Test];

    /// `train`, `val` or `test`, as in the file names of a dataset folder.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::Test => "test",
        }
    }

    /// The split that somebody calls this; capitals do not count.
    pub fn named(name: &str) -> Option<Self> {
        match name.trim().to_lowercase().as_str() {
            "train" | "training" => Some(Self::Train),
            "val" | "valid" | "validate" | "validation" | "dev" => Some(Self::Val),
            "test" | "testing" => Some(Self::Test),
            _ => None,
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Split {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::named(name).ok_or_else(|| format!("unknown split `{name}`: expected train, val or test"))
    }
}
