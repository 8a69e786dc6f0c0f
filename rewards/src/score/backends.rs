//! The exchangeable annotators behind all metrics, with their answers counted.

use std::sync::Arc;

use crate::{Entity, EntityExtractor, Error, Graph, GraphExtractor, Labeller, Labels, Lexicon, Result};

/// What annotates reports.
#[derive(Clone)]
pub struct Backends {
    /// Labels the 14 observations, for the CheXbert metrics.
    pub labeller: Arc<dyn Labeller>,
    /// Finds entities with embeddings, for RaTEScore and the editor.
    pub entities: Arc<dyn EntityExtractor>,
    /// Finds entities and relations, for RadGraph F1.
    pub graphs: Arc<dyn GraphExtractor>,
}

impl Backends {
    /// The lexicon for everything.
    pub fn lexicon() -> Self {
        let lexicon = Arc::new(Lexicon::new());
        Self { labeller: lexicon.clone(), entities: lexicon.clone(), graphs: lexicon }
    }

    /// The labels of each report. Fails when the back end does, or answers for another number of reports.
    pub fn labels(&self, reports: &[&str]) -> Result<Vec<Labels>> {
        counted("labeller", self.labeller.label(reports)?, reports.len())
    }

    /// The graph of each report. Fails when the back end does, or answers for another number of reports.
    pub fn graphs(&self, reports: &[&str]) -> Result<Vec<Graph>> {
        counted("graph extractor", self.graphs.graph(reports)?, reports.len())
    }

    /// The entities of whole reports: those of their sentences, in order. Fails as the others do.
    pub fn entities(&self, reports: &[&str]) -> Result<Vec<Vec<Entity>>> {
        let cut: Vec<Vec<&str>> = reports.iter().map(|report| self.entities.split(report)).collect();
        let flat: Vec<&str> = cut.iter().flatten().copied().collect();
        let mut found = counted("entity extractor", self.entities.extract(&flat)?, flat.len())?.into_iter();
        Ok(cut.iter().map(|sentences| found.by_ref().take(sentences.len()).flatten().collect()).collect())
    }
}

fn counted<T>(component: &'static str, annotations: Vec<T>, expected: usize) -> Result<Vec<T>> {
    match annotations.len() {
        got if got == expected => Ok(annotations),
        got => Err(Error::Count { component, expected, got }),
    }
}
