//! Products with a weight matrix in the type it is stored in.
//!
//! Activations are f32. A bf16 or f16 weight is widened tile by tile, so that it never exists in f32 as a whole, and
//! the product is the f32 one.

use candle_core::{CpuStorage, Layout, Result, bail};
use half::{bf16, f16, slice::HalfFloatSliceExt};
use rayon::prelude::*;

use super::kernel::{Mat, Shared, by_rows, matmul, parallelism, threads, vectorised};

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
            other => {
                bail!("weights are F32, BF16 or F16, got {:?}", candle_core::backend::BackendStorage::dtype(other))
            }
        })
    }
}

/// A weight `[rows, cols]`.
#[derive(Clone, Copy)]
pub struct Weight<'a> {
    pub values: Values<'a>,
    pub rows: usize,
    pub cols: usize,
}

impl Weight<'_> {
    /// `dst (+)= scale * x @ self^T`: `x` `[tokens, cols]`, `dst` `[tokens, rows]` row-major.
    pub fn apply(&self, dst: &mut [f32], accumulate: bool, scale: f32, x: Mat) {
        if let Values::F32(data) = self.values {
            let w = Mat::new(data, self.rows, self.cols);
            return by_rows(dst, self.rows, accumulate, scale, x, w, parallelism());
        }
        let dst = Shared::new(dst);
        self.tasks(self.rows.div_ceil(TILE[0]), |i, tile| {
            let rows = i * TILE[0]..self.rows.min((i + 1) * TILE[0]);
            for first in (0..self.cols).step_by(TILE[1]) {
                let cols = first..self.cols.min(first + TILE[1]);
                let w = self.widen(tile, rows.clone(), cols.clone());
                // SAFETY: a task writes the columns `rows` of `dst` only, and tasks have disjoint `rows`.
                let dst = unsafe { dst.slice(rows.start) };
                by_rows(dst, self.rows, accumulate || first > 0, scale, x.columns(cols), w, gemm::Parallelism::None);
            }
        });
    }

    /// `dst (+)= scale * g @ self`: `g` `[tokens, rows]`, `dst` `[tokens, cols]` row-major.
    pub fn apply_transposed(&self, dst: &mut [f32], accumulate: bool, scale: f32, g: Mat) {
        if let Values::F32(data) = self.values {
            let w = Mat::new(data, self.rows, self.cols);
            return matmul(dst, self.cols, accumulate, scale, g, w, parallelism());
        }
        let dst = Shared::new(dst);
        self.tasks(self.cols.div_ceil(TILE[1]), |i, tile| {
            let cols = i * TILE[1]..self.cols.min((i + 1) * TILE[1]);
            for first in (0..self.rows).step_by(TILE[0]) {
                let rows = first..self.rows.min(first + TILE[0]);
                let w = self.widen(tile, rows.clone(), cols.clone());
                // SAFETY: a task writes the columns `cols` of `dst` only, and tasks have disjoint `cols`.
                let dst = unsafe { dst.slice(cols.start) };
                matmul(dst, self.cols, accumulate || first > 0, scale, g.columns(rows), w, gemm::Parallelism::None);
            }
        });
    }

    /// Runs `f(0..count)`, each call with a tile of its thread. What a task computes does not depend on the threads.
    fn tasks(&self, count: usize, f: impl Fn(usize, &mut Vec<f32>) + Sync) {
        if threads() > 1 {
            (0..count).into_par_iter().for_each_init(Vec::new, |tile, i| f(i, tile));
        } else {
            let mut tile = Vec::new();
            (0..count).for_each(|i| f(i, &mut tile));
        }
    }

    fn widen<'t>(&self, tile: &'t mut Vec<f32>, rows: std::ops::Range<usize>, cols: std::ops::Range<usize>) -> Mat<'t> {
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
