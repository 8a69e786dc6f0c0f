//! Qwen2.5-VL (Bai et al. 2025): vision tower, language model, and the weights they are made of.

pub mod language;
pub mod vision;
pub mod weights;

pub use language::{KvCache, Language, Rows};
pub use vision::Vision;
pub use weights::Weights;

use candle_core::Tensor;

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

/// A linear layer's weight `[out, in]` and bias `[out]`.
#[derive(Clone, Debug)]
struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    fn new(weights: &Weights, name: &str, inputs: usize, outputs: usize, bias: bool) -> Result<Self> {
        Ok(Self {
            weight: weights.get(&format!("{name}.weight"), &[outputs, inputs])?,
            bias: if bias { Some(weights.get(&format!("{name}.bias"), &[outputs])?) } else { None },
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(addendum_kernels::linear(x, &self.weight, self.bias.as_ref())?)
    }
}
