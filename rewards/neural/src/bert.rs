//! The BERT encoder (Devlin et al. 2019), for CheXbert and RadGraph.

use std::path::Path;

use candle_core::{Result, Tensor};

use super::{
    batch::Pack,
    config,
    encoder::{Encoder, Names, Sizes},
    layers::Norm,
    positions::Positions,
    weights::Weights,
};

const NAMES: Names = Names {
    query: "attention.self.query",
    key: "attention.self.key",
    value: "attention.self.value",
    out: "attention.output.dense",
    out_norm: "attention.output.LayerNorm",
};

pub(super) struct Bert {
    words: Tensor,
    positions: Tensor,
    norm: Norm,
    encoder: Encoder,
}

impl Bert {
    /// Loads the tensors `{prefix}embeddings.…` and `{prefix}encoder.…`. Token types are all 0.
    pub(super) fn load(weights: &Weights, prefix: &str, sizes: &Sizes) -> addendum_rewards::Result<Self> {
        let hidden = sizes.hidden_size;
        let types = format!("{prefix}embeddings.token_type_embeddings.weight");
        let rows = weights.shape(&types)?.first().copied().unwrap_or(0);
        let types = weights.get(&types, &[rows, hidden])?;
        let table = |name: &str, rows| weights.get(&format!("{prefix}embeddings.{name}.weight"), &[rows, hidden]);
        let positions = table("position_embeddings", sizes.max_position_embeddings)?;
        // The first token type is everyone's, so that it can be added to the positions once.
        let positions = types.get(0).and_then(|first| positions.broadcast_add(&first));
        Ok(Self {
            words: table("word_embeddings", sizes.vocab_size)?,
            positions: positions.map_err(|error| super::weights::refuse(weights.file(), error))?,
            norm: Norm::load(weights, &format!("{prefix}embeddings.LayerNorm"), hidden, sizes.layer_norm_eps)?,
            encoder: Encoder::load(weights, &format!("{prefix}encoder."), &NAMES, sizes, Positions::Absolute)?,
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
        let positions = self.positions.index_select(&Tensor::new(pack.positions(), device)?, 0)?;
        self.norm.forward(&(words + positions)?)
    }
}

/// Reads a BERT's `config.json`.
pub(super) fn sizes(file: &Path) -> addendum_rewards::Result<Sizes> {
    config::read::<Sizes>(file, |sizes| sizes.check())
}
