//! The operations on NVIDIA GPUs, in bf16 with sums in f32.
//!
//! Kernels are CUDA sources without headers, compiled by NVRTC when a GPU is first used; matrix products go to cuBLAS. Each
//! GPU has one stream, so what is launched first is done first, and one scratch memory, which a call holds while it
//! launches. Other weights than bf16 are computed by candle's operations.

mod attention;
mod decode;
mod draw;
mod gemm;
mod gpu;
mod graph;
mod head;
mod layer;
mod memory;
mod optim;
mod pass;
mod plan;
mod pointer;
mod resident;
mod scratch;

pub(crate) use attention::{applies as attention_applies, attention};
pub use decode::{Last, Stack, decode};
pub use draw::{Draw, Drawn};
pub use gpu::open;
pub(crate) use head::{log_probs, log_probs_apply};
pub(crate) use layer::{forward, forward_cached};
pub use memory::{Memory, memory, release_unused};
pub use optim::{AdamW, adamw, sums_of_squares};
pub use resident::Resident;
