use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};

use super::{ReportTokenizer, invalid};
use crate::error::Result;

impl ReportTokenizer {
    /// The tokens of an edited report: the sampled ids up to the edit, the rest newly tokenised, the end token last.
    ///
    /// Sampled ids are kept as long as they spell a beginning of `edited`, and then given up back to a word boundary,
    /// so that the new text is tokenised as it would be in a whole report. Special tokens in `sampled` end what is kept.
    /// [`ReportTokenizer::decode`] gives back exactly `edited`.
    ///
    /// # Errors
    /// A failure of the underlying tokenizer.
    pub fn splice(&self, sampled: &[u32], edited: &str) -> Result<Vec<u32>> {
        let boundaries = self.word_boundaries(edited)?;
        let (mut kept, mut kept_bytes) = (0, 0);
        let (mut count, mut end) = (0, 0);
        for token in sampled.iter().map(|&id| self.bytes_of(id)) {
            if token.is_empty() || !edited.as_bytes()[end..].starts_with(token) {
                break;
            }
            (count, end) = (count + 1, end + token.len());
            if boundaries.binary_search(&end).is_ok() {
                (kept, kept_bytes) = (count, end);
            }
        }
        let mut ids = sampled[..kept].to_vec();
        ids.extend(self.encode_exact(&edited[kept_bytes..])?);
        ids.push(self.special().turn_end);
        Ok(ids)
    }

    /// Byte offsets, in order, at which `text` may be cut without changing how its parts are tokenised: the borders of
    /// the tokenizer's words, all of which are borders of characters.
    fn word_boundaries(&self, text: &str) -> Result<Vec<usize>> {
        let mut words = PreTokenizedString::from(text);
        if let Some(pre_tokenizer) = self.inner.get_pre_tokenizer() {
            pre_tokenizer.pre_tokenize(&mut words).map_err(invalid)?;
        }
        let splits = words.get_splits(OffsetReferential::Original, OffsetType::Byte);
        Ok(splits.into_iter().map(|(_, (_, end), _)| end).filter(|&end| text.is_char_boundary(end)).collect())
    }
}
