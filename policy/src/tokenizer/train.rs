use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::normalizers::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, SplitDelimiterBehavior, Tokenizer};

use super::{ReportTokenizer, SPECIAL_TOKENS, invalid};
use crate::error::{Error, Result};

/// How Qwen2 cuts text into words before merging bytes (its published `tokenizer.json`): English contractions, letters
/// with one leading character, single digits, punctuation with one leading space, line breaks, white space.
const WORDS: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// A pair of tokens that occurs less often than this is not merged.
const MIN_FREQUENCY: u64 = 2;

/// The 256 bytes and the special tokens.
const SMALLEST: usize = 256 + SPECIAL_TOKENS.len();

impl ReportTokenizer {
    /// Trains a byte-level BPE in Qwen2's layout, with at most `vocab_size` tokens: the bytes, the merges, and the
    /// special tokens at the end. The same texts give the same tokenizer, in any order.
    ///
    /// # Errors
    /// A vocabulary too small for the bytes and the special tokens; a failure of the underlying trainer.
    pub fn train<'a>(texts: impl IntoIterator<Item = &'a str>, vocab_size: usize) -> Result<Self> {
        if vocab_size < SMALLEST {
            let reason = format!("{vocab_size} is below {SMALLEST}, the bytes and the special tokens");
            return Err(Error::invalid("vocabulary size", reason));
        }
        let words = SplitPattern::Regex(WORDS.into());
        let split = Split::new(words, SplitDelimiterBehavior::Isolated, false).map_err(invalid)?;
        let bytes = ByteLevel::new(false, false, false);
        let mut inner = Tokenizer::new(BPE::default());
        inner.with_normalizer(Some(NFC)).map_err(invalid)?;
        inner.with_pre_tokenizer(Some(Sequence::new(vec![split.into(), bytes.into()])));
        inner.with_post_processor(Some(bytes));
        inner.with_decoder(Some(bytes));
        let mut trainer: TrainerWrapper = BpeTrainer::builder()
            .vocab_size(vocab_size - SPECIAL_TOKENS.len())
            .min_frequency(MIN_FREQUENCY)
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .show_progress(false)
            .build()
            .into();
        let texts: Vec<&str> = texts.into_iter().collect();
        inner.train(&mut trainer, texts.into_iter()).map_err(invalid)?;
        inner.add_special_tokens(SPECIAL_TOKENS.map(|token| AddedToken::from(token, true))).map_err(invalid)?;
        Self::new(inner)
    }
}
