//! A residual connection and the layer normalisation after it.

use candle_core::{CpuStorage, InplaceOp3, Layout, Result, Tensor};
use rayon::prelude::*;

use super::composed::layer_norm;
use crate::{
    storage::{floats, floats_mut},
    threads::ROWS,
    vector::{sum, sum_of, vectorised},
};

/// Layer normalisation of `x + residual + bias`. `parameters` `[3, width]` are the bias, then weight and bias of the
/// norm. The memory of `x` is reused.
pub fn add_norm(x: Tensor, residual: &Tensor, parameters: &Tensor, eps: f32) -> Result<Tensor> {
    if x.device().is_cpu() {
        x.inplace_op3(residual, parameters, &AddNorm(eps))?;
        return Ok(x);
    }
    let [bias, weight, shift] = [parameters.get(0)?, parameters.get(1)?, parameters.get(2)?];
    layer_norm(&(x + residual)?.broadcast_add(&bias)?, &weight, &shift, eps)
}

struct AddNorm(f32);

impl InplaceOp3 for AddNorm {
    fn name(&self) -> &'static str {
        "add-norm"
    }

    fn cpu_fwd(
        &self,
        x: &mut CpuStorage,
        layout: &Layout,
        residual: &CpuStorage,
        residual_layout: &Layout,
        parameters: &CpuStorage,
        parameters_layout: &Layout,
    ) -> Result<()> {
        let (residual, parameters) = (floats(residual, residual_layout)?, floats(parameters, parameters_layout)?);
        let width = parameters.len() / 3;
        let (bias, norm) = parameters.split_at(width);
        let (weight, shift) = norm.split_at(width);
        let x = floats_mut(x, layout)?;
        if residual.len() != x.len() {
            candle_core::bail!("add-norm: {} values and a residual of {}", x.len(), residual.len());
        }
        x.par_chunks_mut(ROWS * width).zip(residual.par_chunks(ROWS * width)).for_each(|(rows, residual)| {
            vectorised(|| {
                for (row, residual) in rows.chunks_exact_mut(width).zip(residual.chunks_exact(width)) {
                    for ((x, r), b) in row.iter_mut().zip(residual).zip(bias) {
                        *x += r + b;
                    }
                    let mean = sum(row) / width as f32;
                    let variance = sum_of(row, |x| (x - mean) * (x - mean)) / width as f32;
                    let scale = 1. / (variance + self.0).sqrt();
                    for ((x, w), s) in row.iter_mut().zip(weight).zip(shift) {
                        *x = (*x - mean) * scale * w + s;
                    }
                }
            });
        });
        Ok(())
    }
}
