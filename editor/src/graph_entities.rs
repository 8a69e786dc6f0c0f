//! RadGraph entities as the edit rule's: the words and labels of any graph extractor, without embeddings.
//!
//! They match by their words, so they go with [`Extractor::Radgraph`](crate::Extractor::Radgraph).

use std::sync::Arc;

use addendum_rewards::{Entity, EntityExtractor, EntityType, GraphExtractor, Result};

/// Reads entities off the graphs of single sentences.
///
/// Observations that are definitely present or absent assert or deny a finding, anatomy does neither, and uncertain
/// entities take no part, as in the paper's published code.
pub struct GraphEntities(pub Arc<dyn GraphExtractor>);

impl EntityExtractor for GraphEntities {
    fn extract(&self, sentences: &[&str]) -> Result<Vec<Vec<Entity>>> {
        let graphs = self.0.graph(sentences)?.into_iter();
        let entity = |text: String, label: &str| Some(Entity { text, kind: kind(label)?, embedding: Vec::new() });
        Ok(graphs
            .map(|graph| graph.entities.into_iter().filter_map(|e| entity(e.tokens, &e.label)).collect())
            .collect())
    }
}

/// The type that a label stands for, in the names of radgraph-xl ("Observation::definitely absent") or of the first
/// RadGraph ("OBS-DA"); none for what is uncertain.
fn kind(label: &str) -> Option<EntityType> {
    let label = label.to_lowercase();
    let ends = |endings: [&str; 2]| endings.iter().any(|ending| label.ends_with(ending));
    if ends(["uncertain", "-u"]) {
        None
    } else if label.starts_with("anat") {
        Some(EntityType::Anatomy)
    } else if ends(["absent", "-da"]) {
        Some(EntityType::NonAbnormality)
    } else {
        Some(EntityType::Abnormality)
    }
}

#[cfg(test)]
mod tests {
    use addendum_rewards::graph::label;

    use super::*;

    #[test]
    fn labels_of_both_generations_of_radgraph_are_read() {
        for labels in [
            [label::ANATOMY, label::PRESENT, label::ABSENT, label::UNCERTAIN],
            ["ANAT-DP", "OBS-DP", "OBS-DA", "OBS-U"],
        ] {
            let kinds = labels.map(kind);
            let expected = [EntityType::Anatomy, EntityType::Abnormality, EntityType::NonAbnormality].map(Some);
            assert_eq!(kinds[..3], expected);
            assert_eq!(kinds[3], None);
        }
    }
}
