//! Addendum post-trains a vision-language model to write clinically accurate chest X-ray reports by asynchronous
//! reinforcement learning (EditGRPO, arXiv 2509.22812).
//!
//! This crate is the facade: it joins the actors with the Qwen2.5-VL policy, the phantom studies and the run report.

#![forbid(unsafe_code)]

mod exposition;
pub mod host;
pub mod options;
#[cfg(feature = "otlp")]
pub mod otlp;
pub mod qwen;
pub mod report;
pub mod serve;
pub mod study;
pub mod telemetry;
pub mod threads;
pub mod train;
mod values;
pub mod vllm;
pub mod watch;

pub use addendum_actors as actors;
pub use addendum_editor as editor;
pub use addendum_policy as policy;
pub use addendum_replay as replay;
pub use addendum_rewards as rewards;
pub use addendum_rewards_neural as neural;
pub use addendum_rewards_remote as remote;
pub use addendum_studies as studies;

/// The README's code, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
