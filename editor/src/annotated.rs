//! Sentences whose entities are known.

use addendum_rewards::Entity;

/// A sentence and its entities.
#[derive(Clone, Debug, PartialEq)]
pub struct Annotated {
    /// The sentence as it stands in its report.
    pub text: String,
    /// In the order of the sentence; empty where it says nothing clinical.
    pub entities: Vec<Entity>,
}
