//! What a model needs of a device's memory, computed from its shape before anything is allocated.
//!
//! Counted are the tensors that exist at the same time at the peak, in bytes; the allocator and the program itself are
//! not. Activations are f32, and so are the adapter and the optimiser; weight matrices have the model's type.

use addendum_kernels::{BACKWARD_BLOCK, head_rows};
use candle_core::DType;
use serde::Serialize;

use crate::{
    Config, LoraConfig,
    generate::BatchConfig,
    weights::{shapes, weight_dtype},
};

const F32: u64 = 4;

/// The memory of one model with one adapter.
#[derive(Clone, Debug)]
pub struct Memory {
    config: Config,
    dtype: DType,
    lora: LoraConfig,
}

/// A training step on one device.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StepShape {
    /// Packed tokens of the largest micro-batch: prompts once, and every response.
    pub tokens: usize,
    /// Response tokens among them.
    pub response_tokens: usize,
    /// Layers are computed again in the backward pass.
    pub recompute: bool,
}

/// Bytes of a training step at its peak, by what holds them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct StepMemory {
    pub weights: u64,
    /// Adapter, gradients and AdamW's moments, before and after the update.
    pub trained: u64,
    pub activations: u64,
}

impl StepMemory {
    pub fn total(&self) -> u64 {
        self.weights + self.trained + self.activations
    }
}

impl Memory {
    pub fn new(config: &Config, dtype: DType, lora: &LoraConfig) -> Self {
        Self { config: config.clone(), dtype, lora: lora.clone() }
    }

    /// The frozen weights, vision tower included.
    pub fn weights(&self) -> u64 {
        let bytes = |(name, shape): (&String, &Vec<usize>)| {
            shape.iter().map(|&n| n as u64).product::<u64>() * weight_dtype(name, self.dtype).size_in_bytes() as u64
        };
        shapes(&self.config).iter().map(bytes).sum()
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
        let t = &self.config.text;
        (2 * t.layers * tokens * t.kv_heads * t.head_dim()) as u64 * F32
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
        let t = &self.config.text;
        let logits = (samples * t.vocab_size) as u64 * 2 * F32;
        let cache = self.cache(prompt_tokens + samples * new_tokens);
        self.weights() + self.adapter() + cache + logits + prompt_tokens as u64 * self.forward_per_token()
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
        let logits = (sequences * 2 + prompts) as u64 * self.config.text.vocab_size as u64 * F32;
        let prefill = config.prefill_tokens.min(prompt_tokens) as u64 * self.forward_per_token();
        self.weights() + self.adapter() + cache + logits + prefill
    }

    /// A training step that runs its micro-batches one after another.
    pub fn step(&self, shape: StepShape) -> StepMemory {
        let activations = shape.tokens as u64 * self.per_token(shape.recompute);
        let scratch = shape.tokens.min(BACKWARD_BLOCK) as u64 * self.scratch_per_token();
        let activations = activations + scratch + self.head(shape.response_tokens);
        StepMemory { weights: self.weights(), trained: 8 * self.adapter(), activations }
    }

    /// The largest micro-batch, in packed tokens, whose step takes no more than `limit` bytes.
    pub fn tokens_within(&self, limit: u64, recompute: bool) -> usize {
        let fixed = self.step(StepShape { tokens: 0, response_tokens: 0, recompute }).total();
        let (left, per_token) = (limit.saturating_sub(fixed), self.per_token(recompute) + self.head_per_token());
        let within_block = left / (per_token + self.scratch_per_token());
        if within_block <= BACKWARD_BLOCK as u64 {
            return within_block as usize;
        }
        ((left - BACKWARD_BLOCK as u64 * self.scratch_per_token()) / per_token) as usize
    }

    /// Activations of a token during a training step.
    fn per_token(&self, recompute: bool) -> u64 {
        let t = &self.config.text;
        let layers = t.layers as u64;
        let kept = if recompute { layers * t.hidden_size as u64 * F32 + self.layer() } else { layers * self.layer() };
        kept + self.layer_backward()
    }

    /// What one layer keeps of a token for its backward pass.
    fn layer(&self) -> u64 {
        let t = &self.config.text;
        let (q, kv) = (t.heads * t.head_dim(), t.kv_heads * t.head_dim());
        // Hidden states before the layer and between attention and MLP; queries and what they attend to; keys and values;
        // gate and up.
        (2 * t.hidden_size + 2 * q + 2 * kv + 2 * t.intermediate_size) as u64 * F32
    }

    /// Gradients of a token that exist together: of the layer's output and of its stream, of what queries attend to, and
    /// of queries, keys and values.
    fn layer_backward(&self) -> u64 {
        let t = &self.config.text;
        let (q, kv) = (t.heads * t.head_dim(), t.kv_heads * t.head_dim());
        (2 * t.hidden_size + 2 * q + 2 * kv) as u64 * F32
    }

    /// What a layer's backward pass computes with, for each token of its block.
    fn scratch_per_token(&self) -> u64 {
        let t = &self.config.text;
        (3 * t.hidden_size + 4 * t.intermediate_size) as u64 * F32
    }

    /// A token's activations when nothing is kept.
    fn forward_per_token(&self) -> u64 {
        let t = &self.config.text;
        (3 * t.hidden_size + 3 * t.intermediate_size) as u64 * F32
    }

    /// The head: logits of a chunk of rows, and hidden states of the rows with their gradients.
    fn head(&self, rows: usize) -> u64 {
        let vocab = self.config.text.vocab_size;
        let logits = (rows.min(head_rows(vocab)) * vocab) as u64 * F32;
        logits + rows as u64 * self.head_per_token()
    }

    fn head_per_token(&self) -> u64 {
        4 * self.config.text.hidden_size as u64 * F32
    }
}
