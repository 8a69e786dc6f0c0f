//! The differentiable operations that the policy is made of, and the steps of the reward models' encoders.
//!
//! candle's own fused kernels (`softmax_last_dim`, `rms_norm`, `rope`) have no backward and drop gradients silently, and
//! its plain operations are slow on a CPU. Each operation here runs as one fused kernel, forward and backward, for
//! contiguous f32 tensors on a CPU, and as a composition of candle's differentiable operations on any other device. On an
//! NVIDIA GPU with bf16 weights a decoder layer, attention, the vocabulary and AdamW have kernels of their own (`cuda`).
//! Activations are f32 and packed: `[tokens, ...]`, without a batch dimension and without padding. Weight matrices may be
//! stored as f32, bf16 or f16. Module [`encoder`] is for inference only.
//!
//! This is the only crate of the workspace with unsafe code: writes into parts of a matrix (`views`, on which everything
//! that runs in parallel is built), calls of matrix products (`product`) and of CUDA (`cuda`). The views' tests run under Miri:
//! `cargo +nightly miri test -p addendum-kernels views`.

#![deny(unsafe_op_in_unsafe_fn)]
#![warn(clippy::undocumented_unsafe_blocks)]

mod attach;
mod attention;
mod cache;
#[cfg(feature = "cuda")]
pub mod cuda;
mod device;
pub mod encoder;
mod layer;
mod linear;
mod log_probs;
mod lora;
mod norm;
mod product;
mod rope;
mod storage;
mod swiglu;
mod threads;
pub mod vector;
mod views;
mod weight;

pub use attach::pull;
pub use attention::{Segment, attention};
pub use cache::copy_rows;
pub use device::{copy_to, release_unused};
pub use layer::{BACKWARD_BLOCK, Cached, DecoderLayer, Fused};
pub use linear::linear;
pub use log_probs::{LogProbs, head_rows, log_probs};
pub use lora::{LoraFactors, LoraPair, Updates};
pub use norm::rms_norm;
pub use product::FEW;
pub use rope::{Rotation, rope};
pub use swiglu::swiglu;
pub use threads::{serially, threads};

#[cfg(test)]
mod tests;
