//! Packing: prompts and responses of several studies as one sequence without padding.
//!
//! A prompt stands once, however many responses share it: every response attends to its prompt and to itself only, and
//! its positions start after the prompt. This is exact, and with P prompt and R response tokens costs
//! (P + GR) / (G (P + R)) of the usual forward pass.

use std::sync::Arc;

use addendum_kernels::{LogProbs, Segment, log_probs};
use candle_core::Tensor;

use crate::{
    Adapter, Error, Result,
    model::{KvCache, Language, Rows},
    positions::{Position, prompt_positions},
};

/// The tokens of a prompt and where its images go.
#[derive(Clone, Debug, PartialEq)]
pub struct PromptTokens {
    pub ids: Vec<u32>,
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
    pub tokens: PromptTokens,
    /// `[image tokens, hidden]`; `None` for a prompt without images.
    pub features: Option<Tensor>,
}

/// Prompts with their responses, as one sequence.
pub struct Packed {
    pub ids: Vec<u32>,
    pub positions: Vec<Position>,
    pub segments: Arc<[Segment]>,
    features: Vec<Tensor>,
    image_at: Vec<usize>,
    /// Row whose hidden state predicts each target; targets of all responses, one after the other.
    rows: Vec<u32>,
    targets: Vec<u32>,
}

impl Packed {
    /// Each prompt with its responses; a response holds its end token.
    pub fn new<'a>(groups: impl IntoIterator<Item = (&'a EncodedPrompt, Vec<&'a [u32]>)>) -> Self {
        let mut packed = Self {
            ids: vec![],
            positions: vec![],
            segments: Arc::new([]),
            features: vec![],
            image_at: vec![],
            rows: vec![],
            targets: vec![],
        };
        let mut segments = Vec::new();
        for (prompt, responses) in groups {
            let tokens = &prompt.tokens;
            let start = packed.ids.len();
            packed.image_at.extend(tokens.image_at.iter().map(|i| start + i));
            packed.features.extend(prompt.features.clone());
            packed.ids.extend(&tokens.ids);
            packed.positions.extend(&tokens.positions);
            let end = packed.ids.len();
            segments.push(Segment { query: start..end, prefix: 0..0, own: start..end, causal: true });
            for response in responses.into_iter().filter(|r| !r.is_empty()) {
                // The last token is predicted but never read.
                let own = packed.ids.len();
                packed.ids.extend(&response[..response.len() - 1]);
                packed.positions.extend((tokens.next_position..).take(response.len() - 1).map(|p| [p; 3]));
                packed.rows.push(end as u32 - 1);
                packed.rows.extend(own as u32..packed.ids.len() as u32);
                packed.targets.extend(response);
                let own = own..packed.ids.len();
                if !own.is_empty() {
                    segments.push(Segment { query: own.clone(), prefix: start..end, own, causal: true });
                }
            }
        }
        packed.segments = segments.into();
        packed
    }

    /// Log-probabilities and entropies of all response tokens, in order, at `temperature`.
    pub fn log_probs(&self, language: &Language, adapter: Option<&Adapter>, temperature: f64) -> Result<LogProbs> {
        self.head_log_probs(language, &self.hidden(language, adapter)?, temperature)
    }

    /// The same from final hidden states `[tokens, hidden]`.
    pub fn head_log_probs(&self, language: &Language, hidden: &Tensor, temperature: f64) -> Result<LogProbs> {
        let rows = hidden.index_select(&Tensor::new(self.rows.as_slice(), hidden.device())?, 0)?;
        Ok(log_probs(&rows, language.head(), &self.targets, temperature)?)
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
