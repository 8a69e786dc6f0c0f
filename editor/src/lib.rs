//! The post-rollout editor of EditGRPO (Zhang et al., arXiv 2509.22812, section 2): one sentence-level correction of a
//! sampled report, taken from the reference report, with a log of what was done and why.
//!
//! This crate knows nothing of the policy or of actors and can be used alone ("edit this report").

#![forbid(unsafe_code)]

mod align;
mod annotated;
mod config;
mod editor;
mod error;
mod graph_entities;
mod log;
pub mod reference_code;
pub mod rule;
pub mod splice;

pub use addendum_rewards::sentences;
pub use config::{EditConfig, Extractor, Granularity, Reading};
pub use editor::{Edited, Editor};
pub use error::{Error, Result};
pub use graph_entities::GraphEntities;
pub use log::{Edit, Operation, Rule};
