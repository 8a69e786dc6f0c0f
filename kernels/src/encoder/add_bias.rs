//! The bias of a linear layer and the activation after it.

use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Tensor};
use rayon::prelude::*;

use crate::{
    storage::{floats, floats_mut},
    threads::ROWS,
    vector::{exp, vectorised},
};

/// What follows the bias of a linear layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// x Φ(x), exactly.
    Gelu,
    /// Its approximation by tanh.
    GeluNew,
    /// max(x, 0).
    Relu,
}

/// `activation(x + bias)` of rows `x`, whose memory is reused; `None` only adds.
pub fn add_bias(x: Tensor, bias: &Tensor, activation: Option<Activation>) -> Result<Tensor> {
    if x.device().is_cpu() {
        x.inplace_op2(bias, &AddBias(activation))?;
        return Ok(x);
    }
    let x = x.broadcast_add(bias)?;
    match activation {
        None => Ok(x),
        Some(Activation::Gelu) => x.gelu_erf(),
        Some(Activation::GeluNew) => x.gelu(),
        Some(Activation::Relu) => x.relu(),
    }
}

struct AddBias(Option<Activation>);

impl InplaceOp2 for AddBias {
    fn name(&self) -> &'static str {
        "add-bias"
    }

    fn cpu_fwd(&self, x: &mut CpuStorage, layout: &Layout, bias: &CpuStorage, bias_layout: &Layout) -> Result<()> {
        let bias = floats(bias, bias_layout)?;
        let each = |f: &(dyn Fn(&mut [f32]) + Sync), x: &mut [f32]| {
            x.par_chunks_mut(ROWS * bias.len()).for_each(f);
        };
        let x = floats_mut(x, layout)?;
        match self.0 {
            None => each(&|rows| vectorised(|| map(rows, bias, |x| x)), x),
            Some(Activation::Gelu) => each(&|rows| vectorised(|| map(rows, bias, gelu)), x),
            Some(Activation::GeluNew) => each(&|rows| vectorised(|| map(rows, bias, gelu_new)), x),
            Some(Activation::Relu) => each(&|rows| vectorised(|| map(rows, bias, |x| x.max(0.))), x),
        }
        Ok(())
    }
}

#[inline(always)]
fn map(rows: &mut [f32], bias: &[f32], f: impl Fn(f32) -> f32) {
    for row in rows.chunks_exact_mut(bias.len()) {
        for (x, b) in row.iter_mut().zip(bias) {
            *x = f(*x + b);
        }
    }
}

/// x Φ(x), with erf from Abramowitz and Stegun, formula 7.1.26 (absolute error below 1.5e-7).
#[inline(always)]
fn gelu(x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1. / (1. + 0.327_591_1 * z);
    let p = 1.061_405_4 * t - 1.453_152;
    let p = p * t + 1.421_413_7;
    let p = p * t - 0.284_496_74;
    let p = p * t + 0.254_829_6;
    let erf = 1. - p * t * exp(-z * z);
    0.5 * x * (1. + if x < 0. { -erf } else { erf })
}

/// The approximation of [`gelu`] by tanh (Hendrycks and Gimpel 2016).
#[inline(always)]
fn gelu_new(x: f32) -> f32 {
    let inner = 0.797_884_6 * (x + 0.044_715 * x * x * x);
    // x σ(2 inner) is x/2 (1 + tanh inner).
    x / (1. + exp(-2. * inner))
}
