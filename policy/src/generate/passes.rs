//! What a step computes: a chunk of a prompt, or the next token of some rows.

use std::{ops::Range, sync::Arc};

use addendum_kernels::{Segment, threads};
use candle_core::Tensor;
use rayon::prelude::*;

use super::group::{Group, Row, Seat, Shared};
use crate::{
    Error, Result,
    model::{KvCache, Language, Rows},
    pack::EncodedPrompt,
    positions::Position,
    sampling::{Drawn, TokenSampler},
};

#[derive(Clone, Copy)]
pub struct Passes<'a> {
    pub language: &'a Language,
    pub cache: &'a KvCache,
    pub sampler: &'a TokenSampler,
    pub end_tokens: &'a [u32],
    /// Tokens of a prompt that are put into the cache together.
    pub chunk: usize,
}

impl Passes<'_> {
    /// Puts the next chunk of a prompt into the cache. Chunks are counted from the prompt's start, so that roundings
    /// depend on nothing else.
    pub fn prefill(&self, group: &mut Group) {
        let tokens = group.shared.at.len();
        let chunk = group.prefilled..(group.prefilled + self.chunk).min(tokens);
        group.prefilled = chunk.end;
        match self.chunk(&group.shared, chunk.clone()) {
            Ok(hidden) if chunk.end == tokens => match self.logits(&hidden, chunk.len() - 1) {
                Ok(logits) => group.first = Some((logits, group.shared.policy.version)),
                Err(error) => group.error = Some(error),
            },
            Ok(_) => {}
            Err(error) => group.error = Some(error),
        }
    }

    /// Final hidden states of some tokens of a prompt.
    fn chunk(&self, shared: &Shared, chunk: Range<usize>) -> Result<Tensor> {
        let (tokens, first) = (&shared.prompt.tokens, shared.at.start);
        let at: Vec<usize> = chunk.clone().map(|token| first + token).collect();
        let own = first..first + chunk.end;
        let segments = Arc::new([Segment { query: 0..chunk.len(), before: vec![], own, causal: true }]);
        let positions = &tokens.positions[chunk.clone()];
        let x = embed(self.language, &shared.prompt, chunk)?;
        let adapter = shared.policy.adapter.as_deref();
        self.language.forward(&x, positions, &(segments as Arc<[Segment]>), adapter, Rows::Cached(self.cache, &at))
    }

    fn logits(&self, hidden: &Tensor, token: usize) -> Result<Vec<f32>> {
        Ok(self.language.logits(&hidden.narrow(0, token, 1)?)?.flatten_all()?.to_vec1()?)
    }

    /// The first token of every sample that can begin.
    pub fn begin(&self, group: &mut Group) {
        let Some((logits, version)) = group.first.take() else { return };
        each(group.begin(), |(shared, row)| self.draw(shared, row, &logits, version));
        if group.has_to_begin() {
            group.first = Some((logits, version));
        }
    }

    /// The next token of samples with the same adapter.
    pub fn advance(&self, seats: &mut [Seat]) {
        if let Err(error) = self.next(seats) {
            let text = error.to_string();
            let copy = || Error::Tensor(candle_core::Error::Msg(text.clone()));
            seats.iter_mut().for_each(|(_, row)| row.error = Some(copy()));
        }
    }

    /// Feeds each row's last token, and draws its next one.
    fn next(&self, seats: &mut [Seat]) -> Result<()> {
        let Some((first, _)) = seats.first() else { return Ok(()) };
        let adapter = first.policy.adapter.clone();
        let last = Last::of(seats);
        #[cfg(feature = "cuda")]
        if self.language.device().is_cuda() && self.next_on_a_gpu(seats, &last, adapter.as_deref())? {
            return Ok(());
        }
        let Last { ids, positions, at, segments } = last;
        let (x, rows) = (self.language.embed(&ids, None)?, Rows::Cached(self.cache, &at));
        let hidden = self.language.forward(&x, &positions, &segments, adapter.as_deref(), rows)?;
        let logits = self.language.logits(&hidden)?.flatten_all()?.to_vec1()?;
        let vocab = logits.len() / seats.len();
        let rows = seats.iter_mut().zip(logits.chunks_exact(vocab));
        each(rows, |((shared, row), logits)| self.draw(shared, row, logits, shared.policy.version));
        Ok(())
    }

    /// The same where only the tokens leave the GPU; `false` where it has no kernels for it.
    #[cfg(feature = "cuda")]
    fn next_on_a_gpu(&self, seats: &mut [Seat], last: &Last, adapter: Option<&crate::Adapter>) -> Result<bool> {
        let histories: Vec<Vec<u32>> = seats.iter().map(|(shared, row)| distinct(self.history(shared, row))).collect();
        let before: Vec<_> = seats.iter().map(|(_, row)| row.rng.clone()).collect();
        let uniforms = self.sampler.uniforms(seats.iter_mut().map(|(_, row)| &mut row.rng));
        let how = self.sampler.on_a_gpu(&uniforms, &histories);
        let cache = (self.cache, last.at.as_slice());
        let drawn = self.language.decode(&last.ids, &last.positions, &last.segments, adapter, cache, &how)?;
        let Some(drawn) = drawn else {
            seats.iter_mut().zip(before).for_each(|((_, row), rng)| row.rng = rng);
            return Ok(false);
        };
        for ((shared, row), drawn) in seats.iter_mut().zip(drawn) {
            let reason = "a logit is NaN or plus infinity, or no token is left to draw";
            let drawn = drawn.map(|(token, logprob)| Drawn { token, logprob });
            self.take(row, drawn.ok_or_else(|| Error::invalid("logits", reason)), shared.policy.version);
        }
        Ok(true)
    }

    /// One more token for a row.
    pub fn draw(&self, shared: &Shared, row: &mut Row, logits: &[f32], version: u64) {
        let drawn = self.sampler.draw(logits, &self.history(shared, row), &mut row.rng);
        self.take(row, drawn, version);
    }

    /// The ids so far, where the penalty needs them.
    fn history(&self, shared: &Shared, row: &Row) -> Vec<u32> {
        match self.sampler.config().repetition_penalty {
            1.0 => vec![],
            _ => [&*shared.prompt.tokens.ids, &*row.sample.tokens].concat(),
        }
    }

    fn take(&self, row: &mut Row, drawn: Result<Drawn>, version: u64) {
        match drawn {
            Ok(Drawn { token, logprob }) => {
                let sample = &mut row.sample;
                sample.tokens.push(token);
                sample.logprobs.push(logprob);
                sample.versions.push(version);
                sample.truncated = !self.end_tokens.contains(&token);
                row.over = !sample.truncated || sample.tokens.len() == self.sampler.config().max_new_tokens;
            }
            Err(error) => row.error = Some(error),
        }
    }
}

/// The last tokens of samples, and which cache rows each sees.
struct Last {
    ids: Vec<u32>,
    positions: Vec<Position>,
    at: Vec<usize>,
    segments: Arc<[Segment]>,
}

impl Last {
    fn of(seats: &[Seat]) -> Self {
        let last = |row: &Row| row.sample.tokens.len() - 1;
        let ids = seats.iter().map(|(_, row)| row.sample.tokens[last(row)]).collect();
        let position = |(shared, row): &Seat| [shared.prompt.tokens.next_position + last(row) as u32; 3];
        let positions = seats.iter().map(position).collect();
        let at: Vec<usize> = seats.iter().map(|(_, row)| row.at.start + last(row)).collect();
        let segment = |(i, (shared, row)): (usize, &Seat)| Segment {
            query: i..i + 1,
            before: vec![shared.at.clone()],
            own: row.at.start..at[i] + 1,
            causal: true,
        };
        let segments = seats.iter().enumerate().map(segment).collect();
        Self { ids, positions, at, segments }
    }
}

/// Every id once.
#[cfg(feature = "cuda")]
fn distinct(mut ids: Vec<u32>) -> Vec<u32> {
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Calls `f` with every item, on all threads that a kernel would use.
fn each<T: Send>(items: impl IntoIterator<Item = T>, f: impl Fn(T) + Send + Sync) {
    if threads() > 1 {
        items.into_iter().collect::<Vec<_>>().into_par_iter().for_each(f);
    } else {
        items.into_iter().for_each(f);
    }
}

/// Some tokens of a prompt as the first layer sees them.
fn embed(language: &Language, prompt: &EncodedPrompt, chunk: Range<usize>) -> Result<Tensor> {
    let (ids, image_at) = (&prompt.tokens.ids[chunk.clone()], &prompt.tokens.image_at);
    let Some(features) = &prompt.features else { return language.embed(ids, None) };
    let before = |token: usize| image_at.partition_point(|&at| at < token);
    let (first, last) = (before(chunk.start), before(chunk.end));
    let at: Vec<usize> = image_at[first..last].iter().map(|at| at - chunk.start).collect();
    language.embed(ids, Some((&features.narrow(0, first, last - first)?, &at)))
}
