//! Qwen2.5-VL with LoRA: model, generation, objective, optimiser and checkpoints.
//!
//! This crate knows studies, but nothing of rewards, edits or actors.

#![forbid(unsafe_code)]

pub mod algorithm;
pub mod checkpoint;
pub mod config;
pub mod device;
mod error;
mod files;
pub mod generate;
pub mod image;
pub mod learner;
pub mod lora;
pub mod memory;
pub mod merge;
pub mod model;
pub mod module;
pub mod objective;
pub mod optim;
pub mod pack;
mod policy;
pub mod positions;
mod processor;
pub mod sampling;
pub mod schedule;
pub mod sft;
pub mod tokenizer;
pub mod weights;

pub use config::Config;
pub use error::{Error, Result};
pub use learner::{Learner, LearnerConfig};
pub use lora::{Adapter, LoraConfig};
pub use policy::Policy;
pub use processor::Processor;
pub use sampling::SamplingConfig;
