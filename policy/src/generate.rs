//! Sampling reports: a prompt is put into the cache once however many samples are drawn from it, and samples of many
//! requests advance together, a token at a time, over one [`Batch`].
//!
//! On a CPU a sample depends on its prompt, its seed and its adapter alone, bit for bit: a chunk of a prompt is computed
//! by itself, and a row of a decoding step rounds the same way whatever is beside it and however many threads there are.
//!
//! The adapter may change between two tokens. What the cache holds of the tokens before stays as the older adapter left
//! it, as in PipelineRL (arXiv 2509.19128), and nothing is prefilled again, so a token after a swap is drawn from a
//! mixture: the newer weights over keys and values of the older ones. Its log-probability is that of the mixture, which
//! is what sampled it, and not exactly that of either version alone.

mod batch;
mod cut;
mod group;
mod passes;
mod request;
mod room;

use std::sync::Arc;

use crate::{Adapter, Result, model::Language, sampling::TokenSampler};
pub use batch::{Batch, BatchConfig, Ended, Load};
pub use request::{GenerateRequest, Newest, Sample, Versioned};

/// Draws the samples of every request, in order.
pub fn generate(
    language: &Language,
    adapter: Option<&Adapter>,
    requests: &[GenerateRequest],
    sampler: &TokenSampler,
    end_tokens: &[u32],
) -> Result<Vec<Vec<Sample>>> {
    let fixed = Versioned { version: 0, adapter: adapter.cloned().map(Arc::new) };
    generate_swapping(language, &|| Ok(fixed.clone()), requests, sampler, end_tokens)
}

/// As [`generate`], with the newest adapter that there is at each token; every token says which version drew it.
///
/// # Errors
/// As [`generate`], and those of `newest`.
pub fn generate_swapping(
    language: &Language,
    newest: &Newest,
    requests: &[GenerateRequest],
    sampler: &TokenSampler,
    end_tokens: &[u32],
) -> Result<Vec<Vec<Sample>>> {
    let mut batch = Batch::new(language.clone(), sampler.clone(), end_tokens, BatchConfig::busy(language))?;
    for (id, request) in (0..).zip(requests) {
        batch.admit(id, request.clone(), newest)?;
    }
    let mut results = vec![vec![]; requests.len()];
    while !batch.is_empty() {
        for (id, samples) in batch.step() {
            results[id as usize] = samples?;
        }
    }
    Ok(results)
}
