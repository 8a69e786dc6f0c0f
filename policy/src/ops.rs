//! The differentiable operations the model is made of.
//!
//! candle's own fused kernels (`softmax_last_dim`, `rms_norm`, `rope`) have no backward and drop gradients silently, and
//! its plain operations are slow on a CPU. Each operation here runs as one fused kernel, forward and backward, for
//! contiguous f32 tensors on a CPU, and as a composition of candle's differentiable operations on any other device.
//! Activations are f32 and packed: `[tokens, ...]`, without a batch dimension and without padding. Weight matrices may be
//! stored as f32, bf16 or f16.

mod attach;
mod attention;
#[cfg(feature = "blas")]
mod blas;
#[cfg(feature = "flash-attn")]
mod flash;
pub(crate) mod kernel;
mod linear;
mod log_probs;
mod norm;
mod rope;
pub(crate) mod rows;
mod swiglu;
mod weight;

pub use attention::{Segment, attention, cached_attention};
pub use kernel::{copy_rows, serially};
pub use linear::{LoraPair, linear, lora_linear};
pub use log_probs::{HEAD_ROWS, LogProbs, log_probs};
pub use norm::rms_norm;
pub use rope::{Rotation, rope};
pub use swiglu::swiglu;

#[cfg(test)]
mod tests;
