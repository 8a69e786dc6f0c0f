//! Linear layers and layer normalisation with loaded weights.

use candle_core::{Result, Tensor};

use super::{
    encoder::Activation,
    ops::{add_bias, add_norm},
    weights::{Weights, refuse},
};

/// `x W^T + b`.
pub(super) struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    /// Loads `{name}.weight` `[outputs, inputs]` and `{name}.bias` `[outputs]`.
    pub(super) fn load(weights: &Weights, name: &str, inputs: usize, outputs: usize) -> crate::Result<Self> {
        let weight = weights.get(&format!("{name}.weight"), &[outputs, inputs])?;
        Ok(Self { weight, bias: weights.get(&format!("{name}.bias"), &[outputs])? })
    }

    /// Loads several layers of the same input as one; each comes with its number of outputs, which stand side by side.
    pub(super) fn load_stacked(weights: &Weights, layers: &[(String, usize)], inputs: usize) -> crate::Result<Self> {
        let parts = layers.iter().map(|(name, outputs)| Self::load(weights, name, inputs, *outputs));
        let parts = parts.collect::<crate::Result<Vec<_>>>()?;
        let stack = |part: fn(&Self) -> &Tensor| Tensor::cat(&parts.iter().map(part).collect::<Vec<_>>(), 0);
        let stacked =
            stack(|part| &part.weight).and_then(|weight| Ok(Self { weight, bias: stack(|part| &part.bias)? }));
        stacked.map_err(|error| refuse(weights.file(), error))
    }

    /// `[rows, inputs]` to `[rows, outputs]`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        add_bias(x.matmul(&self.weight.t()?)?, &self.bias, None)
    }

    /// The same, and an activation.
    pub(super) fn activated(&self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        add_bias(x.matmul(&self.weight.t()?)?, &self.bias, Some(activation))
    }
}

/// A linear layer whose output is added to a residual and normalised.
pub(super) struct AddNorm {
    weight: Tensor,
    /// Bias of the layer, weight and bias of the norm.
    parameters: Tensor,
    eps: f32,
}

impl AddNorm {
    /// Loads the layer `name` and the norm `norm`.
    pub(super) fn load(
        weights: &Weights,
        name: &str,
        norm: &str,
        inputs: usize,
        outputs: usize,
        eps: f64,
    ) -> crate::Result<Self> {
        let (linear, norm) = (Linear::load(weights, name, inputs, outputs)?, Norm::load(weights, norm, outputs, eps)?);
        let parameters = Tensor::stack(&[linear.bias, norm.weight, norm.bias], 0);
        let parameters = parameters.map_err(|error| refuse(weights.file(), error))?;
        Ok(Self { weight: linear.weight, parameters, eps: norm.eps })
    }

    /// `[rows, inputs]` and the residual `[rows, outputs]` to `[rows, outputs]`.
    pub(super) fn forward(&self, x: &Tensor, residual: &Tensor) -> Result<Tensor> {
        add_norm(x.matmul(&self.weight.t()?)?, residual, &self.parameters, self.eps)
    }
}

/// Layer normalisation over the last dimension.
pub(super) struct Norm {
    weight: Tensor,
    bias: Tensor,
    eps: f32,
}

impl Norm {
    pub(super) fn load(weights: &Weights, name: &str, size: usize, eps: f64) -> crate::Result<Self> {
        let get = |part: &str| weights.get(&format!("{name}.{part}"), &[size]);
        Ok(Self { weight: get("weight")?, bias: get("bias")?, eps: eps as f32 })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        candle_nn::ops::layer_norm(&x.contiguous()?, &self.weight, &self.bias, self.eps)
    }
}
