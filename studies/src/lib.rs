//! Chest X-ray studies: views and their images, reports and their sections, prompts, datasets and the phantom
//! generator.
//!
//! This crate knows nothing of models or rewards.

#![forbid(unsafe_code)]

pub mod dataset;
pub mod decode;
pub mod error;
pub mod folder;
pub mod json;
pub mod layouts;
mod limits;
pub mod phantom;
mod pixels;
pub mod prompt;
pub mod sections;
pub mod study;
pub mod warning;

pub use dataset::{Dataset, Split};
pub use decode::DecodeError;
pub use error::{BadRow, BadRows, Error, Place, Problem, Result};
pub use folder::Folder;
pub use phantom::{Phantom, PhantomConfig, Site, World};
pub use pixels::Pixels;
pub use prompt::{Part, Prompt};
pub use study::{ImageSource, Projection, Reference, Study, Timing, View};
pub use warning::Warning;
