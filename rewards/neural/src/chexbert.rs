//! CheXbert (Smit et al. 2020): a BERT whose first state answers, per observation, what a report says of it.

use std::path::Path;

use candle_core::Device;

use super::{
    batch::{Pack, ROWS, distinct},
    bert::{self, Bert},
    encoder::Sizes,
    error::fail,
    layers::Linear,
    tokens::Tokens,
    weights::Weights,
};
use addendum_rewards::{Label, Labeller, Labels, Observation, Result};

const NAME: &str = "CheXbert";

/// The classes of every observation but the last, in the order of the published heads.
const ANSWERS: [Label; 4] = [Label::Blank, Label::Positive, Label::Negative, Label::Uncertain];

/// The last head asks for No Finding and knows no negative and no uncertain answer.
const NO_FINDING_ANSWERS: [Label; 2] = [Label::Blank, Label::Positive];

/// The longest sequence the published model reads, start and end tokens included.
const LONGEST: usize = 512;

/// The CheXbert labeller.
pub struct Chexbert {
    tokens: Tokens,
    bert: Bert,
    /// All heads as one layer: 13 × 4 answers, then 2.
    heads: Linear,
}

impl Chexbert {
    /// Loads the weights, a `chexbert.pth` or safetensors file, with `config.json` and the vocabulary (`vocab.txt` or
    /// `tokenizer.json`) of the BERT they were trained on, which is `bert-base-uncased` for the published ones.
    ///
    /// # Errors
    /// Unreadable, corrupt or foreign files, with the file and what is wrong with it.
    pub fn load(weights: &Path, bert: &Path, device: &Device) -> Result<Self> {
        let (sizes, tokens, weights) = Self::open(weights, bert, device)?;
        let heads: Vec<(String, usize)> = (Observation::ALL.iter().enumerate())
            .map(|(i, &observation)| (format!("linear_heads.{i}"), answers(observation).len()))
            .collect();
        Ok(Self {
            tokens,
            bert: Bert::load(&weights, "bert.", &sizes)?,
            heads: Linear::load_stacked(&weights, &heads, sizes.hidden_size)?,
        })
    }

    /// Whether the files are of the right kind, as far as configuration, vocabulary and the description of the tensors
    /// tell; no tensor is read.
    ///
    /// # Errors
    /// As [`Chexbert::load`].
    pub fn check(weights: &Path, bert: &Path) -> Result<()> {
        let (sizes, _, weights) = Self::open(weights, bert, &Device::Cpu)?;
        weights.holds("bert.embeddings.word_embeddings.weight", &[sizes.vocab_size, sizes.hidden_size])?;
        weights.holds("linear_heads.0.weight", &[answers(Observation::ALL[0]).len(), sizes.hidden_size])
    }

    fn open(weights: &Path, bert: &Path, device: &Device) -> Result<(Sizes, Tokens, Weights)> {
        let sizes = bert::sizes(&bert.join("config.json"))?;
        let limit = sizes.max_position_embeddings.min(LONGEST);
        let tokens = Tokens::load(bert, ["[CLS]", "[SEP]"], sizes.vocab_size, limit, NAME)?;
        Ok((sizes, tokens, Weights::open(weights, device)?))
    }

    /// The scores of all answers per report: 13 × 4, then 2. Equal reports are read once.
    fn scores(&self, reports: &[&str]) -> Result<Vec<Vec<f32>>> {
        let (distinct, members) = distinct(reports);
        let sequences = distinct.iter().map(|report| self.ids(report)).collect::<Result<Vec<_>>>()?;
        let mut scores = vec![Vec::new(); distinct.len()];
        for pack in Pack::all(&sequences, ROWS) {
            for (&member, row) in pack.members.iter().zip(self.forward(&pack).map_err(fail(NAME))?) {
                scores[member] = row;
            }
        }
        Ok(members.into_iter().map(|i| scores[i].clone()).collect())
    }

    fn forward(&self, pack: &Pack) -> candle_core::Result<Vec<Vec<f32>>> {
        self.heads.forward(&self.bert.first(pack)?)?.to_vec2()
    }

    /// Start token, the report's words with single spaces between them, end token.
    fn ids(&self, report: &str) -> Result<Vec<u32>> {
        self.tokens.encode(&report.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

fn answers(observation: Observation) -> &'static [Label] {
    if observation == Observation::NoFinding { &NO_FINDING_ANSWERS } else { &ANSWERS }
}

impl Labeller for Chexbert {
    fn label(&self, reports: &[&str]) -> Result<Vec<Labels>> {
        let decide = |scores: Vec<f32>| {
            let mut rest = scores.as_slice();
            Observation::ALL.map(|observation| {
                let answers = answers(observation);
                let (own, others) = rest.split_at(answers.len());
                rest = others;
                answers[best(own)]
            })
        };
        Ok(self.scores(reports)?.into_iter().map(decide).collect())
    }
}

/// The index of the largest score, the first of several.
pub(super) fn best(scores: &[f32]) -> usize {
    let mut best = 0;
    for (i, score) in scores.iter().enumerate() {
        if *score > scores[best] {
            best = i;
        }
    }
    best
}

#[cfg(test)]
mod tests;
