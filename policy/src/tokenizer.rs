//! Text to token ids and back, for reports and for the prompts of Qwen2.5-VL's chat template.
//!
//! Wraps a byte-level BPE tokenizer in the layout of a published `tokenizer.json`, and can train a small one. Text of
//! users and studies is always plain text here: a special token's spelling in it is encoded letter by letter, so it can
//! neither end a report nor open a new turn. The token embeddings are in the model.

mod bytes;
mod chat;
mod guard;
mod jinja;
mod json;
mod part;
mod splice;
mod tags;
mod template;
mod train;

use std::{panic::catch_unwind, path::Path};

use serde::Deserialize;
use serde_json::Value;
use tokenizers::{NormalizedString, Normalizer, NormalizerWrapper, Tokenizer};

pub use part::PromptPart;
pub use template::ChatTemplate;

use crate::{
    error::{Error, Result},
    files,
};

/// The special tokens, in the order of their ids in Qwen2.5-VL's vocabulary.
pub const SPECIAL_TOKENS: [&str; 8] = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
];

/// Bytes of JSON; that of Qwen has 14.
const LONGEST_NORMALIZER: usize = 1 << 12;

/// The ids of [`SPECIAL_TOKENS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpecialIds {
    /// `<|endoftext|>`: ends a text outside of chats.
    pub end_of_text: u32,
    /// `<|im_start|>`: opens a turn of a chat.
    pub turn_start: u32,
    /// Ends every report.
    pub turn_end: u32,
    /// `<|vision_start|>`: opens an image.
    pub vision_start: u32,
    /// `<|vision_end|>`: closes an image.
    pub vision_end: u32,
    /// `<|vision_pad|>`: not used here.
    pub vision_pad: u32,
    /// Stands where the features of an image go.
    pub image_pad: u32,
    /// `<|video_pad|>`: not used here.
    pub video_pad: u32,
}

impl SpecialIds {
    /// From all ids, in the order of [`SPECIAL_TOKENS`].
    fn of(ids: [u32; 8]) -> Self {
        let [end_of_text, turn_start, turn_end, vision_start, vision_end, vision_pad, image_pad, video_pad] = ids;
        Self { end_of_text, turn_start, turn_end, vision_start, vision_end, vision_pad, image_pad, video_pad }
    }

    /// All ids, in the order of [`SPECIAL_TOKENS`].
    pub fn all(&self) -> [u32; 8] {
        [
            self.end_of_text,
            self.turn_start,
            self.turn_end,
            self.vision_start,
            self.vision_end,
            self.vision_pad,
            self.image_pad,
            self.video_pad,
        ]
    }

    /// The ids that stand for images and videos, which no response holds.
    pub fn vision(&self) -> [u32; 5] {
        [self.vision_start, self.vision_end, self.vision_pad, self.image_pad, self.video_pad]
    }
}

/// A tokenizer that knows reports and chat prompts. Immutable.
#[derive(Clone)]
pub struct ReportTokenizer {
    /// Without its normalizer, so that what is encoded exactly stays exact.
    inner: Tokenizer,
    normalizer: Option<NormalizerWrapper>,
    special: SpecialIds,
    template: ChatTemplate,
    /// The tokens that end a report.
    stop: Vec<u32>,
    /// By id; empty for special tokens and for ids without a token.
    bytes: Vec<Box<[u8]>>,
}

impl ReportTokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// A file that cannot be read, that is no byte-level tokenizer, or that lacks a special token, named by its path.
    pub fn load(path: &Path) -> Result<Self> {
        let json = files::bytes(path)?;
        Self::from_json(&json).map_err(|error| Error::file(path, error))
    }

    /// Reads the contents of a `tokenizer.json`.
    ///
    /// # Errors
    /// Contents that are no byte-level tokenizer, or that lack special tokens, which are listed.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        // The library panics where the JSON breaks off inside some sections.
        let outline: Outline = serde_json::from_slice(json).map_err(|e| Error::invalid("tokenizer", e.to_string()))?;
        outline.check()?;
        // The library panics over some of what it cannot read.
        let inner = catch_unwind(|| Tokenizer::from_bytes(json))
            .map_err(|_| Error::invalid("tokenizer", "its model cannot be read: the reader gave up"))?
            .map_err(invalid)?;
        Self::new(inner)
    }

    fn new(mut inner: Tokenizer) -> Result<Self> {
        let special = find_special(&inner)?;
        let bytes = bytes::of_tokens(&inner, &special.all())?;
        let normalizer = inner.get_normalizer().cloned();
        inner.with_normalizer(None::<NormalizerWrapper>).map_err(invalid)?;
        inner.with_truncation(None).map_err(invalid)?;
        inner.with_padding(None);
        inner.set_encode_special_tokens(true);
        let stop = vec![special.turn_end, special.end_of_text];
        Ok(Self { inner, normalizer, special, template: ChatTemplate::default(), stop, bytes })
    }

    /// The contents of a `tokenizer.json`. The same tokenizer gives the same bytes.
    ///
    /// # Errors
    /// A tokenizer that cannot be serialised.
    pub fn to_json(&self) -> Result<String> {
        let mut whole = self.inner.clone();
        whole.with_normalizer(self.normalizer.clone()).map_err(invalid)?;
        whole.set_encode_special_tokens(false);
        whole.to_string(true).map_err(invalid)
    }

    /// The ids of the special tokens.
    pub fn special(&self) -> SpecialIds {
        self.special
    }

    /// One more than the largest token id.
    pub fn vocab_size(&self) -> usize {
        self.bytes.len()
    }

    /// The tokens that end a report: those of the checkpoint's `generation_config.json`, else the end of a turn and the
    /// end of text.
    pub fn stop_tokens(&self) -> &[u32] {
        &self.stop
    }

    /// The same tokenizer with other [`ReportTokenizer::stop_tokens`].
    ///
    /// # Errors
    /// The token that ends every report is not among them, or one is no token of this vocabulary.
    pub fn with_stop_tokens(mut self, stop: Vec<u32>) -> Result<Self> {
        let end = self.special.turn_end;
        if !stop.contains(&end) {
            let reason = format!("{stop:?} lack {end}, <|im_end|>, which ends every report");
            return Err(Error::invalid("eos_token_id", reason));
        }
        if let Some(id) = stop.iter().find(|id| **id as usize >= self.vocab_size()) {
            let reason = format!("{id} is not below {}, the size of the vocabulary", self.vocab_size());
            return Err(Error::invalid("eos_token_id", reason));
        }
        self.stop = stop;
        Ok(self)
    }

    /// How turns are laid out around a prompt.
    pub fn template(&self) -> &ChatTemplate {
        &self.template
    }

    /// The same tokenizer with another chat template.
    pub fn with_template(mut self, template: ChatTemplate) -> Self {
        self.template = template;
        self
    }

    /// The special tokens that have no place in a report, all but [`ReportTokenizer::stop_tokens`], in the order of
    /// their ids: the ones to suppress when sampling.
    pub fn misplaced_tokens(&self) -> Vec<u32> {
        let mut ids: Vec<u32> = self.special.all().into_iter().filter(|id| !self.stop_tokens().contains(id)).collect();
        ids.sort_unstable();
        ids
    }

    /// The tokens of plain text, normalised as the tokenizer's file says (NFC for Qwen).
    ///
    /// # Errors
    /// A failure of the underlying tokenizer.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        match &self.normalizer {
            None => self.encode_exact(text),
            Some(normalizer) => {
                let mut normalized = NormalizedString::from(text);
                normalizer.normalize(&mut normalized).map_err(invalid)?;
                self.encode_exact(normalized.get())
            }
        }
    }

    /// The tokens of plain text as it stands: [`ReportTokenizer::decode`] gives back exactly this text.
    fn encode_exact(&self, text: &str) -> Result<Vec<u32>> {
        Ok(self.inner.encode_fast(text, false).map_err(invalid)?.get_ids().to_vec())
    }

    /// The tokens of a whole report, the end token last.
    ///
    /// # Errors
    /// As [`ReportTokenizer::encode`].
    pub fn encode_report(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = self.encode(text)?;
        ids.push(self.special.turn_end);
        Ok(ids)
    }

    /// The text of these tokens. Special tokens and ids without a token have no text; bytes that are not UTF-8 become
    /// replacement characters.
    pub fn decode(&self, ids: &[u32]) -> String {
        let bytes: Vec<u8> = ids.iter().flat_map(|&id| self.bytes_of(id)).copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What a token stands for; empty for special tokens and for ids without a token.
    fn bytes_of(&self, id: u32) -> &[u8] {
        self.bytes.get(id as usize).map_or(&[], |bytes| bytes)
    }
}

impl std::fmt::Debug for ReportTokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("ReportTokenizer")
            .field("vocab_size", &self.vocab_size())
            .field("special", &self.special)
            .finish()
    }
}

/// What is looked at in a file before the library reads it.
#[derive(Deserialize)]
struct Outline {
    #[serde(default)]
    model: ModelOutline,
    #[serde(default)]
    normalizer: Value,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ModelOutline {
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
}

impl Outline {
    /// A byte-level vocabulary has no such affixes, and the library cuts the prefix off shorter tokens; a normalizer of
    /// long texts makes long texts of short ones.
    fn check(&self) -> Result<()> {
        let ModelOutline { continuing_subword_prefix, end_of_word_suffix } = &self.model;
        for (field, affix) in
            [("continuing_subword_prefix", continuing_subword_prefix), ("end_of_word_suffix", end_of_word_suffix)]
        {
            if affix.as_ref().is_some_and(|affix| !affix.is_empty()) {
                return Err(Error::invalid("tokenizer", format!("model.{field}: expected none in a byte-level BPE")));
            }
        }
        let length = self.normalizer.to_string().len();
        if length > LONGEST_NORMALIZER {
            let reason = format!("normalizer: {length} bytes are more than {LONGEST_NORMALIZER}");
            return Err(Error::invalid("tokenizer", reason));
        }
        Ok(())
    }
}

fn find_special(inner: &Tokenizer) -> Result<SpecialIds> {
    let known = inner.get_added_vocabulary();
    let id = |token: &str| inner.token_to_id(token).filter(|_| known.is_special_token(token));
    let missing: Vec<&str> = SPECIAL_TOKENS.into_iter().filter(|token| id(token).is_none()).collect();
    let found: Vec<u32> = SPECIAL_TOKENS.into_iter().filter_map(id).collect();
    match found.try_into() {
        Ok(ids) => Ok(SpecialIds::of(ids)),
        Err(_) => Err(Error::invalid("tokenizer", format!("lacks the special tokens {}", missing.join(" ")))),
    }
}

fn invalid(error: tokenizers::Error) -> Error {
    Error::invalid("tokenizer", error.to_string())
}

#[cfg(test)]
mod tests;
