//! The published neural metrics, from their published weights.
//!
//! CheXbert labels reports, RaTEScore's tagger and embedder extract entities, RadGraph's model extracts graphs; each
//! implements the crate's trait of that kind, so that it can stand in for the lexicon. Inference only. Sizes, labels
//! and vocabularies are read from the files, never assumed.

mod batch;
mod bert;
mod chexbert;
mod config;
mod deberta;
mod encoder;
mod layers;
mod mpnet;
#[cfg(test)]
mod oracle;
mod pickle;
mod positions;
#[cfg(test)]
mod properties;
mod radgraph;
mod rate;
#[cfg(test)]
mod testing;
mod tokens;
mod weights;

pub use chexbert::Chexbert;
pub use radgraph::Radgraph;
pub use rate::{RateExtractor, RateModels};

use crate::Error;

/// Turns a tensor error of a component into the crate's.
fn fail(component: &'static str) -> impl Fn(candle_core::Error) -> Error {
    move |error| Error::Component { component, reason: error.to_string() }
}
