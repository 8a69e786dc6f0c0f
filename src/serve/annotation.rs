//! What is known of one report.

use addendum_rewards::{Entity, Graph, metrics::chexbert};

/// What the scores need to know of one report.
pub(super) struct Annotation {
    pub row: chexbert::Row,
    pub graph: Graph,
    pub entities: Vec<Entity>,
}
