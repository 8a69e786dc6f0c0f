//! Texts to token ids: WordPiece from a `vocab.txt`, or whatever a `tokenizer.json` describes.

use std::path::Path;

use serde::Deserialize;
use tokenizers::{
    AddedToken, Tokenizer, decoders::wordpiece::WordPiece as Decoder, models::wordpiece::WordPiece,
    normalizers::BertNormalizer, pre_tokenizers::bert::BertPreTokenizer,
};

use super::weights::refuse;
use addendum_rewards::{Error, Result};

/// The tokenizer of one model, with its start and end tokens.
pub(super) struct Tokens {
    tokenizer: Tokenizer,
    start: u32,
    end: u32,
    /// The longest sequence, start and end included.
    limit: usize,
    component: &'static str,
}

/// The part of `tokenizer_config.json` that a `vocab.txt` does not say.
#[derive(Deserialize)]
struct Casing {
    do_lower_case: Option<bool>,
}

impl Tokens {
    /// Loads from a folder that holds `tokenizer.json` or else `vocab.txt`. `ends` names the start and end tokens,
    /// `size` is the number of tokens the model knows, `limit` the longest sequence with start and end; `component`
    /// stands in error messages.
    ///
    /// # Errors
    /// Unreadable or malformed files, vocabularies without the two tokens or with more tokens than the model knows.
    pub(super) fn load(
        folder: &Path,
        ends: [&str; 2],
        size: usize,
        limit: usize,
        component: &'static str,
    ) -> Result<Self> {
        let (json, vocabulary) = (folder.join("tokenizer.json"), folder.join("vocab.txt"));
        let (file, mut tokenizer) = if json.exists() {
            let tokenizer = Tokenizer::from_file(&json).map_err(|error| refuse(&json, error))?;
            (json, tokenizer)
        } else {
            let casing = folder.join("tokenizer_config.json");
            let lower = match std::fs::read(&casing) {
                Ok(bytes) => {
                    serde_json::from_slice::<Casing>(&bytes).map_err(|error| refuse(&casing, error))?.do_lower_case
                }
                Err(_) => None,
            };
            let tokenizer =
                word_pieces(&vocabulary, lower.unwrap_or(true)).map_err(|error| refuse(&vocabulary, error))?;
            (vocabulary, tokenizer)
        };
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|error| refuse(&file, error))?;
        let id = |token: &str| {
            tokenizer.token_to_id(token).ok_or_else(|| refuse(&file, format!("token `{token}` is missing")))
        };
        let (start, end) = (id(ends[0])?, id(ends[1])?);
        if let Some((token, id)) = tokenizer.get_vocab(true).into_iter().filter(|(_, id)| *id as usize >= size).min() {
            return Err(refuse(&file, format!("token `{token}` has number {id}; the model knows {size} tokens")));
        }
        if limit < 3 {
            return Err(refuse(&file, format!("sequences of {limit} tokens have no room for words")));
        }
        Ok(Self { tokenizer, start, end, limit, component })
    }

    /// Start token, the text's tokens as far as they fit, end token.
    pub(super) fn encode(&self, text: &str) -> Result<Vec<u32>> {
        Ok(self.enclose(&self.pieces(text)?))
    }

    /// The text's tokens alone, of any number.
    pub(super) fn pieces(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.tokenizer.encode_fast(text, false).map_err(|error| self.fail(error))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Start token, as many of the pieces as fit, end token.
    pub(super) fn enclose(&self, pieces: &[u32]) -> Vec<u32> {
        let kept = &pieces[..pieces.len().min(self.limit - 2)];
        [&[self.start], kept, &[self.end]].concat()
    }

    /// The longest sequence, start and end tokens included.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// The text of some tokens, special ones included.
    pub(super) fn decode(&self, ids: &[u32]) -> Result<String> {
        self.tokenizer.decode(ids, false).map_err(|error| self.fail(error))
    }

    fn fail(&self, error: tokenizers::Error) -> Error {
        Error::Component { component: self.component, reason: format!("tokenizer: {error}") }
    }
}

/// BERT's tokenizer of a vocabulary with one piece per line.
fn word_pieces(vocabulary: &Path, lower: bool) -> Result<Tokenizer, tokenizers::Error> {
    let file = vocabulary.to_str().ok_or("its path is not UTF-8")?;
    let model = WordPiece::builder().vocab(WordPiece::read_file(file)?).unk_token("[UNK]".into()).build()?;
    let mut tokenizer = Tokenizer::new(model);
    tokenizer.with_normalizer(Some(BertNormalizer::new(true, true, None, lower)))?;
    tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
    tokenizer.with_decoder(Some(Decoder::default()));
    let special: Vec<AddedToken> = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        .into_iter()
        .filter(|token| tokenizer.token_to_id(token).is_some())
        .map(|token| AddedToken::from(token, true))
        .collect();
    tokenizer.add_special_tokens(special)?;
    Ok(tokenizer)
}
