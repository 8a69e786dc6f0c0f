//! Qwen2.5-VL (Bai et al. 2025): vision tower, language model, and the weights they are made of.

pub mod language;
mod linear;
pub mod vision;

use std::path::Path;

use addendum_kernels::release_unused;
pub use language::{KvCache, Language, Rows};
pub use vision::Vision;

pub use crate::weights::Weights;
use crate::{Config, Result};

/// The network. Its tensors are frozen unless the weights it was built from were variables.
#[derive(Clone, Debug)]
pub struct Model {
    /// Images to features.
    pub vision: Vision,
    /// Features and tokens to logits.
    pub language: Language,
}

impl Model {
    /// A model with these weights, which it holds in the layout of the products that read them.
    pub fn new(config: &Config, weights: &Weights) -> Result<Self> {
        Self::taking(config, weights.clone())
    }

    /// The same, without ever holding two copies of all weights.
    pub fn taking(config: &Config, mut weights: Weights) -> Result<Self> {
        let vision = Vision::new(&config.vision, &mut weights)?;
        let language = Language::new(config, &mut weights)?;
        drop(weights);
        release_unused(language.device())?;
        Ok(Self { vision, language })
    }

    /// The weights by published name, as views.
    pub fn weights(&self) -> Result<Weights> {
        let mut weights = self.vision.weights()?;
        weights.extend(self.language.weights()?);
        Ok(Weights::new(weights, Path::new("the model")))
    }
}
