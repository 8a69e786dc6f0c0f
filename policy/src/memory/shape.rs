//! What a step is made of, and the bytes of a value.

use serde::Serialize;

pub const F32: u64 = 4;
pub const BF16: u64 = 2;

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
