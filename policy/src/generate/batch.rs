//! Continuous batching: requests join as soon as there is room, advance together, and leave when they end.

use std::{collections::VecDeque, ops::Range, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    cut::Cut,
    group::{Ask, Group, Seat},
    passes::Passes,
    request::{GenerateRequest, Sample, Versioned},
    room::{End, Room},
};
use crate::{
    Error, Result,
    model::{KvCache, Language},
    sampling::TokenSampler,
};

/// How much a sampler holds at a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BatchConfig {
    /// Reports that a sampler writes at the same time, those of several studies together, at least 1. On a CPU no
    /// report depends on it; on a GPU it decides which reports are computed together, and so how they are rounded.
    #[schemars(extend("x-resume" = "rounding"))]
    pub max_sequences: usize,
    /// Bytes of a sampler's cache of keys and values, at least those of the longest prompt and a report of full
    /// length; studies wait until they fit. Without it the cache grows to what the reports under way need. On a CPU
    /// no report depends on it; on a GPU roundings may.
    #[schemars(extend("x-resume" = "rounding"))]
    pub cache_bytes: Option<u64>,
    /// Tokens of a prompt that are computed between two tokens of the reports under way, at least 1; long prompts
    /// take several turns.
    #[schemars(extend("x-resume" = "rounding"))]
    pub prefill_tokens: usize,
}

impl Default for BatchConfig {
    fn default() -> Self {
        Self { max_sequences: 64, cache_bytes: None, prefill_tokens: 512 }
    }
}

impl BatchConfig {
    /// What keeps the device of this model busy where all requests are there from the start.
    pub fn busy(language: &Language) -> Self {
        let cut = Cut::of(language);
        Self { max_sequences: cut.enough(), prefill_tokens: cut.chunk(), ..Self::default() }
    }

    /// # Errors
    /// The first setting out of its range, with its value.
    pub fn validate(&self) -> Result<()> {
        let numbers = [("max_sequences", self.max_sequences), ("prefill_tokens", self.prefill_tokens)];
        match numbers.into_iter().find(|(_, value)| *value == 0) {
            Some((field, value)) => Err(Error::invalid(field, format!("{value} is not at least 1"))),
            None => Ok(()),
        }
    }
}

/// What a batch holds at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Samples with a place in the cache.
    pub sequences: usize,
    /// Requests that wait for a place.
    pub waiting: usize,
    /// Requests with a place whose prompt is not wholly in the cache.
    pub unread: usize,
    /// Rows of the cache, a token each, that are taken, and all that there are.
    pub rows: usize,
    /// Rows that there are.
    pub capacity: usize,
}

/// Requests under way over one cache.
///
/// Each sample has its own range of the cache's rows, and one for its prompt, which it shares with the others of its
/// request; they are written in place and read where they lie. A prompt is put into the cache once, in chunks, at most
/// one for all threads (or one for each, where they compute apart) between two tokens of the others.
pub struct Batch<'a> {
    language: Language,
    sampler: TokenSampler,
    end_tokens: Vec<u32>,
    config: BatchConfig,
    cut: Cut,
    cache: KvCache,
    room: Room,
    waiting: VecDeque<(u64, GenerateRequest, Ask<'a>)>,
    /// In the order in which they came.
    groups: Vec<Group<'a>>,
    /// What ended without anything to compute.
    ended: Vec<Ended>,
}

/// A request's name, and what became of it.
pub type Ended = (u64, Result<Vec<Sample>>);

impl<'a> Batch<'a> {
    /// # Errors
    /// A setting out of its range; a cache that the device does not hold.
    pub fn new(language: Language, sampler: TokenSampler, end_tokens: &[u32], config: BatchConfig) -> Result<Self> {
        config.validate()?;
        let rows = match config.cache_bytes {
            Some(bytes) => usize::try_from(bytes / language.cache_row_bytes()).unwrap_or(usize::MAX),
            // There is always room for a response.
            None => 0,
        }
        .max(sampler.config().max_new_tokens);
        let (cut, cache) = (Cut::of(&language), language.cache(rows)?);
        Ok(Self {
            language,
            sampler,
            end_tokens: end_tokens.to_vec(),
            config,
            cut,
            cache,
            room: Room::new(rows),
            waiting: VecDeque::new(),
            groups: Vec::new(),
            ended: Vec::new(),
        })
    }

    /// Takes a request, which joins the others as soon as there is room for its prompt and one sample. `newest` is
    /// asked for the policy to compute with once per [`Batch::step`]; `id` comes back with the samples.
    ///
    /// # Errors
    /// The request would find no room in an empty cache.
    pub fn admit(
        &mut self,
        id: u64,
        request: GenerateRequest,
        newest: impl Fn() -> Result<Versioned> + Send + Sync + 'a,
    ) -> Result<()> {
        let (prompt, response) = (request.prompt.tokens.ids.len(), self.longest());
        if let Some(bytes) = self.config.cache_bytes.filter(|_| prompt + response > self.room.capacity()) {
            let needed = (prompt + response) as u64 * self.language.cache_row_bytes();
            let reason =
                format!("is {bytes}; a prompt of {prompt} tokens and a report of {response} need {needed} bytes");
            return Err(Error::invalid("cache_bytes", reason));
        }
        if request.seeds.is_empty() {
            self.ended.push((id, Ok(vec![])));
        } else {
            self.waiting.push_back((id, request, Box::new(newest)));
        }
        Ok(())
    }

    /// Whether another request could begin now, as far as can be told without its prompt.
    pub fn has_room(&self) -> bool {
        let fits = self.config.cache_bytes.is_none() || self.room.free() > self.longest();
        fits && self.slots() > 0 && self.waiting.is_empty() && self.groups.iter().all(|group| group.wanted() == 0)
    }

    /// Whether nothing is under way.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.groups.is_empty() && self.ended.is_empty()
    }

    /// What the batch holds now.
    pub fn load(&self) -> Load {
        let sequences = self.groups.iter().map(Group::sequences).sum();
        let unread = self.groups.iter().filter(|group| group.is_unread()).count();
        let capacity = self.room.capacity();
        Load { sequences, waiting: self.waiting.len(), unread, rows: capacity - self.room.free(), capacity }
    }

    /// One token for every sample under way, and a chunk of a prompt; returns the requests that ended, with their
    /// samples in the order of their seeds or with what was wrong.
    pub fn step(&mut self) -> Vec<Ended> {
        self.groups.iter_mut().for_each(Group::ask);
        self.fill();
        self.join();
        if let Err(error) = self.cache.grow(self.room.capacity()) {
            for group in &mut self.groups {
                group.error = Some(Error::Tensor(candle_core::Error::Msg(error.to_string())));
            }
        }
        self.compute();
        self.settle()
    }

    /// Rows of a response of full length.
    fn longest(&self) -> usize {
        self.sampler.config().max_new_tokens
    }

    /// Samples that may still begin.
    fn slots(&self) -> usize {
        self.config.max_sequences.saturating_sub(self.groups.iter().map(Group::sequences).sum())
    }

    fn take(&mut self, rows: usize, end: End) -> Option<Range<usize>> {
        match self.config.cache_bytes {
            Some(_) => self.room.take(rows, end),
            None => Some(self.room.take_or_grow(rows, end)),
        }
    }

    /// Places for samples of requests that have some already.
    fn fill(&mut self) {
        let (mut slots, longest) = (self.slots(), self.longest());
        for i in 0..self.groups.len() {
            while slots > 0 && self.groups[i].wanted() > 0 {
                let Some(rows) = self.take(longest, End::High) else { return };
                self.groups[i].reserve(rows);
                slots -= 1;
            }
        }
    }

    /// Places for requests that wait, the first of them first.
    fn join(&mut self) {
        while self.slots() > 0
            && let Some((id, request, ask)) = self.waiting.pop_front()
        {
            let prompt = self.take(request.prompt.tokens.ids.len(), End::Low);
            let sample = prompt.as_ref().and_then(|_| self.take(self.longest(), End::High));
            let (Some(prompt), Some(sample)) = (prompt.clone(), sample) else {
                prompt.into_iter().for_each(|rows| self.room.give(rows));
                self.waiting.push_front((id, request, ask));
                return;
            };
            match Group::new(id, request, ask, prompt.clone()) {
                Ok(mut group) => {
                    group.reserve(sample);
                    self.groups.push(group);
                    self.fill();
                }
                Err(error) => {
                    [prompt, sample].into_iter().for_each(|rows| self.room.give(rows));
                    self.ended.push((id, Err(error)));
                }
            }
        }
    }

    fn compute(&mut self) {
        let Self { language, cache, sampler, end_tokens, cut, config, groups, .. } = self;
        let passes = Passes { language, cache, sampler, end_tokens, chunk: config.prefill_tokens };

        let unread = groups.iter_mut().filter(|group| group.error.is_none() && group.is_unread());
        cut.run(unread.take(cut.prompts()).collect(), |group| passes.prefill(group));
        groups.iter_mut().for_each(|group| passes.begin(group));

        let sound = groups.iter_mut().filter(|group| group.error.is_none());
        let mut seats: Vec<Seat> = sound.flat_map(Group::seats).collect();
        let adapter = |(shared, _): &Seat| shared.policy.adapter.as_ref().map(Arc::as_ptr);
        seats.sort_by_key(adapter);
        let most = cut.rows(seats.len());
        let same = seats.chunk_by_mut(|a, b| adapter(a) == adapter(b));
        cut.run(same.flat_map(|rows| rows.chunks_mut(most)).collect(), |rows| passes.advance(rows));
    }

    /// Takes out what is over, and its cache rows back.
    fn settle(&mut self) -> Vec<Ended> {
        let Self { room, groups, .. } = self;
        groups.iter_mut().flat_map(Group::collect).for_each(|rows| room.give(rows));
        let over = groups.extract_if(.., |group| group.is_over()).map(|group| {
            let id = group.id;
            let (samples, rows) = group.leave();
            rows.into_iter().for_each(|rows| room.give(rows));
            (id, samples)
        });
        let over: Vec<_> = over.collect();
        std::mem::take(&mut self.ended).into_iter().chain(over).collect()
    }
}
