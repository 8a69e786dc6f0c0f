//! Matrix products by a vendor's BLAS (MKL, Accelerate) instead of the crate `gemm`.

use std::ffi::{c_char, c_int};

use crate::views::{Mat, MatMut};

unsafe extern "C" {
    fn sgemm_(
        transa: *const c_char,
        transb: *const c_char,
        m: *const c_int,
        n: *const c_int,
        k: *const c_int,
        alpha: *const f32,
        a: *const f32,
        lda: *const c_int,
        b: *const f32,
        ldb: *const c_int,
        beta: *const f32,
        c: *mut f32,
        ldc: *const c_int,
    );
}

/// What BLAS calls a matrix: transposed or not, and the distance between its columns.
fn operand(m: &Mat) -> Option<(c_char, c_int)> {
    // Row-major is column-major transposed; the caller swaps the operands, so a row-major view is 'N'.
    let (kind, stride, least) = match (m.row_stride, m.col_stride) {
        (stride, 1) => (b'N', stride, m.cols),
        (1, stride) => (b'T', stride, m.rows),
        _ => return None,
    };
    Some((kind as c_char, c_int::try_from(stride.max(least).max(1)).ok()?))
}

/// `dst = keep * dst + scale * a @ b`, whose sizes fit; `false` if BLAS can't express it.
pub fn sgemm(dst: &mut MatMut, accumulate: bool, scale: f32, a: &Mat, b: &Mat) -> bool {
    assert!(a.in_bounds() && b.in_bounds() && (a.rows, b.cols, b.rows) == (dst.rows(), dst.cols(), a.cols));
    let sizes = [b.cols, a.rows, a.cols, dst.row_stride()].map(c_int::try_from);
    let ([Ok(m), Ok(n), Ok(k), Ok(ldc)], Some((kind_a, lda)), Some((kind_b, ldb))) = (sizes, operand(a), operand(b))
    else {
        return false;
    };
    let keep = if accumulate { 1.0f32 } else { 0.0 };
    // SAFETY: the transposed product dst^T = b^T a^T in column-major order, whose operands are the same memory. The
    // assertion proves that all of it is in bounds, and the elements of `dst` are borrowed mutably.
    unsafe {
        sgemm_(
            &kind_b,
            &kind_a,
            &m,
            &n,
            &k,
            &scale,
            b.data.as_ptr(),
            &ldb,
            a.data.as_ptr(),
            &lda,
            &keep,
            dst.as_mut_ptr(),
            &ldc,
        );
    }
    true
}
