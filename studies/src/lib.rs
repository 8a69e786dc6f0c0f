//! Chest X-ray studies: views, prompts, datasets and the phantom generator.
//!
//! This crate knows nothing of models or rewards.

pub mod study;

pub use study::{ImageSource, Projection, Reference, Study, Timing, View};
