//! Qwen2.5-VL with LoRA: model, generation, objective, optimiser and checkpoints.
//!
//! This crate knows studies, but nothing of rewards, edits or actors.

mod error;

pub use error::{Error, Result};
