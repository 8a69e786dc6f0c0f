//! GREEN in this process: the published grader, a Llama 2 (`StanfordAIMI/GREEN-radllama2-7b`), from its checkpoint folder.
//!
//! The model is candle-transformers', with its cache of keys and values; what it is asked and how its answers are read is
//! `addendum_rewards::green`. Answers are decoded greedily, one report after the other, so that a report's grade does not
//! depend on the others; sampling settings in the folder are not looked at.

mod chat;
mod config;
mod model;
mod shards;
#[cfg(test)]
mod tests;

use std::path::Path;

use addendum_rewards::{
    Error, Result,
    green::{AnswerError, Grade, Graded, Prompt},
};
use candle_core::Device;

use chat::Chat;
use config::{COMPONENT, Config};
use model::Model;

/// Tokens of the longest answer, as in the package of the authors.
const LONGEST_ANSWER: usize = 2048;

/// The grader.
pub struct Green {
    chat: Chat,
    model: Model,
    prompt: Prompt,
}

impl Green {
    /// Loads a folder with `config.json`, `tokenizer.json` and the weights in `model.safetensors` or in the files that
    /// `model.safetensors.index.json` names. On a GPU the model computes in the type of numbers that `config.json` names,
    /// on a CPU in 32 bits, which a model of 7 billion weights needs 28 GB for.
    ///
    /// # Errors
    /// Unreadable, corrupt or foreign files, with the file and what is wrong with it; other architectures than Llama 2.
    pub fn load(folder: &Path, prompt: Prompt, device: &Device) -> Result<Self> {
        let config = Config::read(folder)?;
        Ok(Self { chat: Chat::load(folder, &config)?, model: Model::load(folder, &config, device)?, prompt })
    }

    /// Grades one report.
    ///
    /// # Errors
    /// The reports are too long or hold a special token of the model, the model fails, or its answer lacks the counts, is
    /// ambiguous or was cut.
    pub fn grade(&self, reference: &str, candidate: &str) -> Result<Grade> {
        let question = self.chat.question(&self.prompt.ask(reference, candidate))?;
        let grade = match self.model.answer(&question, LONGEST_ANSWER)? {
            Some(answer) => Grade::parse(&self.chat.text(&answer)?),
            None => Err(AnswerError::Cut),
        };
        grade.map_err(|reason| Error::Component { component: COMPONENT, reason: reason.to_string() })
    }

    /// Grades each pair of reference and candidate. A failure is that pair's alone.
    pub fn grade_all(&self, pairs: &[(&str, &str)]) -> Graded<Error> {
        Graded { grades: pairs.iter().map(|(reference, candidate)| self.grade(reference, candidate)).collect() }
    }
}
