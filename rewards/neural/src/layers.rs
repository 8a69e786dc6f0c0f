//! Linear layers and layer normalisation with loaded weights.

use addendum_kernels::encoder::{Activation, add_bias, add_norm, layer_norm};
use candle_core::{Result, Tensor};

use super::weights::{Weights, refuse};

/// The weights of a linear layer, as `[inputs, outputs]` so that products need not reorder them.
///
/// A row's product has the same bits whatever rows stand beside it: candle's matrix product (the `gemm` crate) adds up in
/// another order for one row, and for few rows and outputs of many inputs; neither occurs here.
struct Matrix {
    weight: Tensor,
    outputs: usize,
}

impl Matrix {
    /// From a weight `[outputs, inputs]`.
    fn new(weight: &Tensor) -> Result<Self> {
        /// A product with more outputs adds up in one order for any number of rows.
        const FEW: usize = 64;
        let outputs = weight.dim(0)?;
        let weight = weight.pad_with_zeros(0, 0, (FEW + 1).saturating_sub(outputs))?;
        Ok(Self { weight: weight.t()?.contiguous()?, outputs })
    }

    /// `[rows, inputs]` to `[rows, outputs]`.
    fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let rows = x.dim(0)?;
        let product = if rows == 1 { Tensor::cat(&[x, x], 0)? } else { x.clone() }.matmul(&self.weight)?;
        product.narrow(0, 0, rows)?.narrow(1, 0, self.outputs)?.contiguous()
    }
}

/// `x W^T + b`.
pub(super) struct Linear {
    matrix: Matrix,
    bias: Tensor,
}

impl Linear {
    /// Loads `{name}.weight` `[outputs, inputs]` and `{name}.bias` `[outputs]`.
    pub(super) fn load(weights: &Weights, name: &str, inputs: usize, outputs: usize) -> addendum_rewards::Result<Self> {
        Self::load_stacked(weights, &[(name.to_owned(), outputs)], inputs)
    }

    /// Loads several layers of the same input as one; each comes with its number of outputs, which stand side by side.
    pub(super) fn load_stacked(
        weights: &Weights,
        layers: &[(String, usize)],
        inputs: usize,
    ) -> addendum_rewards::Result<Self> {
        let all = |part: &str, shape: &[usize]| {
            let get = |(name, outputs): &(String, usize)| {
                weights.get(&format!("{name}.{part}"), &[&[*outputs], shape].concat())
            };
            let tensors = layers.iter().map(get).collect::<addendum_rewards::Result<Vec<_>>>()?;
            Tensor::cat(&tensors, 0).map_err(|error| refuse(weights.file(), error))
        };
        let matrix = Matrix::new(&all("weight", &[inputs])?).map_err(|error| refuse(weights.file(), error))?;
        Ok(Self { matrix, bias: all("bias", &[])? })
    }

    /// `[rows, inputs]` to `[rows, outputs]`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        add_bias(self.matrix.apply(x)?, &self.bias, None)
    }

    /// The same, and an activation.
    pub(super) fn activated(&self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        add_bias(self.matrix.apply(x)?, &self.bias, Some(activation))
    }
}

/// A linear layer whose output is added to a residual and normalised.
pub(super) struct AddNorm {
    matrix: Matrix,
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
    ) -> addendum_rewards::Result<Self> {
        let (linear, norm) = (Linear::load(weights, name, inputs, outputs)?, Norm::load(weights, norm, outputs, eps)?);
        let parameters = Tensor::stack(&[linear.bias, norm.weight, norm.bias], 0);
        let parameters = parameters.map_err(|error| refuse(weights.file(), error))?;
        Ok(Self { matrix: linear.matrix, parameters, eps: norm.eps })
    }

    /// `[rows, inputs]` and the residual `[rows, outputs]` to `[rows, outputs]`.
    pub(super) fn forward(&self, x: &Tensor, residual: &Tensor) -> Result<Tensor> {
        add_norm(self.matrix.apply(x)?, residual, &self.parameters, self.eps)
    }
}

/// Layer normalisation over the last dimension.
pub(super) struct Norm {
    weight: Tensor,
    bias: Tensor,
    eps: f32,
}

impl Norm {
    pub(super) fn load(weights: &Weights, name: &str, size: usize, eps: f64) -> addendum_rewards::Result<Self> {
        let get = |part: &str| weights.get(&format!("{name}.{part}"), &[size]);
        Ok(Self { weight: get("weight")?, bias: get("bias")?, eps: eps as f32 })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        layer_norm(x, &self.weight, &self.bias, self.eps)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn random(rows: usize, columns: usize, rng: &mut ChaCha8Rng) -> Tensor {
        let values: Vec<f32> = (0..rows * columns).map(|_| rng.random_range(-1.0..1.0)).collect();
        Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap()
    }

    fn rows(x: &Tensor) -> Vec<Vec<u32>> {
        let bits = |row: Vec<f32>| row.into_iter().map(f32::to_bits).collect();
        x.to_vec2().unwrap().into_iter().map(bits).collect()
    }

    #[test]
    fn the_bits_of_a_row_do_not_depend_on_its_neighbours() {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        for (inputs, outputs) in [(5, 1), (16, 16), (32, 96), (700, 11), (768, 54), (768, 768), (1500, 64), (3072, 80)]
        {
            let matrix = Matrix::new(&random(outputs, inputs, &mut rng)).unwrap();
            let x = random(150, inputs, &mut rng);
            let all = rows(&matrix.apply(&x).unwrap());
            for (from, count) in [(0, 1), (149, 1), (3, 2), (20, 7), (70, 64), (40, 65), (1, 149)] {
                let some = rows(&matrix.apply(&x.narrow(0, from, count).unwrap()).unwrap());
                assert_eq!(some, all[from..from + count], "{inputs} to {outputs}, {count} rows");
            }
        }
    }
}
