//! What a model needs of a device's memory, computed from its shape before anything is allocated.
//!
//! Counted are the tensors that exist at the same time at the peak, in bytes, and on a GPU what CUDA and its libraries
//! take for themselves; the allocator and the program itself are not. Adapter and optimiser are f32, weight matrices have
//! the model's type, and activations that of the kernels that compute the model: see [`DeviceKind`].

mod composed;
mod cpu;
mod fused;
mod shape;
mod sizes;

use candle_core::DType;
use serde::Serialize;

use crate::{
    Config, LoraConfig,
    generate::BatchConfig,
    weights::{shapes, weight_dtype},
};
pub use shape::StepShape;
use shape::{BF16, F32};
use sizes::Sizes;

/// What CUDA takes for a process on a GPU: its context, kernels, and cuBLAS's own memory.
const CONTEXT: u64 = (512 + 64) << 20;
/// More tokens than any micro-batch has.
const MOST_TOKENS: usize = 1 << 22;

/// What computes a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// Activations are f32.
    Cpu,
    /// An NVIDIA GPU. With bf16 weights activations are bf16, and scores of attention never exist in memory. With weights of
    /// another type everything is f32 by candle's operations, an option for parity that takes six matrices of scores
    /// `[heads, T, K]` for every layer.
    Cuda,
}

/// Which kernels compute a model.
#[derive(Clone, Copy, Debug)]
enum Kernels {
    Cpu,
    Fused,
    Composed,
}

/// The memory of one model with one adapter.
#[derive(Clone, Debug)]
pub struct Memory {
    config: Config,
    dtype: DType,
    lora: LoraConfig,
    kernels: Kernels,
    sizes: Sizes,
}

/// Bytes of a training step at its peak, by what holds them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct StepMemory {
    /// The frozen model.
    pub weights: u64,
    /// CUDA itself.
    pub context: u64,
    /// Adapter, its copy that is differentiated, gradients and AdamW's moments.
    pub trained: u64,
    /// What is kept and computed with, or in its place adapter and moments after the update where those take more.
    pub activations: u64,
}

impl StepMemory {
    /// All of them together, in bytes.
    pub fn total(&self) -> u64 {
        self.weights + self.context + self.trained + self.activations
    }
}

impl Memory {
    /// Of a model of this shape whose weight matrices are `dtype`, with this adapter, on a device of this kind.
    pub fn new(config: &Config, dtype: DType, lora: &LoraConfig, kind: DeviceKind) -> Self {
        let kernels = match (kind, dtype) {
            (DeviceKind::Cpu, _) => Kernels::Cpu,
            (DeviceKind::Cuda, DType::BF16) if fused::applies(config.text.head_dim()) => Kernels::Fused,
            (DeviceKind::Cuda, _) => Kernels::Composed,
        };
        Self { sizes: Sizes::new(config, lora), config: config.clone(), dtype, lora: lora.clone(), kernels }
    }

    /// The frozen weights, vision tower included, and where CUDA kernels compute them the room for factors beside them.
    pub fn weights(&self) -> u64 {
        let bytes = |(name, shape): (&String, &Vec<usize>)| {
            shape.iter().map(|&n| n as u64).product::<u64>() * weight_dtype(name, self.dtype).size_in_bytes() as u64
        };
        let beside = match self.kernels {
            Kernels::Fused => fused::beside_weights(&self.sizes),
            Kernels::Cpu | Kernels::Composed => 0,
        };
        shapes(&self.config).iter().map(bytes).sum::<u64>() + beside
    }

    /// What CUDA takes for itself, once for a process on a GPU.
    pub fn context(&self) -> u64 {
        match self.kernels {
            Kernels::Cpu => 0,
            Kernels::Fused | Kernels::Composed => CONTEXT,
        }
    }

    /// One version of the adapter.
    pub fn adapter(&self) -> u64 {
        let per_layer = |m: &crate::lora::Module| {
            let (inputs, outputs) = m.shape(&self.config.text);
            (self.lora.rank * (inputs + outputs)) as u64
        };
        self.config.text.layers as u64 * self.lora.target_modules.iter().map(per_layer).sum::<u64>() * F32
    }

    /// Image features of a prompt, `[tokens, hidden]`.
    pub fn features(&self, image_tokens: usize) -> u64 {
        (image_tokens * self.config.text.hidden_size) as u64 * F32
    }

    /// Keys and values of this many tokens.
    pub fn cache(&self, tokens: usize) -> u64 {
        let value = if matches!(self.kernels, Kernels::Fused) { BF16 } else { F32 };
        2 * self.sizes.layers * tokens as u64 * self.sizes.kv * value
    }

    /// The vision tower at work on images of this many patches together.
    pub fn vision(&self, patches: usize) -> u64 {
        let v = &self.config.vision;
        // In a block's MLP: block input, its norm, gate, up and their product; in its attention fewer.
        let widest = (2 * v.hidden_size + 3 * v.intermediate_size).max(9 * v.hidden_size) + 2 * v.patch_dim();
        (patches * widest) as u64 * F32
    }

    /// Sampling: weights, the adapter, the cache and the widest layer of the prefill.
    pub fn sampling(&self, prompt_tokens: usize, samples: usize, new_tokens: usize) -> u64 {
        let cache = self.cache(prompt_tokens + samples * new_tokens);
        self.weights() + self.adapter() + cache + self.passes([prompt_tokens; 2], samples, 0)
    }

    /// Sampling as [`Batch`](crate::generate::Batch) does, where `sequences` samples are under way together, those of a
    /// group of `group` with one prompt: weights, the adapter, the cache, logits, and the widest layer of a prefill.
    pub fn batch(
        &self,
        config: &BatchConfig,
        prompt_tokens: usize,
        [sequences, group]: [usize; 2],
        new_tokens: usize,
    ) -> u64 {
        let prompts = sequences.div_ceil(group.max(1));
        let grown = self.cache(prompts * prompt_tokens + sequences * new_tokens);
        let cache = config.cache_bytes.unwrap_or(grown);
        let chunk = config.prefill_tokens.min(prompt_tokens);
        self.weights() + self.adapter() + cache + self.passes([chunk, prompt_tokens], sequences, prompts)
    }

    /// Forward passes over a cache: of a chunk of a prompt, and of samples that advance together.
    fn passes(&self, [chunk, prompt]: [usize; 2], sequences: usize, prompts: usize) -> u64 {
        let s = &self.sizes;
        match self.kernels {
            Kernels::Cpu => cpu::logits(s, sequences, prompts) + chunk as u64 * cpu::forward_per_token(s),
            Kernels::Fused => fused::sampling(s, chunk, sequences),
            Kernels::Composed => composed::sampling(s, [chunk, prompt], sequences),
        }
    }

    /// A training step that runs its micro-batches one after another.
    pub fn step(&self, shape: StepShape) -> StepMemory {
        StepMemory { activations: self.activations(shape), ..self.standing() }
    }

    /// A step but for its activations.
    fn standing(&self) -> StepMemory {
        let (weights, context, trained) = (self.weights(), self.context(), 5 * self.adapter());
        StepMemory { weights, context, trained, activations: 0 }
    }

    fn activations(&self, shape: StepShape) -> u64 {
        let passes = match self.kernels {
            Kernels::Cpu => cpu::training(&self.sizes, shape),
            Kernels::Fused => fused::training(&self.sizes, shape),
            Kernels::Composed => composed::training(&self.sizes, shape),
        };
        passes.max(3 * self.adapter())
    }

    /// The largest micro-batch, in packed tokens, whose step takes no more than `limit` bytes.
    pub fn tokens_within(&self, limit: u64, recompute: bool) -> usize {
        let of = |tokens| StepShape { tokens, response_tokens: tokens, recompute };
        let left = limit.saturating_sub(self.standing().total());
        let (mut fits, mut exceeds) = (0, MOST_TOKENS);
        while fits + 1 < exceeds {
            let middle = fits.midpoint(exceeds);
            if self.activations(of(middle)) <= left { fits = middle } else { exceeds = middle }
        }
        fits
    }
}

#[cfg(test)]
mod tests;
