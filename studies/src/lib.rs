//! Chest X-ray studies: views and their images, prompts, datasets and the phantom generator.
//!
//! This crate knows nothing of models or rewards.

pub mod dataset;
pub mod decode;
pub mod error;
pub mod folder;
pub mod json;
pub mod phantom;
mod pixels;
pub mod prompt;
pub mod study;

pub use dataset::{Dataset, Split};
pub use decode::DecodeError;
pub use error::{Error, Result};
pub use folder::Folder;
pub use phantom::{Phantom, PhantomConfig, Site};
pub use pixels::Pixels;
pub use prompt::{Part, Prompt};
pub use study::{ImageSource, Projection, Reference, Study, Timing, View};
