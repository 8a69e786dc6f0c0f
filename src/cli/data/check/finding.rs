//! Something that is wrong or odd, and where.

use std::{fmt, path::PathBuf};

use addendum::studies::{Place, Split};
use serde::Serialize;

/// What kind of thing is wrong or odd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A split without a file that can be read.
    File,
    /// An entry that is no study.
    Entry,
    /// An image that cannot be read.
    Image,
    /// An id or a patient of another split.
    Split,
    /// A prompt or a report over its limit.
    Length,
    /// An image that is readable, but hardly a radiograph.
    Blank,
    Small,
    /// A report of hardly a word.
    Short,
}

#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    pub kind: Kind,
    pub split: Split,
    pub file: Option<PathBuf>,
    /// Where the entry begins, from 1.
    pub line: Option<u32>,
    /// Its number, from 0.
    pub entry: Option<u32>,
    pub id: Option<String>,
    pub reason: String,
}

impl Finding {
    /// About a whole split.
    pub fn of_split(kind: Kind, split: Split, reason: String) -> Self {
        Self { kind, split, file: None, line: None, entry: None, id: None, reason }
    }

    pub fn at(kind: Kind, split: Split, place: &Place, id: Option<&str>, reason: String) -> Self {
        let (file, line, entry) = (Some(place.path.to_path_buf()), place.line, Some(place.entry));
        Self { kind, split, file, line, entry, id: id.map(str::to_owned), reason }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => write!(f, "{}:", file.display())?,
            None => write!(f, "{}: ", self.split)?,
        }
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        if let Some(entry) = self.entry {
            write!(f, " entry {entry}: ")?;
        }
        if let Some(id) = &self.id {
            write!(f, "study `{id}`: ")?;
        }
        f.write_str(&self.reason)
    }
}
