//! Sentences whose entities are known.

use addendum_rewards::Entity;

/// A sentence and its entities.
#[derive(Clone, Debug, PartialEq)]
pub struct Annotated {
    pub text: String,
    pub entities: Vec<Entity>,
}
