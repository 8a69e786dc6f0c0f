//! Rewards and entities from other processes over HTTP, and what makes failures of any back end bearable.
//!
//! [`RewardService`] and [`ExtractorService`] speak to the two services of the EditGRPO code (`POST /predict`,
//! `POST /analyze`; `addendum serve-rewards` answers in the same shapes). [`Green`] asks a language model for the GREEN
//! metric. Each of them may be on several servers ([`servers`]). [`Patience`] retries. Everything here blocks; call it from
//! compute threads. A failure, an answer that is late or not as expected is an error, never a score.

#![forbid(unsafe_code)]

mod analyze;
mod backoff;
mod config;
mod endpoint;
mod error;
pub mod green;
mod node;
mod parallel;
mod patience;
mod pool;
mod predict;
mod probe;
mod secret;
pub mod servers;
mod service;
mod telemetry;
#[cfg(test)]
mod testing;
mod tries;
pub mod wire;

pub use analyze::ExtractorService;
pub use backoff::Backoff;
pub use config::ServiceConfig;
pub use endpoint::agent;
pub use error::Error;
pub use green::Green;
pub use node::{Malformed, Node};
pub use patience::Patience;
pub use predict::RewardService;
pub use secret::Secret;
