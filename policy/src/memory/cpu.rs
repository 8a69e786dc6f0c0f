//! On a CPU: everything but the weights is f32.

use addendum_kernels::{BACKWARD_BLOCK, head_rows};

use super::{
    shape::{F32, StepShape},
    sizes::Sizes,
};

pub fn training(s: &Sizes, shape: StepShape) -> u64 {
    let (tokens, head) = (shape.tokens as u64, head(s, shape.response_tokens));
    let scratch = tokens.min(BACKWARD_BLOCK as u64) * scratch_per_token(s);
    let backward = tokens * layer_backward(s) + scratch;
    if shape.recompute {
        // The head is through before a layer is computed again.
        return s.layers * tokens * s.hidden * F32 + head.max(tokens * layer(s) + backward);
    }
    s.layers * tokens * layer(s) + backward + head
}

/// A token's activations when nothing is kept.
pub fn forward_per_token(s: &Sizes) -> u64 {
    (3 * s.hidden + 3 * s.wide) * F32
}

/// Logits of a decoding step, and of prompts whose samples are to begin.
pub fn logits(s: &Sizes, sequences: usize, prompts: usize) -> u64 {
    (sequences * 2 + prompts) as u64 * s.vocab * F32
}

/// What one layer keeps of a token for its backward pass.
fn layer(s: &Sizes) -> u64 {
    // Hidden states before the layer and between attention and MLP; queries and what they attend to; keys and values;
    // gate and up.
    (2 * s.hidden + 2 * s.q + 2 * s.kv + 2 * s.wide) * F32
}

/// Gradients of a token that exist together: of the layer's output and of its stream, of what queries attend to, and
/// of queries, keys and values.
fn layer_backward(s: &Sizes) -> u64 {
    (2 * s.hidden + 2 * s.q + 2 * s.kv) * F32
}

/// What a layer's backward pass computes with, for each token of its block.
fn scratch_per_token(s: &Sizes) -> u64 {
    (3 * s.hidden + 4 * s.wide) * F32
}

/// The head: logits of a chunk of rows, and hidden states of the rows with their gradients.
pub fn head(s: &Sizes, rows: usize) -> u64 {
    let logits = rows.min(head_rows(s.vocab as usize)) as u64 * s.vocab * F32;
    logits + rows as u64 * 4 * s.hidden * F32
}
