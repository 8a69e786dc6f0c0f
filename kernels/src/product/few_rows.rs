//! Products of a few rows with matrices whose rows are the columns of the product: decoding.
//!
//! A general product first copies its operands into an order that suits it, which for few rows costs more than the
//! product. Here every element is the dot product of contiguous rows, a matrix is read once, as it lies, and an element
//! rounds the same way however many rows and threads there are.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::views::{Mat, MatMut};

/// From this many rows on copying pays.
pub const FEW: usize = 64;

/// Below this many multiplications threads cost more than they give.
const WORTH_THREADS: usize = 1 << 18;

/// `dst = keep * dst + scale * (a1 @ b1^T + a2 @ b2^T + ...)`, where `keep` is 0 or 1. Rows of all operands are contiguous.
pub struct FewRows<'a> {
    pub pairs: &'a [(Mat<'a>, Mat<'a>)],
    pub accumulate: bool,
    pub scale: f32,
}

impl FewRows<'_> {
    pub fn product(&self, dst: MatMut, threads: usize) {
        let (rows, columns) = (dst.rows(), dst.cols());
        for (a, b) in self.pairs {
            assert!(a.rows == rows && b.rows == columns && a.cols == b.cols && a.col_stride == 1 && b.col_stride == 1);
        }
        let work: usize = self.pairs.iter().map(|(a, _)| rows * columns * a.cols).sum();
        let pieces = if work < WORTH_THREADS { 1 } else { threads.max(1) };
        let width = columns.div_ceil(pieces).next_multiple_of(COLUMNS);
        let piece = |(i, dst)| Arch::new().dispatch(Piece { sum: self, first: i * width, dst });
        let chunks = dst.column_chunks(width).enumerate();
        if columns <= width {
            chunks.for_each(piece);
        } else {
            chunks.collect::<Vec<_>>().into_par_iter().for_each(piece);
        }
    }
}

/// Columns of a tile, whose sums stay in registers; it has as many rows.
const COLUMNS: usize = 4;

/// Some columns of a product.
struct Piece<'a> {
    sum: &'a FewRows<'a>,
    /// The column of the product where `dst` begins.
    first: usize,
    dst: MatMut<'a>,
}

impl WithSimd for Piece<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let columns = self.dst.cols();
        for column in (0..columns).step_by(COLUMNS) {
            match columns - column {
                1 => self.column::<S, 1>(simd, column),
                2 => self.column::<S, 2>(simd, column),
                3 => self.column::<S, 3>(simd, column),
                _ => self.column::<S, COLUMNS>(simd, column),
            }
        }
    }
}

impl Piece<'_> {
    #[inline(always)]
    fn column<S: Simd, const C: usize>(&mut self, simd: S, column: usize) {
        let rows = self.dst.rows();
        for row in (0..rows).step_by(4) {
            match rows - row {
                1 => self.tile::<S, 1, C>(simd, row, column),
                2 => self.tile::<S, 2, C>(simd, row, column),
                3 => self.tile::<S, 3, C>(simd, row, column),
                _ => self.tile::<S, 4, C>(simd, row, column),
            }
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const R: usize, const C: usize>(&mut self, simd: S, row: usize, column: usize) {
        let mut sums = [[simd.splat_f32s(0.0); C]; R];
        let mut tails = [[0f32; C]; R];
        for (a, b) in self.sum.pairs {
            let a: [(&[S::f32s], &[f32]); R] = std::array::from_fn(|i| S::as_simd_f32s(a.row(row + i)));
            let b: [(&[S::f32s], &[f32]); C] = std::array::from_fn(|j| S::as_simd_f32s(b.row(self.first + column + j)));
            let depth = a[0].0.len();
            let left: [&[S::f32s]; R] = a.map(|(head, _)| &head[..depth]);
            let right: [&[S::f32s]; C] = b.map(|(head, _)| &head[..depth]);
            for k in 0..depth {
                let right: [S::f32s; C] = right.map(|b| b[k]);
                for i in 0..R {
                    let left = left[i][k];
                    for j in 0..C {
                        sums[i][j] = simd.mul_add_f32s(left, right[j], sums[i][j]);
                    }
                }
            }
            for i in 0..R {
                for j in 0..C {
                    tails[i][j] += a[i].1.iter().zip(b[j].1).map(|(x, y)| x * y).sum::<f32>();
                }
            }
        }
        for i in 0..R {
            let dst = &mut self.dst.row(row + i)[column..column + C];
            for (j, dst) in dst.iter_mut().enumerate() {
                let value = self.sum.scale * (simd.reduce_sum_f32s(sums[i][j]) + tails[i][j]);
                *dst = if self.sum.accumulate { *dst + value } else { value };
            }
        }
    }
}
