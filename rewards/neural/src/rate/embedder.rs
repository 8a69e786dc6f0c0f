//! Embeds the words of entities: an MPNet and three ways to make one vector of its states.

use std::path::Path;

use candle_core::{Device, Tensor};

use super::super::{
    batch::{Pack, ROWS, distinct},
    error::fail,
    mpnet::{self, Config, MpNet},
    tokens::Tokens,
    weights::Weights,
};
use addendum_rewards::Result;

const NAME: &str = "RaTEScore's embedder";

/// How a text's states become its embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pooling {
    /// The first state of at most 30 tokens, as the score does.
    First,
    /// The mean state of at most 128 tokens, as the editor does with a text alone.
    Mean,
}

impl Pooling {
    fn longest(self) -> usize {
        match self {
            Self::First => 30,
            Self::Mean => 128,
        }
    }
}

pub(super) struct Embedder {
    tokens: Tokens,
    model: MpNet,
    pad: u32,
}

impl Embedder {
    /// Loads a folder with `config.json`, the tokenizer and the weights.
    pub(super) fn load(folder: &Path, device: &Device) -> Result<Self> {
        let (config, tokens, weights) = Self::open(folder, device)?;
        Ok(Self { tokens, model: MpNet::load(&weights, &config)?, pad: config.pad_token_id })
    }

    /// Whether a folder is of the right kind, without reading a tensor.
    pub(super) fn check(folder: &Path) -> Result<()> {
        let (config, _, weights) = Self::open(folder, &Device::Cpu)?;
        let name = format!("{}embeddings.word_embeddings.weight", mpnet::prefix(&weights));
        weights.holds(&name, &[config.sizes.vocab_size, config.sizes.hidden_size])
    }

    fn open(folder: &Path, device: &Device) -> Result<(Config, Tokens, Weights)> {
        let config = Config::read(&folder.join("config.json"))?;
        // Positions start behind the pad token's.
        let room = config.sizes.max_position_embeddings.saturating_sub(config.pad_token_id as usize + 1);
        let tokens = Tokens::load(folder, ["<s>", "</s>"], config.sizes.vocab_size, room, NAME)?;
        Ok((config, tokens, Weights::in_folder(folder, device)?))
    }

    /// One vector per text. Equal texts are embedded once.
    pub(super) fn embed(&self, texts: &[&str], pooling: Pooling) -> Result<Vec<Vec<f32>>> {
        let (distinct, members) = distinct(texts);
        let sequences = distinct.iter().map(|text| self.ids(text, pooling)).collect::<Result<Vec<_>>>()?;
        let mut embeddings = vec![Vec::new(); sequences.len()];
        for pack in Pack::all(&sequences, ROWS) {
            for (&member, vector) in pack.members.iter().zip(self.pool(&pack, pooling).map_err(fail(NAME))?) {
                embeddings[member] = vector;
            }
        }
        Ok(members.into_iter().map(|i| embeddings[i].clone()).collect())
    }

    /// The mean states of texts padded to the longest of them, the padding's own states included: what the reference's
    /// edit service answers. Unlike [`Embedder::embed`] it depends on which texts stand together.
    pub(super) fn embed_padded(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let sequences = texts.iter().map(|text| self.ids(text, Pooling::Mean)).collect::<Result<Vec<_>>>()?;
        self.pool(&Pack::padded(&sequences, self.pad), Pooling::Mean).map_err(fail(NAME))
    }

    fn pool(&self, pack: &Pack, pooling: Pooling) -> candle_core::Result<Vec<Vec<f32>>> {
        let pooled = match pooling {
            Pooling::First => self.model.first(pack)?,
            Pooling::Mean => {
                let states = self.model.forward(pack)?;
                let means = pack.blocks.iter().map(|block| {
                    let rows = states.narrow(0, block.row, block.sequences * block.length)?;
                    rows.reshape((block.sequences, block.length, ()))?.mean(1)
                });
                Tensor::cat(&means.collect::<candle_core::Result<Vec<_>>>()?, 0)?
            }
        };
        pooled.to_vec2()
    }

    fn ids(&self, text: &str, pooling: Pooling) -> Result<Vec<u32>> {
        let pieces = self.tokens.pieces(text)?;
        Ok(self.tokens.enclose(&pieces[..pieces.len().min(pooling.longest() - 2)]))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::testing::{close, folder, tensors};
    use addendum_fixtures::fixture;

    #[derive(Deserialize)]
    struct Case {
        entities: Vec<String>,
    }

    fn rows(values: &[f32], width: usize) -> Vec<&[f32]> {
        values.chunks_exact(width).collect()
    }

    #[test]
    fn parity_embeddings_of_entities_in_all_poolings() {
        let cases: Vec<Case> = serde_json::from_slice(&fixture("rewards/rate/embeddings.json")).unwrap();
        let expected = tensors("rewards/rate/embeddings.safetensors");
        let model = Embedder::load(&folder("rewards/rate/embedder"), &Device::Cpu).unwrap();
        assert!(!cases.is_empty());
        for (i, case) in cases.iter().enumerate() {
            let texts: Vec<&str> = case.entities.iter().map(String::as_str).collect();
            for (pooling, name) in [(Pooling::First, "30"), (Pooling::Mean, "128")] {
                let (shape, ids) = &expected[&format!("input_ids_{name}.{i}")];
                for (text, row) in texts.iter().zip(rows(ids, shape[1])) {
                    let own = model.ids(text, pooling).unwrap();
                    let row: Vec<u32> = row.iter().map(|&id| id as u32).collect();
                    assert_eq!(own, row[..own.len()], "{text}");
                    assert!(row[own.len()..].iter().all(|&id| id == model.pad), "{text}");
                }
            }
            let compare = |got: Vec<Vec<f32>>, name: String| {
                let (shape, values) = &expected[&name];
                for (row, got) in rows(values, shape[1]).into_iter().zip(got) {
                    close(&got, row, 2e-4, &name);
                }
            };
            compare(model.embed(&texts, Pooling::First).unwrap(), format!("cls_30.{i}"));
            compare(model.embed_padded(&texts).unwrap(), format!("mean_unmasked_128.{i}"));
            compare(model.embed(&texts, Pooling::Mean).unwrap(), format!("masked_mean_128.{i}"));
            for (k, got) in model.embed(&texts, Pooling::Mean).unwrap().iter().enumerate() {
                let name = format!("mean_alone_128.{i}.{k}");
                close(got, &expected[&name].1, 2e-4, &name);
            }
        }
    }
}
