//! Clinical entities of a report, as RaTEScore types them, and the trait of what extracts them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Result, sentences};

/// RaTEScore's five entity types (Zhao et al. 2024, section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING-KEBAB-CASE")]
pub enum EntityType {
    /// A place or structure; asserts nothing by itself.
    Anatomy,
    /// Something seen that should not be there, such as an opacity.
    Abnormality,
    /// A diagnosis, such as pneumonia.
    Disease,
    /// Something abnormal that is said not to be there.
    NonAbnormality,
    /// A disease that is said not to be there.
    NonDisease,
}

/// Whether an entity asserts a finding, denies it, or asserts nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// It is said to be there.
    Present,
    /// It is said not to be there.
    Absent,
    /// Nothing is said of its being there.
    Neutral,
}

impl EntityType {
    /// DISEASE and ABNORMALITY are present, NON-DISEASE and NON-ABNORMALITY absent, ANATOMY neutral (EditGRPO, section 2).
    pub fn presence(self) -> Presence {
        match self {
            Self::Abnormality | Self::Disease => Presence::Present,
            Self::NonAbnormality | Self::NonDisease => Presence::Absent,
            Self::Anatomy => Presence::Neutral,
        }
    }
}

/// One entity of one sentence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entity {
    /// The words as they stand in the sentence.
    pub text: String,
    /// Type and presence in one.
    pub kind: EntityType,
    /// Not necessarily of unit length; similarity is the cosine, 0 for a zero vector.
    pub embedding: Vec<f32>,
}

/// Extracts the entities of sentences. Implementations must be deterministic.
pub trait EntityExtractor: Send + Sync {
    /// Returns one list per sentence, in order. The result for a sentence does not depend on its neighbours in the slice.
    fn extract(&self, sentences: &[&str]) -> Result<Vec<Vec<Entity>>>;

    /// Cuts a report into the sentences that this extractor expects.
    fn split<'a>(&self, report: &'a str) -> Vec<&'a str> {
        sentences::split(report)
    }
}

/// Cosine similarity; 0 when either vector is zero.
pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let (mut dot, mut aa, mut bb) = (0f64, 0f64, 0f64);
    for (&x, &y) in a.iter().zip(b) {
        let (x, y) = (f64::from(x), f64::from(y));
        dot += x * y;
        aa += x * x;
        bb += y * y;
    }
    if aa == 0. || bb == 0. { 0. } else { dot / (aa.sqrt() * bb.sqrt()) }
}
