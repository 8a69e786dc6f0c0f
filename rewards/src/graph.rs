//! Entities and relations of a report in RadGraph's scheme, and the trait of what extracts them.

use serde::{Deserialize, Serialize};

use crate::Result;

/// The label names of the radgraph-xl model (Delbrouck et al. 2024), which the lexicon uses too.
pub mod label {
    /// A place or structure.
    pub const ANATOMY: &str = "Anatomy::definitely present";
    /// A finding that is said to be there.
    pub const PRESENT: &str = "Observation::definitely present";
    /// A finding that is said not to be there.
    pub const ABSENT: &str = "Observation::definitely absent";
    /// A finding that may be there.
    pub const UNCERTAIN: &str = "Observation::uncertain";
}

/// The relation names of RadGraph (Jain et al. 2021, section 3).
pub mod relation {
    /// From a finding to the place where it is.
    pub const LOCATED_AT: &str = "located_at";
    /// From a word to what it describes more closely.
    pub const MODIFY: &str = "modify";
    /// From a finding to what it speaks for.
    pub const SUGGESTIVE_OF: &str = "suggestive_of";
}

/// The annotation of one report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Graph {
    /// In the order of the report's words.
    pub entities: Vec<GraphEntity>,
}

/// One entity: some words of the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GraphEntity {
    /// The words, joined by single spaces.
    pub tokens: String,
    /// The label as its model names it; a string, because each archive brings its own names.
    pub label: String,
    /// Those that start at this entity.
    pub relations: Vec<Relation>,
}

/// A relation of the entity that holds it to another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relation {
    /// One of [`relation`], or as the model names it.
    pub kind: String,
    /// Index into [`Graph::entities`]; an index outside is ignored by the metrics.
    pub object: usize,
}

/// Extracts the graphs of reports. Implementations must be deterministic.
pub trait GraphExtractor: Send + Sync {
    /// Returns one graph per report, in order. A report's graph does not depend on its neighbours in the slice.
    fn graph(&self, reports: &[&str]) -> Result<Vec<Graph>>;
}
