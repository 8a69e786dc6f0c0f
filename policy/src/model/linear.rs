//! A linear layer of the network.

use std::collections::BTreeMap;

use addendum_kernels::linear;
use candle_core::Tensor;

use crate::{Result, weights::Weights};

/// A linear layer's weight `[in, out]`, as products read it, and bias `[out]`.
#[derive(Clone, Debug)]
pub struct Linear {
    pub weight: Tensor,
    pub bias: Option<Tensor>,
}

impl Linear {
    pub fn new(weights: &mut Weights, name: &str, inputs: usize, outputs: usize, bias: bool) -> Result<Self> {
        Ok(Self {
            weight: transposed(&weights.take(&format!("{name}.weight"), &[outputs, inputs])?)?,
            bias: if bias { Some(weights.take(&format!("{name}.bias"), &[outputs])?) } else { None },
        })
    }

    /// Adds weight and bias by published name, as views.
    pub fn publish(&self, name: &str, weights: &mut BTreeMap<String, Tensor>) -> Result<()> {
        weights.insert(format!("{name}.weight"), self.weight.t()?);
        if let Some(bias) = &self.bias {
            weights.insert(format!("{name}.bias"), bias.clone());
        }
        Ok(())
    }

    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(linear(x, &self.weight, self.bias.as_ref())?)
    }
}

/// The other order of a matrix, in memory too.
pub fn transposed(matrix: &Tensor) -> Result<Tensor> {
    Ok(matrix.t()?.contiguous()?)
}
