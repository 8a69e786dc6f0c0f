//! Sampling reports: a prompt is prefilled once however many samples are drawn from it, then all samples advance one
//! token at a time over one cache, and leave the batch when they end.
//!
//! On a CPU a sample depends on its prompt and its seed alone, bit for bit: prompts are prefilled one by one, and a row
//! of a decoding step rounds the same way whatever is beside it and however many threads there are. Only `FEW` or more
//! samples of one prompt in one call round in another way than fewer.
//!
//! With [`generate_swapping`] the adapter may change between two tokens. What the cache holds of the tokens before stays
//! as the older adapter left it, as in PipelineRL (arXiv 2509.19128), and nothing is prefilled again, so a token after a swap is drawn from a mixture: the newer weights
//! over keys and values of the older ones. Its log-probability is that of the mixture, which is what sampled it, and
//! not exactly that of either version alone.

use std::{ops::Range, sync::Arc};

use addendum_kernels::{FEW, Segment, serially, threads};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::{
    Adapter, Result,
    model::{KvCache, Language, Rows},
    pack::{EncodedPrompt, Packed},
    sampling::{Drawn, TokenSampler},
};

/// Weights up to this many bytes stay in a processor's cache, so that every thread may read them all for a few samples
/// of its own. Larger ones are read once per token, by all threads together, for as many samples as possible.
const CACHED_WEIGHTS: usize = 64 << 20;

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
    /// The version that each token was drawn with, as [`generate_swapping`] was told; 0 where no version was.
    pub versions: Vec<u64>,
    /// The length limit came before the end token.
    pub truncated: bool,
}

/// An adapter, and which version of the policy it makes.
#[derive(Clone, Debug)]
pub struct Versioned {
    pub version: u64,
    pub adapter: Option<Arc<Adapter>>,
}

/// Answers with the adapter to draw the next token with. Asked once before the prompts and once per decoding step, from
/// several threads if the requests are decoded in several batches.
pub type Newest<'a> = dyn Fn() -> Result<Versioned> + Sync + 'a;

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
    let job = Job { language, newest, sampler, end_tokens };
    let samples: usize = requests.iter().map(|r| r.seeds.len()).sum();
    let apart = language.device().is_cpu() && language.bytes() <= CACHED_WEIGHTS;
    let most = match language.device().is_cpu() {
        true if apart => samples.div_ceil(threads()).min(FEW - 1),
        true => FEW - 1,
        false => usize::MAX,
    };
    let batches = batches(requests, most);
    let results: Vec<_> = if apart && batches.len() > 1 && threads() > 1 {
        batches.into_par_iter().map(|batch| serially(|| job.run(batch))).collect::<Result<_>>()?
    } else {
        batches.into_iter().map(|batch| job.run(batch)).collect::<Result<_>>()?
    };
    Ok(results.concat())
}

/// Runs of requests with at most `most` samples together; a request is never split.
fn batches(requests: &[GenerateRequest], most: usize) -> Vec<&[GenerateRequest]> {
    let mut samples = requests.first().map_or(0, |r| r.seeds.len());
    let together = |_: &GenerateRequest, next: &GenerateRequest| {
        let fits = samples + next.seeds.len() <= most;
        samples = if fits { samples + next.seeds.len() } else { next.seeds.len() };
        fits
    };
    requests.chunk_by(together).collect()
}

/// What all batches have in common.
#[derive(Clone, Copy)]
struct Job<'a> {
    language: &'a Language,
    newest: &'a Newest<'a>,
    sampler: &'a TokenSampler,
    end_tokens: &'a [u32],
}

/// A sample that goes on.
struct Row<'a> {
    /// (request, sample)
    owner: (usize, usize),
    /// The prompt's tokens and cache rows.
    ids: &'a [u32],
    prompt: Range<usize>,
    /// First cache row of the response.
    start: usize,
    next_position: u32,
    rng: ChaCha8Rng,
    sample: Sample,
}

impl Job<'_> {
    /// The samples of some requests, which advance together.
    fn run(&self, requests: &[GenerateRequest]) -> Result<Vec<Vec<Sample>>> {
        let mut results: Vec<Vec<Sample>> = requests.iter().map(|_| vec![]).collect();
        let longest = self.sampler.config().max_new_tokens;
        let samples: usize = requests.iter().map(|r| r.seeds.len()).sum();
        if samples == 0 {
            return Ok(results);
        }
        let prompt_tokens: usize = requests.iter().map(|r| r.prompt.tokens.ids.len()).sum();
        let cache = self.language.cache(prompt_tokens + samples * longest)?;
        let vocab = self.language.head().dim(1)?;
        let mut rows: Vec<Row> = Vec::with_capacity(samples);
        let mut logits = Vec::with_capacity(samples * vocab);
        let mut filled = 0;
        let mut policy = (self.newest)()?;
        for (i, request) in requests.iter().enumerate().filter(|(_, r)| !r.seeds.is_empty()) {
            let tokens = &request.prompt.tokens;
            let prompt = filled..filled + tokens.ids.len();
            filled = prompt.end;
            let first = self.prefill(&request.prompt, policy.adapter.as_deref(), &cache, prompt.clone())?;
            for (j, &seed) in request.seeds.iter().enumerate() {
                logits.extend_from_slice(&first);
                rows.push(Row {
                    owner: (i, j),
                    ids: &tokens.ids,
                    prompt: prompt.clone(),
                    start: prompt_tokens + rows.len() * longest,
                    next_position: tokens.next_position,
                    rng: ChaCha8Rng::seed_from_u64(seed),
                    sample: Sample { tokens: vec![], logprobs: vec![], versions: vec![], truncated: true },
                });
            }
        }
        let mut finished: Vec<Row> = Vec::with_capacity(samples);
        loop {
            self.draw(&mut rows, policy.version, &logits)?;
            let over = |row: &mut Row| !row.sample.truncated || row.sample.tokens.len() == longest;
            finished.extend(rows.extract_if(.., over));
            if rows.is_empty() {
                break;
            }
            policy = (self.newest)()?;
            logits = self.advance(&rows, policy.adapter.as_deref(), &cache)?;
        }
        finished.sort_unstable_by_key(|row| row.owner);
        finished.into_iter().for_each(|row| results[row.owner.0].push(row.sample));
        Ok(results)
    }

    /// Puts a prompt into rows of the cache; returns the logits of the first token after it.
    fn prefill(
        &self,
        prompt: &EncodedPrompt,
        adapter: Option<&Adapter>,
        cache: &KvCache,
        rows: Range<usize>,
    ) -> Result<Vec<f32>> {
        let tokens = rows.len();
        let mut packed = Packed::new([(prompt, vec![])]);
        packed.segments = Arc::new([Segment { query: 0..tokens, before: vec![], own: rows.clone(), causal: true }]);
        let rows: Vec<usize> = rows.collect();
        let hidden = packed.hidden_cached(self.language, adapter, cache, &rows)?;
        Ok(self.language.logits(&hidden.narrow(0, tokens - 1, 1)?)?.flatten_all()?.to_vec1()?)
    }

    /// One token for every row.
    fn draw(&self, rows: &mut [Row], version: u64, logits: &[f32]) -> Result<()> {
        let vocab = logits.len() / rows.len();
        let draw = |(row, logits): (&mut Row, &[f32])| -> Result<()> {
            let history = match self.sampler.config().repetition_penalty {
                1.0 => vec![],
                _ => [row.ids, &row.sample.tokens].concat(),
            };
            let Drawn { token, logprob } = self.sampler.draw(logits, &history, &mut row.rng)?;
            row.sample.tokens.push(token);
            row.sample.logprobs.push(logprob);
            row.sample.versions.push(version);
            row.sample.truncated = !self.end_tokens.contains(&token);
            Ok(())
        };
        if threads() > 1 {
            rows.par_iter_mut().zip(logits.par_chunks_exact(vocab)).try_for_each(draw)
        } else {
            rows.iter_mut().zip(logits.chunks_exact(vocab)).try_for_each(draw)
        }
    }

    /// Feeds each row's last token; returns the logits of its next one, row by row.
    fn advance(&self, rows: &[Row], adapter: Option<&Adapter>, cache: &KvCache) -> Result<Vec<f32>> {
        let last = |row: &Row| row.sample.tokens.len() - 1;
        let ids: Vec<u32> = rows.iter().map(|row| row.sample.tokens[last(row)]).collect();
        let positions: Vec<_> = rows.iter().map(|row| [row.next_position + last(row) as u32; 3]).collect();
        let at: Vec<usize> = rows.iter().map(|row| row.start + last(row)).collect();
        let segment = |(i, row): (usize, &Row)| Segment {
            query: i..i + 1,
            before: vec![row.prompt.clone()],
            own: row.start..at[i] + 1,
            causal: true,
        };
        let segments: Arc<[Segment]> = rows.iter().enumerate().map(segment).collect();
        let x = self.language.embed(&ids, None)?;
        let hidden = self.language.forward(&x, &positions, &segments, adapter, Rows::Cached(cache, &at))?;
        Ok(self.language.logits(&hidden)?.flatten_all()?.to_vec1()?)
    }
}
