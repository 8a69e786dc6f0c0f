//! On a GPU with weights of another type than bf16, by candle's operations: an option in f32 for parity, not for long
//! prompts. All scores of a layer exist as `[heads, T, K]` matrices, six times over while they can be differentiated.

use super::{
    cpu,
    shape::{F32, StepShape},
    sizes::Sizes,
};

/// Scores, their scaled and masked forms, exponentials, weights, and one more for a gradient.
const SCORES: u64 = 6;
/// Of these, those that exist without a backward pass.
const FORWARD_SCORES: u64 = 3;

pub fn training(s: &Sizes, shape: StepShape) -> u64 {
    let (tokens, x) = (shape.tokens as u64, s.hidden * F32);
    let layer = tokens * per_token(s) + SCORES * s.heads * tokens * tokens * F32;
    // The last one stands for gradients.
    let layers = if shape.recompute { s.layers * tokens * x + 2 * layer } else { (s.layers + 1) * layer };
    layers + 6 * tokens * x + 5 * cpu::head(s, shape.response_tokens)
}

/// Sampling besides the cache: chunks of a prompt, each of which sees all of it.
pub fn sampling(s: &Sizes, [chunk, prompt]: [usize; 2], sequences: usize) -> u64 {
    let scores = FORWARD_SCORES * s.heads * (chunk * prompt) as u64 * F32;
    chunk as u64 * per_token(s) + scores + cpu::logits(s, sequences, 1)
}

/// What a layer makes of a token: its input, both norms in steps, and the stream; queries, keys and values as one, apart,
/// rotated, and keys and values for every head; gate and up as one and apart, and what becomes of them.
fn per_token(s: &Sizes) -> u64 {
    (9 * s.hidden + 8 * s.q + 6 * s.kv + 8 * s.wide) * F32
}
