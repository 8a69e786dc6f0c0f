//! Products of a few rows with a matrix whose rows are the columns of the product: decoding.
//!
//! A general product first copies its operands into an order that suits it, which for few rows costs more than the
//! product. Here every element is the dot product of two contiguous rows, the matrix is read once, as it lies, and an
//! element rounds the same way however many rows there are.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::kernel::{Mat, Shared};

/// From this many rows on copying pays.
pub const FEW: usize = 64;

/// Below this many multiplications threads cost more than they give.
const WORTH_THREADS: usize = 1 << 18;

/// `dst = keep * dst + scale * a @ b^T`, the rows of `a` and `b` being contiguous; `dst` has `row_stride` values between
/// rows.
pub struct Skinny<'a> {
    pub a: Mat<'a>,
    pub b: Mat<'a>,
    pub accumulate: bool,
    pub scale: f32,
}

impl Skinny<'_> {
    pub fn run(&self, dst: &mut [f32], row_stride: usize, threads: usize) {
        let dst = Shared::new(dst);
        let columns = self.b.rows;
        let pieces = if self.a.rows * self.a.cols * columns < WORTH_THREADS { 1 } else { threads.max(1) };
        let piece = columns.div_ceil(pieces).next_multiple_of(COLUMNS);
        let task = |i: usize| {
            let columns = i * piece..columns.min((i + 1) * piece);
            Arch::new().dispatch(Piece { product: self, dst, row_stride, columns });
        };
        match columns.div_ceil(piece) {
            1 => task(0),
            n => (0..n).into_par_iter().for_each(task),
        }
    }
}

/// Rows and columns of a tile, whose sums stay in registers.
const ROWS: usize = 4;
const COLUMNS: usize = 4;

struct Piece<'a> {
    product: &'a Skinny<'a>,
    dst: Shared,
    row_stride: usize,
    columns: std::ops::Range<usize>,
}

impl WithSimd for Piece<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let rows = self.product.a.rows;
        let mut column = self.columns.start;
        while column < self.columns.end {
            let width = (self.columns.end - column).min(COLUMNS);
            let mut row = 0;
            while row < rows {
                let height = (rows - row).min(ROWS);
                match (height, width) {
                    (4, 4) => self.tile::<S, 4, 4>(simd, row, column),
                    (3, 4) => self.tile::<S, 3, 4>(simd, row, column),
                    (2, 4) => self.tile::<S, 2, 4>(simd, row, column),
                    (1, 4) => self.tile::<S, 1, 4>(simd, row, column),
                    _ => {
                        for i in row..row + height {
                            for j in column..column + width {
                                self.tile::<S, 1, 1>(simd, i, j);
                            }
                        }
                    }
                }
                row += height;
            }
            column += width;
        }
    }
}

impl Piece<'_> {
    #[inline(always)]
    fn tile<S: Simd, const R: usize, const C: usize>(&self, simd: S, row: usize, column: usize) {
        let Skinny { a, b, accumulate, scale } = *self.product;
        let a: [(&[S::f32s], &[f32]); R] = std::array::from_fn(|i| S::as_simd_f32s(a.row(row + i)));
        let b: [(&[S::f32s], &[f32]); C] = std::array::from_fn(|j| S::as_simd_f32s(b.row(column + j)));
        let depth = a[0].0.len();
        let a_head: [&[S::f32s]; R] = std::array::from_fn(|i| &a[i].0[..depth]);
        let b_head: [&[S::f32s]; C] = std::array::from_fn(|j| &b[j].0[..depth]);
        let mut sums = [[simd.splat_f32s(0.0); C]; R];
        for k in 0..depth {
            let right: [S::f32s; C] = std::array::from_fn(|j| b_head[j][k]);
            for i in 0..R {
                let left = a_head[i][k];
                for j in 0..C {
                    sums[i][j] = simd.mul_add_f32s(left, right[j], sums[i][j]);
                }
            }
        }
        for i in 0..R {
            // SAFETY: a piece owns its columns of `dst`, and a row's columns are contiguous.
            let dst = unsafe { self.dst.slice((row + i) * self.row_stride + column) };
            for j in 0..C {
                let tail: f32 = a[i].1.iter().zip(b[j].1).map(|(x, y)| x * y).sum();
                let value = scale * (simd.reduce_sum_f32s(sums[i][j]) + tail);
                dst[j] = if accumulate { dst[j] + value } else { value };
            }
        }
    }
}
