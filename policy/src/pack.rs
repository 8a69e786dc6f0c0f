//! Packing: prompts and responses of several studies as one sequence without padding.
//!
//! A prompt stands once, however many responses share it: every response attends to its prompt and to itself only, and
//! its positions start after the prompt. This is exact, and with P prompt and R response tokens costs
//! (P + GR) / (G (P + R)) of the usual forward pass. Responses that begin alike share their beginning in the same way.

mod trie;

use std::{ops::Range, sync::Arc};

use addendum_kernels::{LogProbs, Segment, log_probs};
use candle_core::Tensor;

use crate::{
    Adapter, Error, Result,
    model::{KvCache, Language, Rows},
    positions::{Position, prompt_positions},
};
use trie::Trie;

/// The tokens of a prompt and where its images go.
#[derive(Clone, Debug, PartialEq)]
pub struct PromptTokens {
    /// In reading order; an image is a run of the image token.
    pub ids: Vec<u32>,
    /// M-RoPE's (t, h, w) of each token.
    pub positions: Vec<Position>,
    /// The position of the first response token.
    pub next_position: u32,
    /// Indices of the image tokens.
    pub image_at: Vec<usize>,
}

impl PromptTokens {
    /// `grids` are the images' (t, h, w) in patches, in order.
    pub fn new(ids: Vec<u32>, image_token: u32, grids: &[[usize; 3]], merge: usize) -> Result<Self> {
        if ids.is_empty() {
            return Err(Error::invalid("prompt", "has no tokens"));
        }
        let (positions, next_position) = prompt_positions(&ids, image_token, grids, merge)?;
        let image_at = (0..ids.len()).filter(|&i| ids[i] == image_token).collect();
        Ok(Self { ids, positions, next_position, image_at })
    }
}

/// A prompt ready for the language model.
#[derive(Clone, Debug)]
pub struct EncodedPrompt {
    /// With their positions.
    pub tokens: PromptTokens,
    /// `[image tokens, hidden]`; `None` for a prompt without images.
    pub features: Option<Tensor>,
}

/// Prompts with their responses, as one sequence.
#[derive(Default)]
pub struct Packed {
    /// All tokens of the sequence.
    pub ids: Vec<u32>,
    /// M-RoPE's (t, h, w) of each token; those of a response begin behind its prompt's.
    pub positions: Vec<Position>,
    /// Which tokens attend to which.
    pub segments: Arc<[Segment]>,
    features: Vec<Tensor>,
    image_at: Vec<usize>,
    /// Every target that is predicted, with the row whose hidden state predicts it.
    rows: Vec<u32>,
    targets: Vec<u32>,
    /// Of every response token, one response after the other, its place among the targets.
    places: Vec<u32>,
}

impl Packed {
    /// Each prompt with its responses, which share it and what they have in common; a response holds its end token.
    pub fn new<'a>(groups: impl IntoIterator<Item = (&'a EncodedPrompt, Vec<&'a [u32]>)>) -> Self {
        Self::with(groups, Trie::new)
    }

    /// The same, but that responses share nothing but their prompt.
    pub fn apart<'a>(groups: impl IntoIterator<Item = (&'a EncodedPrompt, Vec<&'a [u32]>)>) -> Self {
        Self::with(groups, Trie::apart)
    }

    fn with<'a>(
        groups: impl IntoIterator<Item = (&'a EncodedPrompt, Vec<&'a [u32]>)>,
        trie: impl Fn(&[&'a [u32]]) -> Trie<'a>,
    ) -> Self {
        let mut packed = Self::default();
        let mut segments = Vec::new();
        for (prompt, responses) in groups {
            let tokens = &prompt.tokens;
            let start = packed.ids.len();
            packed.image_at.extend(tokens.image_at.iter().map(|i| start + i));
            packed.features.extend(prompt.features.clone());
            packed.ids.extend(&tokens.ids);
            packed.positions.extend(&tokens.positions);
            let prompt = start..packed.ids.len();
            segments.push(Segment::alone(prompt.clone(), true));
            packed.add(&trie(&responses), prompt, tokens.next_position, &mut segments);
        }
        packed.segments = segments.into();
        packed
    }

    /// The responses to a prompt, as runs.
    fn add(&mut self, trie: &Trie, prompt: Range<usize>, next_position: u32, segments: &mut Vec<Segment>) {
        // Of every run its rows in the sequence, and its places among the targets.
        let (mut rows, mut places) = (Vec::<Range<usize>>::new(), Vec::<Range<u32>>::new());
        for (i, run) in trie.runs.iter().enumerate() {
            let own = self.ids.len()..self.ids.len() + run.read();
            self.ids.extend(&run.tokens[..run.read()]);
            self.positions.extend((next_position + run.depth as u32..).take(run.read()).map(|p| [p; 3]));
            let last = run.parent.map_or(prompt.end, |parent| rows[parent].end) as u32 - 1;
            let first = self.targets.len() as u32;
            self.rows.extend([last].into_iter().chain(own.start as u32..own.end as u32).take(run.tokens.len()));
            self.targets.extend(run.tokens);
            places.push(first..self.targets.len() as u32);
            if !own.is_empty() {
                let before = trie.ancestors(i).into_iter().map(|run| rows[run].clone());
                let before = joined([prompt.clone()].into_iter().chain(before));
                segments.push(Segment { query: own.clone(), before, own: own.clone(), causal: true });
            }
            rows.push(own);
        }
        self.places.extend(trie.paths.iter().flatten().flat_map(|&run| places[run].clone()));
    }

    /// Tokens that are predicted, those that responses share counted once.
    pub fn targets(&self) -> usize {
        self.targets.len()
    }

    /// Log-probabilities and entropies of all response tokens, in order, at `temperature`.
    pub fn log_probs(&self, language: &Language, adapter: Option<&Adapter>, temperature: f64) -> Result<LogProbs> {
        self.head_log_probs(language, &self.hidden(language, adapter)?, temperature)
    }

    /// The same from final hidden states `[tokens, hidden]`.
    pub fn head_log_probs(&self, language: &Language, hidden: &Tensor, temperature: f64) -> Result<LogProbs> {
        let device = hidden.device();
        let rows = hidden.index_select(&Tensor::new(self.rows.as_slice(), device)?, 0)?;
        let each = log_probs(&rows, language.head(), &self.targets, temperature)?;
        if self.places.iter().copied().eq(0..self.targets.len() as u32) {
            return Ok(each);
        }
        let places = Tensor::new(self.places.as_slice(), device)?;
        Ok(LogProbs {
            log_probs: each.log_probs.index_select(&places, 0)?,
            entropy: each.entropy.index_select(&places, 0)?,
        })
    }

    /// Final hidden states `[tokens, hidden]`.
    pub fn hidden(&self, language: &Language, adapter: Option<&Adapter>) -> Result<Tensor> {
        language.forward(&self.embed(language)?, &self.positions, &self.segments, adapter, Rows::Own)
    }

    /// The same, keeping keys and values in the given rows of `cache`.
    pub fn hidden_cached(
        &self,
        language: &Language,
        adapter: Option<&Adapter>,
        cache: &KvCache,
        rows: &[usize],
    ) -> Result<Tensor> {
        let rows = Rows::Cached(cache, rows);
        language.forward(&self.embed(language)?, &self.positions, &self.segments, adapter, rows)
    }

    /// Hidden states after layer `i`, from those before it.
    pub fn layer(&self, language: &Language, adapter: Option<&Adapter>, i: usize, x: &Tensor) -> Result<Tensor> {
        language.forward_layers(i..i + 1, x, &self.positions, &self.segments, adapter, Rows::Own)
    }

    /// Hidden states before the first layer: embeddings, with the images' features in their places.
    pub fn embed(&self, language: &Language) -> Result<Tensor> {
        let features = if self.features.is_empty() { None } else { Some(Tensor::cat(&self.features, 0)?) };
        language.embed(&self.ids, features.as_ref().map(|f| (f, self.image_at.as_slice())))
    }
}

/// Ranges with neighbours that touch made one.
fn joined(ranges: impl Iterator<Item = Range<usize>>) -> Vec<Range<usize>> {
    let mut joined: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => joined.push(range),
        }
    }
    joined
}
