//! On a GPU with bf16 weights: what the CUDA kernels keep, and their scratch memory, of which a GPU has one that is as
//! large as the largest call. Keys, values and what enters products are bf16; the stream of hidden states is f32.

use super::{
    shape::{BF16, F32, StepShape},
    sizes::Sizes,
};

/// Rows behind a matrix for each of the modules that it is made of, as many as the largest rank.
pub const ROOM: u64 = 64;
/// Columns of A^T come in steps of this many.
pub const STEP: u64 = 8;
/// Rows whose logits exist at the same time in training.
pub const HEAD_ROWS: usize = 1024;
/// Parts that the gradients of keys and values are summed from.
pub const SPLITS: u64 = 8;

/// A product of a layer, as numbers of values.
struct Product {
    modules: u64,
    inputs: u64,
    outputs: u64,
    /// Columns of x A^T beside its input.
    low: u64,
}

fn products(s: &Sizes) -> [Product; 4] {
    let [qkv, o, gate_up, down] = s.ranks.map(|ranks| ranks.next_multiple_of(STEP));
    [
        Product { modules: 3, inputs: s.hidden, outputs: s.q + 2 * s.kv, low: qkv },
        Product { modules: 1, inputs: s.q, outputs: s.hidden, low: o },
        Product { modules: 2, inputs: s.hidden, outputs: 2 * s.wide, low: gate_up },
        Product { modules: 1, inputs: s.wide, outputs: s.hidden, low: down },
    ]
}

/// Whether the kernels take heads of this size.
pub fn applies(head_dim: usize) -> bool {
    head_dim.is_multiple_of(16) && head_dim <= 128
}

/// Factors beside the weights: rows for B^T behind every matrix, and A^T.
pub fn beside_weights(s: &Sizes) -> u64 {
    let each = |p: &Product| ROOM * p.modules * p.outputs + p.inputs * p.low;
    s.layers * products(s).iter().map(each).sum::<u64>() * BF16
}

pub fn training(s: &Sizes, shape: StepShape) -> u64 {
    let (tokens, rows) = (shape.tokens as u64, shape.response_tokens as u64);
    let (x, kept) = (s.hidden * F32, kept(s));
    let layers = if shape.recompute { s.layers * x + kept } else { s.layers * (x + kept) };
    // The last layer's output, what the last norm keeps, and the gradient of x before a layer and behind it.
    let per_token = layers + 6 * x;
    // Hidden states that predict a token and their gradient; its log-probability, logsumexp and entropy.
    let per_row = 2 * x + 4 * F32;
    let logits = shape.response_tokens.min(HEAD_ROWS) as u64 * (s.hidden * BF16 + s.vocab * (F32 + BF16));
    let scratch = (tokens * forward(s).max(backward(s))).max(logits);
    tokens * per_token + rows * per_row + scratch
}

/// Sampling besides the cache: prompts of which a chunk is read at a time, and samples that advance together.
pub fn sampling(s: &Sizes, chunk: usize, sequences: usize) -> u64 {
    let reading = chunk as u64 * forward(s);
    let advancing = sequences as u64 * (forward(s) + s.hidden * (F32 + BF16) + s.vocab * F32);
    // A chunk before a layer and behind it, and what the last norm computes with.
    reading.max(advancing) + chunk as u64 * 5 * s.hidden * F32
}

/// What a layer keeps of a token besides its input: the stream between attention and MLP; queries, keys and values; what
/// was attended to, with x A^T beside it; a logsumexp per head; gate and up.
fn kept(s: &Sizes) -> u64 {
    let [_, o, ..] = products(s);
    (s.hidden + s.heads) * F32 + (s.q + 2 * s.kv + s.q + o.low + 2 * s.wide) * BF16
}

/// Scratch memory of a token in a layer's forward pass that keeps nothing: the input of every product with x A^T beside
/// it, and the outputs of two.
fn forward(s: &Sizes) -> u64 {
    let inputs: u64 = products(s).iter().map(|p| p.inputs + p.low).sum();
    (inputs + s.q + 2 * s.kv + 2 * s.wide) * BF16
}

/// Scratch memory of a token in a layer's backward pass.
fn backward(s: &Sizes) -> u64 {
    let [qkv, o, gate_up, down] = products(s).map(|p| p.inputs + p.low);
    // The output's gradient rounded; the input of every product with its gradient, but of attention's output the gradient
    // alone; the gradients of gate and up, and of queries, keys and values.
    let half = s.hidden + 2 * (down + gate_up + qkv) + o + 2 * s.wide + s.q + 2 * s.kv;
    // The stream's gradient between attention and MLP; the sums of attention's output with its gradient; the gradients of
    // keys and values in parts.
    let single = s.hidden + s.heads + 2 * SPLITS * s.kv;
    half * BF16 + single * F32
}
