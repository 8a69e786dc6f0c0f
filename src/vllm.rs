//! vLLM servers as samplers: each ticket's reports are asked for over HTTP, from adapters that are published as PEFT
//! folders. Editor, rewards and learner stay where they are.
//!
//! A server's arithmetic is not ours, so a run with one is not reproducible bit for bit from its seed (law 3); all other
//! laws hold. What a server answers is not trusted: its prompt must have our tokens, every token a finite
//! log-probability, and each adapter that it loads must move the log-probabilities of a fixed text as it moves ours.
//! What a server fails at is asked again of another one, or of itself once it is back: no ticket is lost by it.

mod adapters;
mod config;
mod error;
mod fleet;
mod member;
mod probe;
mod question;
mod reach;
mod server;
mod telemetry;
mod wire;

pub use config::VllmConfig;
pub use error::VllmError;
pub use fleet::{Fleet, VllmSampler};
pub use reach::unreachable;
pub use telemetry::METRICS;
