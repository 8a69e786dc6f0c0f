//! A request under way: its prompt in the cache, and the samples that it has so far.

use std::{ops::Range, sync::Arc};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::request::{GenerateRequest, Sample, Versioned};
use crate::{Error, Result, pack::EncodedPrompt};

/// Answers with the policy to compute with.
pub type Ask<'a> = Box<dyn Fn() -> Result<Versioned> + Send + Sync + 'a>;

pub struct Group<'a> {
    pub id: u64,
    pub shared: Shared,
    ask: Ask<'a>,
    seeds: Vec<u64>,
    /// Tokens of the prompt that are in the cache.
    pub prefilled: usize,
    /// Logits of the token after the prompt, and the version that computed them, while samples are to begin with them.
    pub first: Option<(Vec<f32>, u64)>,
    /// Cache rows for samples that have not begun, in the order in which they will.
    reserved: Vec<Range<usize>>,
    pub rows: Vec<Row>,
    /// Samples that have begun.
    begun: usize,
    /// Those that are over, by seed.
    samples: Vec<Option<Sample>>,
    /// Why none of them is of use any more.
    pub error: Option<Error>,
}

/// What the samples of a group have in common.
pub struct Shared {
    pub prompt: Arc<EncodedPrompt>,
    /// Cache rows of the prompt.
    pub at: Range<usize>,
    /// To compute with in this step.
    pub policy: Versioned,
}

/// A sample under way, and what it shares with the others of its group.
pub type Seat<'a> = (&'a Shared, &'a mut Row);

/// A sample under way.
pub struct Row {
    /// Among the seeds of its group.
    index: usize,
    /// Cache rows of its tokens.
    pub at: Range<usize>,
    pub rng: ChaCha8Rng,
    pub sample: Sample,
    pub over: bool,
    pub error: Option<Error>,
}

impl<'a> Group<'a> {
    /// # Errors
    /// There is no policy to compute with.
    pub fn new(id: u64, request: GenerateRequest, ask: Ask<'a>, at: Range<usize>) -> Result<Self> {
        let GenerateRequest { prompt, seeds } = request;
        let shared = Shared { prompt, at, policy: ask()? };
        let samples = vec![None; seeds.len()];
        let (reserved, rows) = (vec![], vec![]);
        Ok(Self { id, shared, ask, seeds, prefilled: 0, first: None, reserved, rows, begun: 0, samples, error: None })
    }

    pub fn ask(&mut self) {
        match (self.ask)() {
            Ok(policy) => self.shared.policy = policy,
            Err(error) => self.error = Some(error),
        }
    }

    /// Samples that have neither begun nor a place to begin at.
    pub fn wanted(&self) -> usize {
        self.seeds.len() - self.begun - self.reserved.len()
    }

    pub fn has_to_begin(&self) -> bool {
        self.begun < self.seeds.len()
    }

    pub fn reserve(&mut self, rows: Range<usize>) {
        self.reserved.push(rows);
    }

    /// Samples with a place in the cache.
    pub fn sequences(&self) -> usize {
        self.reserved.len() + self.rows.len()
    }

    /// Whether tokens of the prompt are not in the cache yet.
    pub fn is_unread(&self) -> bool {
        self.prefilled < self.shared.at.len()
    }

    /// Begins as many samples as there is a place for; returns them.
    pub fn begin(&mut self) -> Vec<Seat<'_>> {
        let fresh = self.rows.len();
        for at in self.reserved.drain(..) {
            let rng = ChaCha8Rng::seed_from_u64(self.seeds[self.begun]);
            let sample = Sample { tokens: vec![], logprobs: vec![], versions: vec![], truncated: true };
            self.rows.push(Row { index: self.begun, at, rng, sample, over: false, error: None });
            self.begun += 1;
        }
        self.rows[fresh..].iter_mut().map(|row| (&self.shared, row)).collect()
    }

    /// The samples that go on.
    pub fn seats(&mut self) -> impl Iterator<Item = Seat<'_>> {
        let Self { shared, rows, .. } = self;
        rows.iter_mut().filter(|row| !row.over && row.error.is_none()).map(|row| (&*shared, row))
    }

    /// Takes samples that are over out of the rows; returns the cache rows that they had.
    pub fn collect(&mut self) -> Vec<Range<usize>> {
        let over = self.rows.extract_if(.., |row| row.over);
        let free = over.map(|row| {
            self.samples[row.index] = Some(row.sample);
            row.at
        });
        let free = free.collect();
        self.error = self.error.take().or_else(|| self.rows.iter_mut().find_map(|row| row.error.take()));
        free
    }

    pub fn is_over(&self) -> bool {
        self.error.is_some() || self.samples.iter().all(Option::is_some)
    }

    /// The samples, and the cache rows that the group still has.
    pub fn leave(self) -> (Result<Vec<Sample>>, Vec<Range<usize>>) {
        let rows = self.rows.into_iter().map(|row| row.at);
        let free = rows.chain(self.reserved).chain([self.shared.at]).collect();
        let samples = self.error.map_or_else(|| Ok(self.samples.into_iter().flatten().collect()), Err);
        (samples, free)
    }
}
