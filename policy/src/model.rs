//! Qwen2.5-VL (Bai et al. 2025): vision tower, language model, and the weights they are made of.

pub mod language;
mod linear;
pub mod vision;

pub use language::{KvCache, Language, Rows};
pub use vision::Vision;

pub use crate::weights::Weights;
use crate::{Config, Result};

/// The network. Its tensors are frozen unless the weights it was built from were variables.
#[derive(Clone, Debug)]
pub struct Model {
    pub vision: Vision,
    pub language: Language,
}

impl Model {
    pub fn new(config: &Config, weights: &Weights) -> Result<Self> {
        Ok(Self { vision: Vision::new(&config.vision, weights)?, language: Language::new(config, weights)? })
    }
}
