//! The span scorers of a DyGIE++ model (Wadden et al. 2019): feed-forward layers on vectors of spans and pairs.

use candle_core::{Result, Tensor};

use super::super::{layers::Linear, weights::Weights};

/// Linear layers with a ReLU behind each, then a linear layer to scores.
pub(super) struct Scorer {
    layers: Vec<Linear>,
    last: Linear,
}

impl Scorer {
    /// Loads `{hidden}._linear_layers.0` and so on, and `{last}`. Sizes come from the weights; the first layer takes
    /// vectors of `inputs`, the last gives `outputs` scores.
    pub(super) fn load(
        weights: &Weights,
        hidden: &str,
        last: &str,
        inputs: usize,
        outputs: usize,
    ) -> addendum_rewards::Result<Self> {
        let mut layers = Vec::new();
        let mut width = inputs;
        loop {
            let name = format!("{hidden}._linear_layers.{}", layers.len());
            let weight = format!("{name}.weight");
            if !layers.is_empty() && !weights.contains(&weight) {
                break;
            }
            let next = weights.shape(&weight)?.first().copied().unwrap_or(0);
            layers.push(Linear::load(weights, &name, width, next)?);
            width = next;
        }
        Ok(Self { layers, last: Linear::load(weights, last, width, outputs)? })
    }

    /// `[rows, inputs]` to `[rows, outputs]`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = x.clone();
        for layer in &self.layers {
            x = layer.forward(&x)?.relu()?;
        }
        self.last.forward(&x)
    }
}
