//! Sampling reports: a prompt is prefilled once however many samples are drawn from it, then all samples advance one
//! token at a time over one cache, and leave the batch when they end.
//!
//! A sample depends on its seed and its prompt, and for rounding on which samples share its call; so a caller that
//! needs reproducible samples makes its calls the same way each time.

use std::{ops::Range, sync::Arc};

use candle_core::Tensor;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::{
    Adapter, Result,
    filter::TokenSampler,
    model::{KvCache, Language, Rows},
    ops::Segment,
    pack::{EncodedPrompt, Packed},
};

/// One prompt and the random streams of the samples to draw from it.
#[derive(Clone, Debug)]
pub struct GenerateRequest {
    pub prompt: Arc<EncodedPrompt>,
    pub seeds: Vec<u64>,
}

/// A sampled response.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Ends with an end token unless `truncated`.
    pub tokens: Vec<u32>,
    /// Of each token, in the unfiltered distribution at the sampling temperature.
    pub logprobs: Vec<f32>,
    /// The length limit came before the end token.
    pub truncated: bool,
}

struct Row {
    /// (request, sample)
    owner: (usize, usize),
    prompt: Range<usize>,
    /// First cache row of the response.
    start: usize,
    next_position: u32,
    rng: ChaCha8Rng,
}

/// Draws the samples of every request, in order.
pub fn generate(
    language: &Language,
    adapter: Option<&Adapter>,
    requests: &[GenerateRequest],
    sampler: &TokenSampler,
    end_tokens: &[u32],
) -> Result<Vec<Vec<Sample>>> {
    let longest = sampler.config().max_new_tokens;
    let prompts = Packed::new(requests.iter().map(|r| (&*r.prompt, vec![])));
    let prompt_tokens = prompts.ids.len();
    let samples: usize = requests.iter().map(|r| r.seeds.len()).sum();
    let mut results: Vec<Vec<Sample>> = requests
        .iter()
        .map(|r| vec![Sample { tokens: vec![], logprobs: vec![], truncated: true }; r.seeds.len()])
        .collect();
    if samples == 0 {
        return Ok(results);
    }

    let cache = language.cache(prompt_tokens + samples * longest)?;
    let rows: Vec<usize> = (0..prompt_tokens).collect();
    let hidden = prompts.hidden_cached(language, adapter, &cache, &rows)?;
    let ends: Vec<u32> = prompts.segments.iter().map(|s| s.query.end as u32 - 1).collect();
    let last = hidden.index_select(&Tensor::new(ends, hidden.device())?, 0)?;
    let first_logits = language.logits(&last)?.to_vec2::<f32>()?;

    let mut active = Vec::with_capacity(samples);
    for (i, (request, segment)) in requests.iter().zip(prompts.segments.iter()).enumerate() {
        for (j, &seed) in request.seeds.iter().enumerate() {
            active.push(Row {
                owner: (i, j),
                prompt: segment.query.clone(),
                start: prompt_tokens + active.len() * longest,
                next_position: request.prompt.tokens.next_position,
                rng: ChaCha8Rng::seed_from_u64(seed),
            });
        }
    }
    let mut logits: Vec<Vec<f32>> = active.iter().map(|row| first_logits[row.owner.0].clone()).collect();
    let penalised = sampler.config().repetition_penalty != 1.0;
    loop {
        let mut going = Vec::with_capacity(active.len());
        for (mut row, logits) in active.into_iter().zip(&logits) {
            let sample = &mut results[row.owner.0][row.owner.1];
            let history = if penalised {
                [requests[row.owner.0].prompt.tokens.ids.as_slice(), &sample.tokens].concat()
            } else {
                vec![]
            };
            let drawn = sampler.draw(logits, &history, &mut row.rng)?;
            sample.tokens.push(drawn.token);
            sample.logprobs.push(drawn.logprob);
            sample.truncated = !end_tokens.contains(&drawn.token);
            if sample.truncated && sample.tokens.len() < longest {
                going.push(row);
            }
        }
        active = going;
        if active.is_empty() {
            return Ok(results);
        }
        logits = advance(language, adapter, &active, &results, &cache)?;
    }
}

/// Feeds each row's last token; returns the logits of its next one.
fn advance(
    language: &Language,
    adapter: Option<&Adapter>,
    active: &[Row],
    results: &[Vec<Sample>],
    cache: &KvCache,
) -> Result<Vec<Vec<f32>>> {
    let tokens = |row: &Row| &results[row.owner.0][row.owner.1].tokens;
    let ids: Vec<u32> = active.iter().filter_map(|row| tokens(row).last().copied()).collect();
    let positions: Vec<_> = active.iter().map(|row| [row.next_position + tokens(row).len() as u32 - 1; 3]).collect();
    let rows: Vec<usize> = active.iter().map(|row| row.start + tokens(row).len() - 1).collect();
    let segments: Arc<[Segment]> = active
        .iter()
        .zip(&rows)
        .enumerate()
        .map(|(i, (row, &at))| Segment {
            query: i..i + 1,
            prefix: row.prompt.clone(),
            own: row.start..at + 1,
            causal: true,
        })
        .collect();
    let x = language.embed(&ids, None)?;
    let hidden = language.forward(&x, &positions, &segments, adapter, Rows::Cached(cache, &rows))?;
    Ok(language.logits(&hidden)?.to_vec2()?)
}
