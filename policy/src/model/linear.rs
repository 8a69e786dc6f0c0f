//! A linear layer of the network.

use addendum_kernels::linear;
use candle_core::Tensor;

use crate::{Result, weights::Weights};

/// A linear layer's weight `[out, in]` and bias `[out]`.
#[derive(Clone, Debug)]
pub struct Linear {
    pub weight: Tensor,
    pub bias: Option<Tensor>,
}

impl Linear {
    pub fn new(weights: &Weights, name: &str, inputs: usize, outputs: usize, bias: bool) -> Result<Self> {
        Ok(Self {
            weight: weights.get(&format!("{name}.weight"), &[outputs, inputs])?,
            bias: if bias { Some(weights.get(&format!("{name}.bias"), &[outputs])?) } else { None },
        })
    }

    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(linear(x, &self.weight, self.bias.as_ref())?)
    }
}
