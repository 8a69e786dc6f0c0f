//! What is wrong with one entry of a dataset file.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Where in a dataset file an entry stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file that lists the studies.
    pub path: Arc<Path>,
    /// Where it begins, from 1; none in files without lines.
    pub line: Option<u32>,
    /// Its number among the entries, from 0.
    pub entry: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        write!(f, " entry {}", self.entry)
    }
}

/// A field of an entry, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// None where the whole entry is meant.
    pub field: Option<String>,
    /// What is wrong, and what was expected.
    pub reason: String,
}

impl Problem {
    pub(crate) fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: Some(field.into()), reason: reason.into() }
    }

    pub(crate) fn whole(reason: impl Into<String>) -> Self {
        Self { field: None, reason: reason.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(field) = &self.field {
            write!(f, "field `{field}`: ")?;
        }
        f.write_str(&self.reason)
    }
}

/// An entry that is no study, and all that is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRow {
    /// Where the entry stands.
    pub place: Place,
    /// At least one.
    pub problems: Vec<Problem>,
}

impl fmt::Display for BadRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        for (at, problem) in self.problems.iter().enumerate() {
            write!(f, "{}{problem}", if at == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

/// The entries of a file that are no studies.
#[derive(Clone, Debug)]
pub struct BadRows {
    /// The file that lists the studies.
    pub path: PathBuf,
    /// Entries of the file, bad ones included.
    pub entries: usize,
    /// At least one.
    pub rows: Vec<BadRow>,
}

/// Bad rows that a message names; the others are counted.
const SHOWN: usize = 20;

impl fmt::Display for BadRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [row] = &self.rows[..] {
            return row.fmt(f);
        }
        let (bad, entries) = (self.rows.len(), self.entries);
        write!(f, "{}: {bad} of {entries} entries are no studies:", self.path.display())?;
        for row in self.rows.iter().take(SHOWN) {
            write!(f, "\n  {row}")?;
        }
        if bad > SHOWN {
            write!(f, "\n  and {} more", bad - SHOWN)?;
        }
        Ok(())
    }
}
