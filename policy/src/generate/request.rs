//! What is asked of a batch, and what it answers.

use std::sync::Arc;

use crate::{Adapter, Result, pack::EncodedPrompt};

/// One prompt and the random streams of the samples to draw from it.
#[derive(Clone, Debug)]
pub struct GenerateRequest {
    /// Shared by all of its samples.
    pub prompt: Arc<EncodedPrompt>,
    /// Of each sample, in the order of the answer; a sample depends on its own seed only.
    pub seeds: Vec<u64>,
}

/// A sampled response.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Ends with an end token unless `truncated`.
    pub tokens: Vec<u32>,
    /// Of each token, in the unfiltered distribution at the sampling temperature.
    pub logprobs: Vec<f32>,
    /// The version that each token was drawn with, as [`Newest`] told; 0 from [`generate`](super::generate).
    pub versions: Vec<u64>,
    /// The length limit came before the end token.
    pub truncated: bool,
}

/// An adapter, and which version of the policy it makes.
#[derive(Clone, Debug)]
pub struct Versioned {
    /// Goes into [`Sample::versions`].
    pub version: u64,
    /// `None` is the frozen base.
    pub adapter: Option<Arc<Adapter>>,
}

/// Answers with the adapter to draw the next token with. Asked for each request under way, once per step.
pub type Newest<'a> = dyn Fn() -> Result<Versioned> + Sync + 'a;
