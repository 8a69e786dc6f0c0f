//! Products of a few rows with the rows of another matrix: every element is the dot product of contiguous rows.
//!
//! An element rounds the same way however many rows there are.

use pulp::{Arch, Simd, WithSimd};

use crate::views::{Mat, MatMut};

/// `dst = a @ b^T`. Rows of all operands are contiguous.
pub fn dots(dst: MatMut, a: Mat, b: Mat) {
    assert!(a.rows == dst.rows() && b.rows == dst.cols() && a.cols == b.cols && a.col_stride == 1 && b.col_stride == 1);
    Arch::new().dispatch(Dots { a, b, dst });
}

/// Rows and columns of a tile, whose sums stay in registers.
const TILE: usize = 4;

struct Dots<'a> {
    a: Mat<'a>,
    b: Mat<'a>,
    dst: MatMut<'a>,
}

impl WithSimd for Dots<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let columns = self.dst.cols();
        for column in (0..columns).step_by(TILE) {
            match columns - column {
                1 => self.column::<S, 1>(simd, column),
                2 => self.column::<S, 2>(simd, column),
                3 => self.column::<S, 3>(simd, column),
                _ => self.column::<S, TILE>(simd, column),
            }
        }
    }
}

impl Dots<'_> {
    #[inline(always)]
    fn column<S: Simd, const C: usize>(&mut self, simd: S, column: usize) {
        let rows = self.dst.rows();
        for row in (0..rows).step_by(TILE) {
            match rows - row {
                1 => self.tile::<S, 1, C>(simd, row, column),
                2 => self.tile::<S, 2, C>(simd, row, column),
                3 => self.tile::<S, 3, C>(simd, row, column),
                _ => self.tile::<S, TILE, C>(simd, row, column),
            }
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const R: usize, const C: usize>(&mut self, simd: S, row: usize, column: usize) {
        let a: [(&[S::f32s], &[f32]); R] = std::array::from_fn(|i| S::as_simd_f32s(self.a.row(row + i)));
        let b: [(&[S::f32s], &[f32]); C] = std::array::from_fn(|j| S::as_simd_f32s(self.b.row(column + j)));
        let depth = a[0].0.len();
        let left: [&[S::f32s]; R] = a.map(|(head, _)| &head[..depth]);
        let right: [&[S::f32s]; C] = b.map(|(head, _)| &head[..depth]);
        let mut sums = [[simd.splat_f32s(0.0); C]; R];
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
            let dst = &mut self.dst.row(row + i)[column..column + C];
            for (j, dst) in dst.iter_mut().enumerate() {
                let tail = a[i].1.iter().zip(b[j].1).map(|(x, y)| x * y).sum::<f32>();
                *dst = simd.reduce_sum_f32s(sums[i][j]) + tail;
            }
        }
    }
}
