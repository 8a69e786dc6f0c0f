//! Finds the entities of sentences: a DeBERTa that labels each token.

use std::path::Path;

use candle_core::{Device, Tensor};

use super::{
    super::{
        batch::{Pack, ROWS, distinct},
        chexbert::best,
        deberta::{Config, Deberta},
        error::fail,
        tokens::Tokens,
        weights::{Weights, refuse},
    },
    spans::{Span, Tag},
};
use addendum_rewards::{EntityType, Result};

const NAME: &str = "RaTEScore's tagger";

/// The longest sentence the published tagger reads, start and end tokens included.
const LONGEST: usize = 512;

pub(super) struct Tagger {
    tokens: Tokens,
    model: Deberta,
    /// What each class means.
    tags: Vec<Tag>,
}

impl Tagger {
    /// Loads a folder with `config.json`, `tokenizer.json` and the weights.
    pub(super) fn load(folder: &Path, device: &Device) -> Result<Self> {
        let (config, tags, tokens, weights) = Self::open(folder, device)?;
        Ok(Self { tokens, model: Deberta::load(&weights, &config, tags.len())?, tags })
    }

    /// Whether a folder is of the right kind, without reading a tensor.
    pub(super) fn check(folder: &Path) -> Result<()> {
        let (config, _, _, weights) = Self::open(folder, &Device::Cpu)?;
        let sizes = &config.sizes;
        weights.holds("deberta.embeddings.word_embeddings.weight", &[sizes.vocab_size, sizes.hidden_size])
    }

    fn open(folder: &Path, device: &Device) -> Result<(Config, Vec<Tag>, Tokens, Weights)> {
        let file = folder.join("config.json");
        let config = Config::read(&file)?;
        let labels = config.labels().map_err(|reason| refuse(&file, reason))?;
        let tag = |label: &String| {
            Tag::parse(label)
                .ok_or_else(|| refuse(&file, format!("label `{label}` is none of RaTEScore's, like `B-ANATOMY`")))
        };
        let tags = labels.iter().map(tag).collect::<Result<Vec<_>>>()?;
        if tags.is_empty() {
            return Err(refuse(&file, "`id2label` names no class"));
        }
        let limit = config.sizes.max_position_embeddings.min(LONGEST);
        let tokens = Tokens::load(folder, ["[CLS]", "[SEP]"], config.sizes.vocab_size, limit, NAME)?;
        Ok((config, tags, tokens, Weights::in_folder(folder, device)?))
    }

    /// The words and types of each sentence's entities. `decode` turns labels into spans. Equal sentences are read once.
    pub(super) fn find(
        &self,
        sentences: &[&str],
        decode: fn(&[Tag]) -> Vec<Span>,
    ) -> Result<Vec<Vec<(String, EntityType)>>> {
        let (distinct, members) = distinct(sentences);
        let sequences = distinct.iter().map(|sentence| self.tokens.encode(sentence)).collect::<Result<Vec<_>>>()?;
        let mut found = vec![Vec::new(); distinct.len()];
        for (ids, (tags, found)) in sequences.iter().zip(self.tags(&sequences)?.iter().zip(&mut found)) {
            for (span, kind) in decode(tags) {
                found.push((self.tokens.decode(&ids[span])?, kind));
            }
        }
        Ok(members.into_iter().map(|i| found[i].clone()).collect())
    }

    fn tags(&self, sequences: &[Vec<u32>]) -> Result<Vec<Vec<Tag>>> {
        let mut tags = vec![Vec::new(); sequences.len()];
        for pack in Pack::all(sequences, ROWS) {
            let scores = self.scores(&pack).map_err(fail(NAME))?;
            for (&member, (row, length)) in pack.members.iter().zip(pack.spans()) {
                tags[member] = scores[row..row + length].iter().map(|scores| self.tags[best(scores)]).collect();
            }
        }
        Ok(tags)
    }

    fn scores(&self, pack: &Pack) -> candle_core::Result<Vec<Vec<f32>>> {
        self.model.classify(&self.hidden(pack)?)?.to_vec2()
    }

    fn hidden(&self, pack: &Pack) -> candle_core::Result<Tensor> {
        self.model.hidden(pack)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::{super::spans, *};
    use crate::testing::{close, folder, tensors};
    use addendum_fixtures::fixture;

    #[derive(Deserialize)]
    struct Fixture {
        labels: Vec<String>,
        sentences: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        text: String,
        input_ids: Vec<u32>,
        labels: Vec<String>,
        entities: Vec<(String, EntityType)>,
    }

    fn model() -> Tagger {
        Tagger::load(&folder("rewards/rate/ner"), &Device::Cpu).unwrap()
    }

    #[test]
    fn parity_tagger_tokens_states_scores_and_entities() {
        let fixture: Fixture = serde_json::from_slice(&fixture("rewards/rate/ner_outputs.json")).unwrap();
        let expected = tensors("rewards/rate/ner_outputs.safetensors");
        let model = model();
        let labels: Vec<Tag> = fixture.labels.iter().map(|label| Tag::parse(label).unwrap()).collect();
        assert_eq!(model.tags, labels);
        let texts: Vec<&str> = fixture.sentences.iter().map(|case| case.text.as_str()).collect();
        let entities = model.find(&texts, spans::for_score).unwrap();
        let sequences: Vec<Vec<u32>> = texts.iter().map(|text| model.tokens.encode(text).unwrap()).collect();
        let tags = model.tags(&sequences).unwrap();
        for (i, case) in fixture.sentences.iter().enumerate() {
            assert_eq!(sequences[i], case.input_ids, "{:?}", case.text);
            assert_eq!(entities[i], case.entities, "{:?}", case.text);
            let expected: Vec<Tag> = case.labels.iter().map(|label| Tag::parse(label).unwrap()).collect();
            assert_eq!(tags[i], expected, "{:?}", case.text);
        }
        for pack in Pack::all(&sequences, 100) {
            let hidden: Vec<Vec<f32>> = model.hidden(&pack).unwrap().to_vec2().unwrap();
            let scores = model.scores(&pack).unwrap();
            for (&member, (row, length)) in pack.members.iter().zip(pack.spans()) {
                let text = texts[member];
                close(&hidden[row..row + length].concat(), &expected[&format!("hidden.{member:02}")].1, 2e-4, text);
                close(&scores[row..row + length].concat(), &expected[&format!("logits.{member:02}")].1, 2e-4, text);
            }
        }
    }
}
