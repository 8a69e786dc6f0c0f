//! What the fused CPU kernels share: access to tensor data, matrix products on strided views, vector loops.

use std::{cell::Cell, ops::Range};

use candle_core::{CpuStorage, DType, Layout, Result, Shape, Storage, StorageRef, Tensor, bail};
use gemm::Parallelism;

use super::{
    rows::{FEW, FewRows},
    weight::{Values, Weight},
};

/// Whether the fused CPU kernels apply to these tensors.
pub fn fusable(tensors: &[&Tensor]) -> bool {
    tensors.iter().all(|t| t.device().is_cpu() && t.dtype() == DType::F32 && t.is_contiguous())
}

/// Whether they apply to this weight matrix, which may be stored in half the bits.
pub fn fusable_weight(weight: &Tensor) -> bool {
    let dtype = matches!(weight.dtype(), DType::F32 | DType::BF16 | DType::F16);
    weight.device().is_cpu() && dtype && weight.is_contiguous()
}

/// The data of a contiguous f32 storage.
pub fn floats<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => bail!("fused kernels need contiguous tensors, got {layout:?}"),
    }
}

/// A read lock on the data of a contiguous f32 CPU tensor.
pub struct Read<'a> {
    guard: StorageRef<'a>,
    layout: &'a Layout,
}

impl<'a> Read<'a> {
    pub fn new(tensor: &'a Tensor) -> Self {
        let (guard, layout) = tensor.storage_and_layout();
        Self { guard, layout }
    }

    pub fn slice(&self) -> Result<&[f32]> {
        match &*self.guard {
            Storage::Cpu(cpu) => floats(cpu, self.layout),
            _ => bail!("fused kernels run on the CPU only"),
        }
    }

    /// The tensor, which is a matrix, as a weight in the type it is stored in.
    pub fn weight(&self) -> Result<Weight<'_>> {
        let (rows, cols) = self.layout.shape().dims2()?;
        match &*self.guard {
            Storage::Cpu(cpu) => Ok(Weight { values: Values::new(cpu, self.layout)?, rows, cols }),
            _ => bail!("fused kernels run on the CPU only"),
        }
    }
}

/// Wraps a kernel's result.
pub fn tensor(data: Vec<f32>, shape: impl Into<Shape>) -> Result<Tensor> {
    Tensor::from_vec(data, shape, &candle_core::Device::Cpu)
}

thread_local! {
    static SERIAL: Cell<bool> = const { Cell::new(false) };
}

/// Runs `f` with kernels that stay on the calling thread: for callers that already keep all threads busy.
pub fn serially<R>(f: impl FnOnce() -> R) -> R {
    struct Reset(bool);
    impl Drop for Reset {
        fn drop(&mut self) {
            SERIAL.set(self.0);
        }
    }
    let _reset = Reset(SERIAL.replace(true));
    f()
}

/// How many threads a kernel may use: those of the caller's rayon pool, or one within [`serially`].
pub fn threads() -> usize {
    if SERIAL.get() { 1 } else { rayon::current_num_threads() }
}

pub fn parallelism() -> Parallelism {
    match threads() {
        0 | 1 => Parallelism::None,
        n => Parallelism::Rayon(n),
    }
}

/// A strided view of a matrix.
#[derive(Clone, Copy)]
pub struct Mat<'a> {
    pub data: &'a [f32],
    pub rows: usize,
    pub cols: usize,
    pub row_stride: usize,
    pub col_stride: usize,
}

impl<'a> Mat<'a> {
    /// A row-major matrix.
    pub fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        Self { data, rows, cols, row_stride: cols, col_stride: 1 }
    }

    /// `rows` rows of `cols` values, `stride` values apart.
    pub fn strided(data: &'a [f32], rows: usize, cols: usize, stride: usize) -> Self {
        Self { data, rows, cols, row_stride: stride, col_stride: 1 }
    }

    pub fn t(self) -> Self {
        Self {
            data: self.data,
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
        }
    }

    /// A row of contiguous values.
    #[inline(always)]
    pub fn row(&self, i: usize) -> &'a [f32] {
        &self.data[i * self.row_stride..][..self.cols]
    }

    /// The columns `range`.
    pub fn columns(self, range: Range<usize>) -> Self {
        Self { data: &self.data[range.start * self.col_stride..], cols: range.len(), ..self }
    }

    fn in_bounds(&self) -> bool {
        in_bounds(self.data.len(), self.rows, self.cols, self.row_stride, self.col_stride)
    }
}

fn in_bounds(len: usize, rows: usize, cols: usize, row_stride: usize, col_stride: usize) -> bool {
    rows == 0 || cols == 0 || (rows - 1) * row_stride + (cols - 1) * col_stride < len
}

/// `dst = keep * dst + scale * a @ b` where `dst` has `row_stride` values between rows; `keep` is 0 or 1.
///
/// The product of one output element is summed in an order that depends on the shapes only.
#[allow(clippy::too_many_arguments)]
pub fn matmul(dst: &mut [f32], row_stride: usize, accumulate: bool, scale: f32, a: Mat, b: Mat, par: Parallelism) {
    let (m, n, k) = (a.rows, b.cols, a.cols);
    assert!(
        b.rows == k && a.in_bounds() && b.in_bounds() && in_bounds(dst.len(), m, n, row_stride, 1) && row_stride >= n,
        "matrix product out of bounds: {m}x{k} @ {}x{n}",
        b.rows
    );
    #[cfg(feature = "blas")]
    // SAFETY: the assertion above proves all three in bounds.
    if unsafe { super::blas::sgemm(dst, row_stride, accumulate, scale, &a, &b) } {
        return;
    }
    // SAFETY: the assertion above proves that every element gemm reads (`a`: m x k, `b`: k x n, by their strides) and
    // writes (`dst`: m x n, unit column stride, rows that do not overlap) lies inside the slices; `dst` is borrowed
    // mutably, so it aliases neither operand.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            dst.as_mut_ptr(),
            1,
            row_stride as isize,
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

/// [`matmul`] by the rows of `b`, of which few rows of `a` have their own kind: `dst = keep * dst + scale * a @ b^T`.
#[allow(clippy::too_many_arguments)]
pub fn by_rows(dst: &mut [f32], row_stride: usize, accumulate: bool, scale: f32, a: Mat, b: Mat, par: Parallelism) {
    if a.rows >= FEW {
        return matmul(dst, row_stride, accumulate, scale, a, b.t(), par);
    }
    let threads = if let Parallelism::Rayon(n) = par { n } else { 1 };
    FewRows { pairs: &[(a, b)], accumulate, scale }.product(dst, row_stride, threads);
}

/// Runs a loop with the widest vector instructions of this CPU. The loop's helpers must be `#[inline(always)]`.
pub fn vectorised<R>(f: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(f)
}

const LANES: usize = 16;

/// `sum f(i)` in 16 fixed lanes, so that it vectorises and always rounds the same way.
#[inline(always)]
fn lanes(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut acc = [0f32; LANES];
    let (ca, cb) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let tail: f32 = ca.remainder().iter().zip(cb.remainder()).map(|(&x, &y)| f(x, y)).sum();
    for (x, y) in ca.zip(cb) {
        for i in 0..LANES {
            acc[i] += f(x[i], y[i]);
        }
    }
    acc.iter().sum::<f32>() + tail
}

/// Dot product.
#[inline(always)]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    lanes(a, b, |x, y| x * y)
}

/// Sum.
#[inline(always)]
pub fn sum(a: &[f32]) -> f32 {
    lanes(a, a, |x, _| x)
}

/// Largest value, negative infinity when empty.
#[inline(always)]
pub fn max(a: &[f32]) -> f32 {
    let mut acc = [f32::NEG_INFINITY; LANES];
    let chunks = a.chunks_exact(LANES);
    let tail = chunks.remainder().iter().fold(f32::NEG_INFINITY, |m, &x| if x > m { x } else { m });
    for x in chunks {
        for i in 0..LANES {
            acc[i] = if x[i] > acc[i] { x[i] } else { acc[i] };
        }
    }
    acc.iter().fold(tail, |m, &x| if x > m { x } else { m })
}

/// `e^x` to about 1e-7 relative, branch-free so that loops over it vectorise; 0 below -87.3.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    const MAGIC: f32 = 12_582_912.0; // 1.5 * 2^23: adding it rounds to an integer in the low mantissa bits
    let x = if x < 88.7 { x } else { 88.7 };
    let clamped = if x > -87.3 { x } else { -87.3 };
    let shifted = clamped * std::f32::consts::LOG2_E + MAGIC;
    let n = shifted - MAGIC;
    let r = (clamped - n * 0.693_359_4) - n * -2.121_944_4e-4;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let y = p * r * r + r + 1.0;
    let exponent = (shifted.to_bits() as i32).wrapping_sub(0x4B40_0000);
    let scale = f32::from_bits((exponent.wrapping_add(127) << 23) as u32);
    if x > -87.3 { y * scale } else { 0.0 }
}

/// Replaces `row` by its softmax at `scale` and returns `ln(sum(exp(scale * row)))`.
#[inline(always)]
pub fn softmax(row: &mut [f32], scale: f32) -> f32 {
    let top = max(row);
    for x in row.iter_mut() {
        *x = exp((*x - top) * scale);
    }
    let total = sum(row);
    let inverse = 1.0 / total;
    for x in row.iter_mut() {
        *x *= inverse;
    }
    top * scale + total.ln()
}

/// A pointer to an output that parallel tasks fill in disjoint parts.
#[derive(Clone, Copy)]
pub struct Shared {
    pointer: *mut f32,
    len: usize,
}

// SAFETY: `Shared` is only a pointer and a length; whoever calls `slice` promises disjoint access.
unsafe impl Send for Shared {}
unsafe impl Sync for Shared {}

impl Shared {
    pub fn new(data: &mut [f32]) -> Self {
        Self { pointer: data.as_mut_ptr(), len: data.len() }
    }

    /// # Safety
    /// The output must outlive the slice, and no two live slices may be used to touch the same element.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn slice(&self, start: usize) -> &mut [f32] {
        assert!(start <= self.len);
        // SAFETY: the range starts inside the output and ends at its end; disjoint use is the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.pointer.add(start), self.len - start) }
    }
}

/// Overwrites rows of `dst` (`[capacity, ...]`, contiguous) in place: row `rows[i]` becomes row `i` of `src`.
///
/// This is how keys and values enter the cache. No gradient flows through it.
pub fn copy_rows(dst: &Tensor, src: &Tensor, rows: &[usize]) -> Result<()> {
    if fusable(&[dst, src]) {
        return dst.inplace_op2(src, &CopyRows { rows });
    }
    // One copy for every run of neighbours.
    let mut first = 0;
    for run in rows.chunk_by(|a, b| a + 1 == *b) {
        dst.slice_set(&src.narrow(0, first, run.len())?.contiguous()?, 0, run[0])?;
        first += run.len();
    }
    Ok(())
}

struct CopyRows<'a> {
    rows: &'a [usize],
}

impl candle_core::InplaceOp2 for CopyRows<'_> {
    fn name(&self) -> &'static str {
        "copy-rows"
    }

    fn cpu_fwd(&self, dst: &mut CpuStorage, dst_layout: &Layout, src: &CpuStorage, src_layout: &Layout) -> Result<()> {
        let src = floats(src, src_layout)?;
        let width = src.len() / self.rows.len().max(1);
        let CpuStorage::F32(dst) = dst else { bail!("copy-rows needs f32") };
        let base = dst_layout.start_offset();
        for (&row, from) in self.rows.iter().zip(src.chunks_exact(width.max(1))) {
            dst[base + row * width..][..width].copy_from_slice(from);
        }
        Ok(())
    }
}
