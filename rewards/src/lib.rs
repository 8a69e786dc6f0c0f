//! Clinical report metrics and the entity extraction under them.
//!
//! This crate knows nothing of the policy or of actors and can be used alone ("score these reports"). It needs neither
//! tensors nor a network: the published neural models are in `addendum-rewards-neural`, services over HTTP in
//! `addendum-rewards-remote`; both implement its traits.

#![forbid(unsafe_code)]

pub mod assess;
pub mod cache;
pub mod entity;
mod error;
pub mod evaluate;
pub mod graph;
pub mod green;
pub mod labels;
pub mod lexicon;
pub mod metrics;
pub mod score;
pub mod sentences;
pub mod telemetry;
pub mod text;

pub use cache::CacheCounts;
pub use entity::{Entity, EntityExtractor, EntityType, Presence, cosine};
pub use error::{Error, Result};
pub use evaluate::{ClinicalScores, evaluate};
pub use graph::{Graph, GraphEntity, GraphExtractor, Relation};
pub use labels::{Label, Labeller, Labels, Observation};
pub use lexicon::Lexicon;
pub use score::{
    Backend, Backends, Case, Component, Components, Registered, Report, Reward, RewardConfig, RewardSource, Score,
    ScoreError, Scorer,
};

/// The README's code, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
