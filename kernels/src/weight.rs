//! Products with a weight matrix in the type it is stored in.
//!
//! Activations are f32. A bf16 or f16 weight is widened tile by tile, so that it never exists in f32 as a whole, and
//! the product is the f32 one.

use std::ops::Range;

use candle_core::{CpuStorage, DType, Layout, Result, Tensor, backend::BackendStorage, bail};
use gemm::Parallelism;
use half::{bf16, f16, slice::HalfFloatSliceExt};
use rayon::prelude::*;

use crate::{
    product::{matmul, product},
    storage::Read,
    threads::{parallelism, threads},
    vector::vectorised,
    views::{Mat, MatMut},
};

/// Rows and columns of a widened tile: 512 KiB, which fits a core's own cache.
const TILE: [usize; 2] = [256, 512];

/// Row-major values of a weight.
#[derive(Clone, Copy)]
pub enum Values<'a> {
    F32(&'a [f32]),
    Bf16(&'a [bf16]),
    F16(&'a [f16]),
}

impl<'a> Values<'a> {
    pub fn new(storage: &'a CpuStorage, layout: &Layout) -> Result<Self> {
        let Some((start, end)) = layout.contiguous_offsets() else {
            bail!("fused kernels need contiguous tensors, got {layout:?}")
        };
        Ok(match storage {
            CpuStorage::F32(data) => Self::F32(&data[start..end]),
            CpuStorage::BF16(data) => Self::Bf16(&data[start..end]),
            CpuStorage::F16(data) => Self::F16(&data[start..end]),
            other => bail!("weights are F32, BF16 or F16, got {:?}", other.dtype()),
        })
    }
}

/// A weight `[inputs, outputs]`: rows are inputs, because products of few rows read it in this order.
#[derive(Clone, Copy)]
pub struct Weight<'a> {
    pub values: Values<'a>,
    pub rows: usize,
    pub cols: usize,
}

impl<'a> Weight<'a> {
    /// A matrix in the type it is stored in.
    pub fn new(storage: &'a CpuStorage, layout: &Layout) -> Result<Self> {
        let (rows, cols) = layout.shape().dims2()?;
        Ok(Self { values: Values::new(storage, layout)?, rows, cols })
    }

    pub fn read(tensor: &'a Read) -> Result<Self> {
        let (storage, layout) = tensor.storage()?;
        Self::new(storage, layout)
    }

    /// `dst (+)= x @ self`: `x` `[tokens, inputs]`, `dst` `[tokens, outputs]`.
    pub fn apply(&self, dst: MatMut, accumulate: bool, x: Mat) {
        if let Values::F32(data) = self.values {
            return product(dst, accumulate, x, Mat::new(data, self.rows, self.cols), parallelism());
        }
        in_chunks(dst, TILE[1], |cols, mut dst, tile| {
            for first in (0..self.rows).step_by(TILE[0]) {
                let rows = first..self.rows.min(first + TILE[0]);
                let w = self.widen(tile, rows.clone(), cols.clone());
                product(dst.reborrow(), accumulate || first > 0, x.columns(rows), w, Parallelism::None);
            }
        });
    }

    /// `dst (+)= g @ self^T`: `g` `[tokens, outputs]`, `dst` `[tokens, inputs]`.
    pub fn apply_transposed(&self, dst: MatMut, accumulate: bool, g: Mat) {
        if let Values::F32(data) = self.values {
            return matmul(dst, accumulate, 1.0, g, Mat::new(data, self.rows, self.cols).t(), parallelism());
        }
        in_chunks(dst, TILE[0], |rows, mut dst, tile| {
            for first in (0..self.cols).step_by(TILE[1]) {
                let cols = first..self.cols.min(first + TILE[1]);
                let w = self.widen(tile, rows.clone(), cols.clone());
                matmul(dst.reborrow(), accumulate || first > 0, 1.0, g.columns(cols), w.t(), Parallelism::None);
            }
        });
    }

    fn widen<'t>(&self, tile: &'t mut Vec<f32>, rows: Range<usize>, cols: Range<usize>) -> Mat<'t> {
        let (height, width) = (rows.len(), cols.len());
        tile.resize(height * width, 0.0);
        for (row, out) in rows.zip(tile.chunks_exact_mut(width)) {
            let at = row * self.cols + cols.start;
            match self.values {
                Values::F32(data) => out.copy_from_slice(&data[at..at + width]),
                Values::Bf16(data) => vectorised(|| {
                    for (out, value) in out.iter_mut().zip(&data[at..at + width]) {
                        *out = f32::from_bits(u32::from(value.to_bits()) << 16);
                    }
                }),
                Values::F16(data) => data[at..at + width].convert_to_f32_slice(out),
            }
        }
        Mat::new(tile, height, width)
    }
}

/// Runs `f` for every `width` columns of `dst`, with a tile of its thread. What a call computes does not depend on the
/// threads.
fn in_chunks(dst: MatMut, width: usize, f: impl Fn(Range<usize>, MatMut, &mut Vec<f32>) + Sync) {
    let chunks = dst.column_chunks(width).enumerate().map(|(i, dst)| (i * width..i * width + dst.cols(), dst));
    if threads() > 1 {
        let chunks: Vec<_> = chunks.collect();
        chunks.into_par_iter().for_each_init(Vec::new, |tile, (columns, dst)| f(columns, dst, tile));
    } else {
        let mut tile = Vec::new();
        chunks.for_each(|(columns, dst)| f(columns, dst, &mut tile));
    }
}

/// Whether the fused CPU kernels apply to this weight matrix, which may be stored in half the bits.
pub fn fusable_weight(weight: &Tensor) -> bool {
    let dtype = matches!(weight.dtype(), DType::F32 | DType::BF16 | DType::F16);
    weight.device().is_cpu() && dtype && weight.is_contiguous()
}
