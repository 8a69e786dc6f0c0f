//! Matrix products on strided views.

#[cfg(feature = "blas")]
mod blas;
mod dots;
mod few_rows;

use gemm::Parallelism;

use crate::views::{Mat, MatMut};
pub use dots::dots;
pub use few_rows::FEW;

/// `dst = keep * dst + scale * a @ b`; `keep` is 0 or 1.
///
/// The product of one output element is summed in an order that depends on the shapes only.
pub fn matmul(mut dst: MatMut, accumulate: bool, scale: f32, a: Mat, b: Mat, par: Parallelism) {
    let (m, n, k) = (dst.rows(), dst.cols(), a.cols);
    assert!(
        a.rows == m && b.rows == k && b.cols == n && a.in_bounds() && b.in_bounds(),
        "matrix product out of bounds: {m}x{n} from {}x{k} @ {}x{}",
        a.rows,
        b.rows,
        b.cols
    );
    #[cfg(feature = "blas")]
    if blas::sgemm(&mut dst, accumulate, scale, &a, &b) {
        return;
    }
    // SAFETY: the assertion proves that every element gemm reads (`a`: m x k, `b`: k x n, by their strides) lies inside
    // the operands' slices. It writes the elements of `dst` alone (m x n, unit column stride), which are borrowed
    // mutably, so none of them is among those read or written elsewhere.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            dst.as_mut_ptr(),
            1,
            dst.row_stride() as isize,
            accumulate,
            a.data.as_ptr(),
            a.col_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.col_stride as isize,
            b.row_stride as isize,
            1.0,
            scale,
            false,
            false,
            false,
            par,
        );
    }
}

/// `dst = keep * dst + a @ b`, whose rows are contiguous: [`matmul`], of which few rows have their own kind.
pub fn product(dst: MatMut, accumulate: bool, a: Mat, b: Mat, par: Parallelism) {
    if a.rows >= FEW {
        return matmul(dst, accumulate, 1.0, a, b, par);
    }
    let threads = if let Parallelism::Rayon(n) = par { n } else { 1 };
    few_rows::few_rows(dst, accumulate, a, b, threads);
}
