//! The MPNet encoder (Song et al. 2020) as an embedder of short texts.

use std::path::Path;

use candle_core::{Result, Tensor};
use serde::Deserialize;

use super::{
    batch::Pack,
    config,
    encoder::{Encoder, Names, Sizes},
    layers::Norm,
    positions::{MPNET_BUCKETS, Positions},
    weights::{Weights, refuse},
};

const NAMES: Names = Names {
    query: "attention.attn.q",
    key: "attention.attn.k",
    value: "attention.attn.v",
    out: "attention.attn.o",
    out_norm: "attention.LayerNorm",
};

#[derive(Debug, Deserialize)]
pub(super) struct Config {
    #[serde(flatten)]
    pub(super) sizes: Sizes,
    #[serde(default = "default_buckets")]
    relative_attention_num_buckets: usize,
    #[serde(default = "default_pad")]
    pub(super) pad_token_id: u32,
}

fn default_buckets() -> usize {
    MPNET_BUCKETS
}

fn default_pad() -> u32 {
    1
}

impl Config {
    pub(super) fn read(file: &Path) -> addendum_rewards::Result<Self> {
        config::read::<Self>(file, |config| {
            config.sizes.check()?;
            let buckets = config.relative_attention_num_buckets;
            if buckets < MPNET_BUCKETS {
                return Err(format!("`relative_attention_num_buckets` is {buckets}; expected {MPNET_BUCKETS} or more"));
            }
            Ok(())
        })
    }
}

pub(super) struct MpNet {
    words: Tensor,
    positions: Tensor,
    norm: Norm,
    encoder: Encoder,
    pad: u32,
}

/// What the names of all tensors begin with: models for a task are saved with it, bare ones without.
pub(super) fn prefix(weights: &Weights) -> &'static str {
    if weights.contains("mpnet.embeddings.word_embeddings.weight") { "mpnet." } else { "" }
}

impl MpNet {
    /// Loads from a file whose names may begin with `mpnet.`.
    pub(super) fn load(weights: &Weights, config: &Config) -> addendum_rewards::Result<Self> {
        let prefix = prefix(weights);
        let sizes = &config.sizes;
        let get = |name: &str, rows, width| weights.get(&format!("{prefix}{name}.weight"), &[rows, width]);
        let bias =
            get("encoder.relative_attention_bias", config.relative_attention_num_buckets, sizes.num_attention_heads)?;
        if config.pad_token_id as usize >= sizes.vocab_size {
            return Err(refuse(
                weights.file(),
                format!("the pad token {} is not in the vocabulary", config.pad_token_id),
            ));
        }
        let norm = format!("{prefix}embeddings.LayerNorm");
        Ok(Self {
            words: get("embeddings.word_embeddings", sizes.vocab_size, sizes.hidden_size)?,
            positions: get("embeddings.position_embeddings", sizes.max_position_embeddings, sizes.hidden_size)?,
            norm: Norm::load(weights, &norm, sizes.hidden_size, sizes.layer_norm_eps)?,
            encoder: Encoder::load(weights, &format!("{prefix}encoder."), &NAMES, sizes, Positions::Bias(bias))?,
            pad: config.pad_token_id,
        })
    }

    /// The last hidden states `[rows, hidden]`.
    pub(super) fn forward(&self, pack: &Pack) -> Result<Tensor> {
        self.encoder.forward(self.embed(pack)?, pack)
    }

    /// The last hidden state of each sequence's first token, `[sequences, hidden]`.
    pub(super) fn first(&self, pack: &Pack) -> Result<Tensor> {
        self.encoder.first(self.embed(pack)?, pack)
    }

    fn embed(&self, pack: &Pack) -> Result<Tensor> {
        let device = self.words.device();
        let words = self.words.index_select(&Tensor::new(pack.ids.as_slice(), device)?, 0)?;
        let positions = self.positions.index_select(&Tensor::new(self.position_ids(pack), device)?, 0)?;
        self.norm.forward(&(words + positions)?)
    }

    /// Positions count on from the id of the pad token, which stands at that position itself wherever it occurs.
    fn position_ids(&self, pack: &Pack) -> Vec<u32> {
        let mut positions = Vec::with_capacity(pack.ids.len());
        for (row, length) in pack.spans() {
            let mut seen = self.pad;
            positions.extend(pack.ids[row..row + length].iter().map(|&id| {
                if id == self.pad {
                    return self.pad;
                }
                seen += 1;
                seen
            }));
        }
        positions
    }
}
