//! Questions to tokens and tokens to answers: the grader's tokenizer and the conversation it was published with.

use std::path::Path;

use addendum_rewards::{Error, Result};
use tokenizers::Tokenizer;

use super::config::{COMPONENT, Config};
use crate::weights::refuse;

/// The two parties of a conversation.
const USER: &str = "<|user|>";
const ASSISTANT: &str = "<|assistant|>";

/// The tokenizer, and the tokens that frame a conversation.
pub(super) struct Chat {
    tokenizer: Tokenizer,
    /// How the tokens are written that no report may hold.
    special: Vec<String>,
    start: u32,
    end: u32,
    /// How `end` is written.
    end_text: String,
}

impl Chat {
    /// Loads the folder's `tokenizer.json`.
    ///
    /// # Errors
    /// A missing or malformed file, and one that does not fit the model.
    pub(super) fn load(folder: &Path, config: &Config) -> Result<Self> {
        let (file, pieces) = (folder.join("tokenizer.json"), folder.join("tokenizer.model"));
        if !file.exists() && pieces.exists() {
            let reason = "it is a SentencePiece model; expected `tokenizer.json` beside it, which \
                          `AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR)` of transformers writes";
            return Err(refuse(&pieces, reason));
        }
        let mut tokenizer = Tokenizer::from_file(&file).map_err(|error| refuse(&file, error))?;
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|error| refuse(&file, error))?;
        let size = config.sizes.vocab_size;
        if let Some((token, id)) = tokenizer.get_vocab(true).into_iter().filter(|(_, id)| *id as usize >= size).min() {
            return Err(refuse(&file, format!("token `{token}` has number {id}; the model knows {size} tokens")));
        }
        let (start, end) = (config.start, config.end);
        let mut added = tokenizer.get_added_tokens_decoder();
        added.retain(|_, token| token.special);
        let written = |id: u32| {
            let token = added.get(&id).map(|token| token.content.clone());
            token.ok_or_else(|| refuse(&file, format!("token {id} of `config.json` is not one of its special tokens")))
        };
        written(start)?;
        let end_text = written(end)?;
        let special = added.into_values().map(|token| token.content).collect();
        Ok(Self { tokenizer, special, start, end, end_text })
    }

    /// The tokens of a question, up to where the answer begins.
    ///
    /// The package of the authors renders its conversation (the question, then an empty turn of the assistant, which it
    /// opens once more) and encodes it with start and end tokens. Published figures rest on exactly this, whatever template
    /// the folder may hold.
    ///
    /// # Errors
    /// A question that holds a special token, which the model would take for the end of a turn.
    pub(super) fn question(&self, question: &str) -> Result<Vec<u32>> {
        if let Some(token) = self.special.iter().find(|token| question.contains(*token)) {
            return Err(fail(format!("the question or a report holds `{token}`, a special token of the grader")));
        }
        let end = &self.end_text;
        let text = format!("{USER}\n{question}{end}\n{ASSISTANT}\n{end}\n{ASSISTANT}\n");
        let encoding = self.tokenizer.encode_fast(text, false).map_err(fail)?;
        Ok([&[self.start], encoding.get_ids(), &[self.end]].concat())
    }

    /// The text of an answer.
    ///
    /// # Errors
    /// The tokenizer fails.
    pub(super) fn text(&self, answer: &[u32]) -> Result<String> {
        self.tokenizer.decode(answer, true).map_err(fail)
    }
}

fn fail(reason: impl ToString) -> Error {
    Error::Component { component: COMPONENT, reason: reason.to_string() }
}
