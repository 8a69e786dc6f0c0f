//! The optimiser's passes over memory on a GPU.

use candle_core::{DType, Result, Tensor, cuda_backend::WrapErr};
use half::bf16;

use super::{
    gpu::{Arg, Gpu, Shape, Source},
    pointer::{Held, Ptr},
};

const THREADS: usize = 256;
/// Blocks that share a sum.
const BLOCKS: usize = 128;

/// The numbers of a step of AdamW (Loshchilov & Hutter 2019) that all parameters share.
#[derive(Clone, Copy, Debug)]
pub struct AdamW {
    /// Factor of the gradients, from clipping.
    pub scale: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub epsilon: f64,
    /// Factor of the parameters: 1 − learning rate × weight decay.
    pub keep: f64,
    /// Learning rate / (1 − β₁ᵗ).
    pub step_size: f64,
    /// √(1 − β₂ᵗ).
    pub root_correction: f64,
}

/// A parameter, its first and its second moment after the step; all are contiguous f32 of one shape on one GPU.
pub fn adamw(numbers: AdamW, [p, m, v, g]: [&Tensor; 4]) -> Result<[Tensor; 3]> {
    let (gpu, len) = (Gpu::of_tensor(p)?, p.elem_count());
    let held = [p, m, v, g].map(Held::new);
    let new = [gpu.alloc::<f32>(len)?, gpu.alloc::<f32>(len)?, gpu.alloc::<f32>(len)?];
    let mut args = Vec::new();
    for held in &held {
        args.push(Arg::from(held.ptr::<f32>()?));
    }
    args.extend(new.each_ref().map(|new| Arg::from(Ptr::of(new))));
    args.push(Arg::Long(len as u64));
    let AdamW { scale, beta1, beta2, epsilon, keep, step_size, root_correction } = numbers;
    args.extend([scale, beta1, beta2, epsilon, keep, step_size, root_correction].map(|n| Arg::Float(n as f32)));
    gpu.begin()?.launch(Source::Optim, "adamw", Shape::each(len.div_ceil(THREADS), THREADS), &args)?;
    Ok(new.map(|new| gpu.tensor(new, p.shape())))
}

/// Σ x² of every tensor, contiguous f32 or bf16 on one GPU, summed in f64; one wait for them all.
pub fn sums_of_squares(tensors: &[&Tensor]) -> Result<Vec<f64>> {
    let Some(first) = tensors.first() else { return Ok(vec![]) };
    let gpu = Gpu::of_tensor(first)?;
    let sums = gpu.alloc::<f64>(tensors.len() * BLOCKS)?;
    let work = gpu.begin()?;
    for (i, tensor) in tensors.iter().enumerate() {
        let held = Held::new(tensor);
        let to = Ptr::of(&sums).add(i * BLOCKS);
        let (name, from) = match tensor.dtype() {
            DType::BF16 => ("squares_bf16", held.ptr::<bf16>()?.0),
            _ => ("squares", held.ptr::<f32>()?.0),
        };
        let args = [Arg::Ptr(from), to.into(), Arg::Long(tensor.elem_count() as u64)];
        work.launch(Source::Optim, name, Shape::each(BLOCKS, THREADS), &args)?;
    }
    drop(work);
    let sums = gpu.stream().clone_dtoh(&sums).w()?;
    Ok(sums.chunks(BLOCKS).map(|sums| sums.iter().sum()).collect())
}
