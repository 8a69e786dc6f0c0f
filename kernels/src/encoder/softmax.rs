//! The softmax of attention scores.

use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Tensor};
use rayon::prelude::*;

use super::composed;
use crate::{
    storage::floats_mut,
    threads::ROWS,
    vector::{self, vectorised},
};

/// Softmax over the last dimension; the memory of `x` is reused.
pub fn softmax(x: Tensor) -> Result<Tensor> {
    if x.device().is_cpu() {
        x.inplace_op1(&Softmax)?;
        return Ok(x);
    }
    composed::softmax(&x)
}

struct Softmax;

impl InplaceOp1 for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn cpu_fwd(&self, x: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let width = layout.dims().last().copied().unwrap_or(1);
        floats_mut(x, layout)?.par_chunks_mut(ROWS * width).for_each(|rows| {
            vectorised(|| {
                for row in rows.chunks_exact_mut(width) {
                    vector::softmax(row, 1.);
                }
            });
        });
        Ok(())
    }
}
