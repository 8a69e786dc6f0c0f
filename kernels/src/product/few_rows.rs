//! Products of a few rows with a matrix that is read as it lies: decoding, and layers that work by blocks of tokens.
//!
//! A general product copies its operands into an order that suits it, and chooses its blocks, and so its roundings, by
//! all of its sizes. Here an element is one chain of fused multiply-adds in the order of the inner dimension: it rounds
//! the same way however many rows, columns and threads there are.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::views::{Mat, MatMut};

/// From this many rows on a general product is faster.
pub const FEW: usize = 128;

/// Below this many multiplications threads cost more than they give.
const WORTH_THREADS: usize = 1 << 18;

/// Rows of `b` that stay in a core's own cache while all rows of `a` go over them.
const DEPTH: usize = 512;

/// Rows of `b` that are asked for ahead of need: they lie too far apart for the processor to foresee them.
const AHEAD: usize = 16;

/// Rows of a tile, whose sums stay in registers.
const ROWS: usize = 6;

/// `dst = keep * dst + a @ b`, where `keep` is 0 or 1. Rows of all operands are contiguous.
pub fn few_rows(dst: MatMut, accumulate: bool, a: Mat, b: Mat, threads: usize) {
    let (rows, columns) = (dst.rows(), dst.cols());
    assert!(a.rows == rows && b.cols == columns && a.cols == b.rows && a.col_stride == 1 && b.col_stride == 1);
    let pieces = if rows * columns * a.cols < WORTH_THREADS { 1 } else { threads.max(1) };
    // Whole tiles, of whatever width.
    let width = columns.div_ceil(pieces).next_multiple_of(64);
    let piece = |(i, dst)| Arch::new().dispatch(Piece { a, b, accumulate, first: i * width, dst });
    let chunks = dst.column_chunks(width).enumerate();
    if columns <= width {
        chunks.for_each(piece);
    } else {
        chunks.collect::<Vec<_>>().into_par_iter().for_each(piece);
    }
}

/// Some columns of a product.
struct Piece<'a> {
    a: Mat<'a>,
    b: Mat<'a>,
    accumulate: bool,
    /// The column of the product where `dst` begins.
    first: usize,
    dst: MatMut<'a>,
}

impl WithSimd for Piece<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // As many vectors side by side as leave registers for the operands.
        if S::F32_LANES >= 16 {
            self.product::<S, 4>(simd);
        } else {
            self.product::<S, 2>(simd);
        }
    }
}

impl Piece<'_> {
    #[inline(always)]
    fn product<S: Simd, const VECTORS: usize>(mut self, simd: S) {
        let (columns, wide) = (self.dst.cols(), VECTORS * S::F32_LANES);
        if self.a.cols == 0 && !self.accumulate {
            (0..self.dst.rows()).for_each(|i| self.dst.row(i).fill(0.0));
        }
        for first in (0..self.a.cols).step_by(DEPTH) {
            let depth = first..self.a.cols.min(first + DEPTH);
            for first in (0..columns).step_by(wide) {
                let (columns, depth) = (first..columns.min(first + wide), depth.clone());
                match (columns.len().div_ceil(S::F32_LANES), columns.len().is_multiple_of(S::F32_LANES)) {
                    (count, true) if count == VECTORS => self.column::<S, VECTORS, false>(simd, columns, depth),
                    (1, _) => self.column::<S, 1, true>(simd, columns, depth),
                    (2, _) => self.column::<S, 2, true>(simd, columns, depth),
                    (3, _) => self.column::<S, 3, true>(simd, columns, depth),
                    _ => self.column::<S, 4, true>(simd, columns, depth),
                }
            }
        }
    }

    #[inline(always)]
    fn column<S: Simd, const VECTORS: usize, const PARTIAL: bool>(
        &mut self,
        simd: S,
        columns: Range<usize>,
        depth: Range<usize>,
    ) {
        let rows = self.dst.rows();
        for row in (0..rows).step_by(ROWS) {
            let (c, d) = (columns.clone(), depth.clone());
            match rows - row {
                1 => self.tile::<S, 1, VECTORS, PARTIAL>(simd, row, c, d),
                2 => self.tile::<S, 2, VECTORS, PARTIAL>(simd, row, c, d),
                3 => self.tile::<S, 3, VECTORS, PARTIAL>(simd, row, c, d),
                4 => self.tile::<S, 4, VECTORS, PARTIAL>(simd, row, c, d),
                5 => self.tile::<S, 5, VECTORS, PARTIAL>(simd, row, c, d),
                _ => self.tile::<S, ROWS, VECTORS, PARTIAL>(simd, row, c, d),
            }
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const R: usize, const VECTORS: usize, const PARTIAL: bool>(
        &mut self,
        simd: S,
        row: usize,
        columns: Range<usize>,
        depth: Range<usize>,
    ) {
        let load = |row: &[f32]| -> [S::f32s; VECTORS] {
            let (vectors, rest) = S::as_simd_f32s(row);
            std::array::from_fn(|j| match PARTIAL && j + 1 == VECTORS {
                true if rest.is_empty() => vectors[j],
                true => simd.partial_load_f32s(rest),
                false => vectors[j],
            })
        };
        let left: [&[f32]; R] = std::array::from_fn(|i| &self.a.row(row + i)[depth.clone()]);
        let left = left.map(|values| &values[..depth.len()]);
        let mut sums = [[simd.splat_f32s(0.0); VECTORS]; R];
        if self.accumulate || depth.start > 0 {
            for (i, sums) in sums.iter_mut().enumerate() {
                *sums = load(&self.dst.row(row + i)[columns.clone()]);
            }
        }
        let right = self.first + columns.start..self.first + columns.end;
        #[expect(clippy::needless_range_loop, reason = "k counts along every row")]
        for k in 0..depth.len() {
            if row == 0 {
                // The end of a column of tiles goes on with the beginning of the next one.
                let (k, column) = match (k + AHEAD).checked_sub(depth.len()) {
                    None => (k + AHEAD, right.start),
                    Some(k) => (k, right.end),
                };
                self.b.prefetch(depth.start + k, column, VECTORS * S::F32_LANES);
            }
            let right = load(&self.b.row(depth.start + k)[right.clone()]);
            for i in 0..R {
                let value = simd.splat_f32s(left[i][k]);
                for j in 0..VECTORS {
                    sums[i][j] = simd.mul_add_f32s(value, right[j], sums[i][j]);
                }
            }
        }
        for (i, sums) in sums.into_iter().enumerate() {
            let dst = &mut self.dst.row(row + i)[columns.clone()];
            let (vectors, rest) = S::as_mut_simd_f32s(dst);
            for (j, sum) in sums.iter().enumerate() {
                if j < vectors.len() {
                    vectors[j] = *sum;
                }
            }
            if PARTIAL && !rest.is_empty() {
                simd.partial_store_f32s(rest, sums[VECTORS - 1]);
            }
        }
    }
}
