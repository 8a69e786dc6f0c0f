//! Log-probabilities, entropies and draws over the vocabulary on a GPU. Logits are f32 products of bf16.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, DType, Layout, Result, Shape as Dimensions, Tensor, bail,
    cuda_backend::{WrapErr, cudarc::driver::CudaSlice},
};
use half::bf16;

use super::{
    gpu::{Arg, Gpu, Shape, Source, Work},
    pointer::{Held, Mat, Ptr, ptr},
};

/// Rows whose logits exist at the same time.
const ROWS: usize = 1024;
const THREADS: usize = 1024;

/// Whether the kernels apply.
pub fn log_probs_apply(hidden: &Tensor, head: &Tensor) -> bool {
    hidden.device().is_cuda() && hidden.dtype() == DType::F32 && head.dtype() == DType::BF16 && !head.track_op()
}

/// `[2, tokens]`: log-probabilities and entropies, as [`log_probs`](crate::log_probs()) has them.
pub fn log_probs(hidden: &Tensor, head: &Tensor, targets: &[u32], scale: f32) -> Result<Tensor> {
    let gpu = Gpu::of_tensor(hidden)?;
    let targets = gpu.stream().clone_htod(targets).w()?;
    hidden.apply_op1(Head { head: head.contiguous()?, targets: Arc::new(targets), scale, kept: Mutex::default() })
}

struct Head {
    /// `[C, vocab]`
    head: Tensor,
    targets: Arc<CudaSlice<u32>>,
    scale: f32,
    /// Logsumexp and entropy of every row.
    kept: Mutex<Option<[CudaSlice<f32>; 2]>>,
}

/// A few rows of one pass.
struct Rows<'a> {
    work: Work<'a>,
    head: Ptr<bf16>,
    hidden: Ptr<bf16>,
    logits: Ptr<f32>,
    c: usize,
    vocab: usize,
}

impl<'a> Rows<'a> {
    fn new(gpu: &'a Gpu, head: &Tensor, held: &Held, most: usize) -> Result<Self> {
        let (c, vocab) = head.dims2()?;
        let mut work = gpu.begin()?;
        let (hidden, logits) = (work.take(most * c)?, work.take(most * vocab)?);
        Ok(Self { work, head: held.ptr()?, hidden, logits, c, vocab })
    }

    /// The logits of `rows` rows of `x`.
    fn logits(&self, x: Ptr<f32>, rows: usize) -> Result<()> {
        let gpu = &self.work;
        gpu.round(x, self.hidden, rows * self.c)?;
        let (hidden, head) = (Mat::bf16(self.hidden, self.c), Mat::bf16(self.head, self.vocab));
        gpu.gemm([rows, self.vocab, self.c], hidden, head, Mat::f32(self.logits, self.vocab), [1.0, 0.0])
    }
}

impl CustomOp1 for Head {
    fn name(&self) -> &'static str {
        "log-probs"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Dimensions)> {
        bail!("log-probs: CUDA kernels run on a GPU only")
    }

    fn cuda_fwd(&self, storage: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Dimensions)> {
        let gpu = Gpu::of(&storage.device)?;
        let (x, tokens) = (ptr::<f32>(storage, layout)?, self.targets.len());
        let out = gpu.alloc::<f32>((2 * tokens).max(1))?;
        let kept = [gpu.alloc::<f32>(tokens.max(1))?, gpu.alloc::<f32>(tokens.max(1))?];
        let held = Held::new(&self.head);
        let rows = Rows::new(&gpu, &self.head, &held, ROWS.min(tokens))?;
        for first in (0..tokens).step_by(ROWS) {
            let count = ROWS.min(tokens - first);
            rows.logits(x.add(first * rows.c), count)?;
            let (log_prob, entropy) = (Ptr::of(&out).add(first), Ptr::of(&out).add(tokens + first));
            let mut args: Vec<Arg> = vec![rows.logits.into(), Ptr::of(&self.targets).add(first).into()];
            args.extend([log_prob, entropy, Ptr::of(&kept[0]).add(first)].map(Arg::from));
            args.extend([Arg::from(rows.vocab), self.scale.into()]);
            rows.work.launch(Source::Head, "log_probs", Shape::each(count, THREADS), &args)?;
        }
        rows.work.copy(Ptr::of(&out).add(tokens), Ptr::of(&kept[1]), tokens)?;
        drop(rows);
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        Ok((CudaStorage::wrap_cuda_slice(out, storage.device.clone()), (2, tokens).into()))
    }

    fn bwd(&self, hidden: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        let (gpu, tokens) = (Gpu::of_tensor(hidden)?, self.targets.len());
        let [held, held_grad, held_head] = [hidden, &grad, &self.head].map(Held::new);
        let (x, g) = (held.ptr::<f32>()?, held_grad.ptr::<f32>()?);
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let Some([lse, entropy]) = &*kept else { bail!("log-probs: a backward pass before the forward pass") };
        let dx = gpu.alloc::<f32>(hidden.elem_count().max(1))?;
        let mut rows = Rows::new(&gpu, &self.head, &held_head, ROWS.min(tokens))?;
        let dz = rows.work.take::<bf16>(ROWS.min(tokens) * rows.vocab)?;
        for first in (0..tokens).step_by(ROWS) {
            let count = ROWS.min(tokens - first);
            rows.logits(x.add(first * rows.c), count)?;
            let mut args: Vec<Arg> = vec![rows.logits.into(), Ptr::of(&self.targets).add(first).into()];
            let given = [g.add(first), g.add(tokens + first), Ptr::of(lse).add(first), Ptr::of(entropy).add(first)];
            args.extend(given.map(Arg::from));
            args.extend([Arg::from(dz), rows.vocab.into(), self.scale.into()]);
            rows.work.launch(Source::Head, "log_probs_backward", Shape::each(count, THREADS), &args)?;
            let head = Mat::bf16(rows.head, rows.vocab).t();
            let to = Mat::f32(Ptr::of(&dx).add(first * rows.c), rows.c);
            rows.work.gemm([count, rows.c, rows.vocab], Mat::bf16(dz, rows.vocab), head, to, [1.0, 0.0])?;
        }
        drop(rows);
        Ok(Some(gpu.tensor(dx, hidden.shape())))
    }
}
