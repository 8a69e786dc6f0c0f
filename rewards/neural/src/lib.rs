//! The published neural metrics, from their published weights.
//!
//! CheXbert labels reports, RaTEScore's tagger and embedder extract entities, RadGraph's model extracts graphs; each
//! implements the trait of that kind of `addendum-rewards`, so that it can stand in for the lexicon. With the feature
//! `green`, `Green` grades reports. Inference only. Sizes, labels and vocabularies are read from the files, never assumed.

#![forbid(unsafe_code)]

mod batch;
mod bert;
mod chexbert;
mod config;
mod deberta;
mod encoder;
mod error;
#[cfg(any(feature = "green", test))]
mod green;
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
mod view;
mod weights;

pub use chexbert::Chexbert;
#[cfg(any(feature = "green", test))]
pub use green::Green;
pub use radgraph::Radgraph;
pub use rate::{RateExtractor, RateModels};
pub use weights::shapes;
