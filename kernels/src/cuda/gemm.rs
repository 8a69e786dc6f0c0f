//! Matrix products by cuBLAS.

use std::ffi::{c_int, c_void};

use candle_core::{
    Result,
    cuda_backend::{
        WrapErr,
        cudarc::cublas::{
            result::gemm_ex,
            sys::{cublasComputeType_t, cublasGemmAlgo_t, cublasOperation_t, cudaDataType_t},
        },
    },
};

use super::{gpu::Work, pointer::Mat};

impl Work<'_> {
    /// `c = scale * a @ b + keep * c`: `[m, k]`, `[k, n]`, `[m, n]`. Inputs are bf16; sums are f32 and rounded once, if at all.
    pub fn gemm(&self, [m, n, k]: [usize; 3], a: Mat, b: Mat, c: Mat, [scale, keep]: [f32; 2]) -> Result<()> {
        if m == 0 || n == 0 || k == 0 {
            return Ok(());
        }
        let op = |x: Mat| match x.transposed {
            true => cublasOperation_t::CUBLAS_OP_T,
            false => cublasOperation_t::CUBLAS_OP_N,
        };
        let of = |x: Mat| match x.f32 {
            true => cudaDataType_t::CUDA_R_32F,
            false => cudaDataType_t::CUDA_R_16BF,
        };
        // cuBLAS counts by columns, so it is given the transposed product: c^T = b^T @ a^T.
        // SAFETY: callers give matrices that hold what the sizes say, on this GPU; the handle has this GPU's stream.
        unsafe {
            gemm_ex(
                self.blas(),
                op(b),
                op(a),
                n as c_int,
                m as c_int,
                k as c_int,
                (&raw const scale).cast(),
                b.at as *const c_void,
                of(b),
                b.ld as c_int,
                a.at as *const c_void,
                of(a),
                a.ld as c_int,
                (&raw const keep).cast(),
                c.at as *mut c_void,
                of(c),
                c.ld as c_int,
                cublasComputeType_t::CUBLAS_COMPUTE_32F,
                cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT_TENSOR_OP,
            )
        }
        .w()
    }
}
