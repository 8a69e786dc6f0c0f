//! The DeBERTa-v2 encoder (He et al. 2021; v3 has the same architecture) with a token classifier.
//!
//! Not supported, and refused by name: the convolution of the largest v2 models and embeddings narrower than the
//! hidden states.

use std::{collections::BTreeMap, path::Path};

use candle_core::{Result, Tensor};
use serde::Deserialize;

use super::{
    batch::Pack,
    config,
    encoder::{Encoder, Names, Sizes},
    layers::{Linear, Norm},
    positions::{Disentangled, Positions},
    weights::{Weights, refuse},
};

const NAMES: Names = Names {
    query: "attention.self.query_proj",
    key: "attention.self.key_proj",
    value: "attention.self.value_proj",
    out: "attention.output.dense",
    out_norm: "attention.output.LayerNorm",
};

#[derive(Debug, Deserialize)]
pub(super) struct Config {
    #[serde(flatten)]
    pub(super) sizes: Sizes,
    /// The label of each class by its number.
    id2label: BTreeMap<String, String>,
    #[serde(default)]
    type_vocab_size: usize,
    #[serde(default)]
    relative_attention: bool,
    #[serde(default = "unset")]
    max_relative_positions: i64,
    #[serde(default = "unset")]
    position_buckets: i64,
    #[serde(default)]
    pos_att_type: Kinds,
    #[serde(default)]
    norm_rel_ebd: String,
    #[serde(default)]
    share_att_key: bool,
    #[serde(default = "yes")]
    position_biased_input: bool,
    #[serde(default)]
    conv_kernel_size: usize,
    embedding_size: Option<usize>,
}

fn unset() -> i64 {
    -1
}

fn yes() -> bool {
    true
}

/// `["p2c", "c2p"]` or `"p2c|c2p"`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Kinds {
    List(Vec<String>),
    Text(String),
}

impl Default for Kinds {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl Kinds {
    fn has(&self, kind: &str) -> bool {
        match self {
            Self::List(kinds) => kinds.iter().any(|k| k == kind),
            Self::Text(text) => text.split('|').any(|k| k.trim() == kind),
        }
    }
}

impl Config {
    pub(super) fn read(file: &Path) -> addendum_rewards::Result<Self> {
        config::read::<Self>(file, |config| {
            config.sizes.check()?;
            if config.conv_kernel_size > 0 {
                return Err(format!(
                    "`conv_kernel_size` is {}; convolutions are not supported",
                    config.conv_kernel_size
                ));
            }
            match config.embedding_size {
                Some(size) if size != config.sizes.hidden_size => {
                    Err(format!("`embedding_size` is {size}; expected the hidden size {}", config.sizes.hidden_size))
                }
                _ => Ok(()),
            }
        })
    }

    /// The labels in the order of the classes.
    pub(super) fn labels(&self) -> std::result::Result<Vec<String>, String> {
        (0..self.id2label.len())
            .map(|i| self.id2label.get(&i.to_string()).cloned().ok_or_else(|| format!("`id2label` lacks class {i}")))
            .collect()
    }

    /// Half the number of distances, and buckets with the longest distance if there are any.
    fn distances(&self) -> (usize, Option<(usize, usize)>) {
        let longest = usize::try_from(self.max_relative_positions).unwrap_or(0);
        let longest = if longest == 0 { self.sizes.max_position_embeddings } else { longest };
        match usize::try_from(self.position_buckets) {
            Ok(buckets) if buckets > 0 => (buckets, Some((buckets, longest))),
            _ => (longest, None),
        }
    }
}

pub(super) struct Deberta {
    words: Tensor,
    /// What every row at a position gets besides its word: position and token type, if the model has them.
    positions: Option<Tensor>,
    norm: Norm,
    encoder: Encoder,
    classifier: Linear,
}

impl Deberta {
    /// Loads `deberta.…` and `classifier.…` with one class per label.
    pub(super) fn load(weights: &Weights, config: &Config, classes: usize) -> addendum_rewards::Result<Self> {
        let (sizes, hidden) = (&config.sizes, config.sizes.hidden_size);
        let get = |name: &str, rows| weights.get(&format!("deberta.{name}.weight"), &[rows, hidden]);
        let fail = |error: candle_core::Error| refuse(weights.file(), error);
        let mut positions = None;
        if config.position_biased_input {
            positions = Some(get("embeddings.position_embeddings", sizes.max_position_embeddings)?);
        }
        if config.type_vocab_size > 0 {
            let first =
                get("embeddings.token_type_embeddings", config.type_vocab_size)?.narrow(0, 0, 1).map_err(fail)?;
            let rows = (sizes.max_position_embeddings, hidden);
            positions = Some(match positions {
                Some(positions) => positions.broadcast_add(&first).map_err(fail)?,
                None => first.broadcast_as(rows).and_then(|all| all.contiguous()).map_err(fail)?,
            });
        }
        let relative = if config.relative_attention {
            Positions::Disentangled(disentangled(weights, config)?)
        } else {
            Positions::Absolute
        };
        let norm = |name: &str| Norm::load(weights, &format!("deberta.{name}"), hidden, sizes.layer_norm_eps);
        Ok(Self {
            words: get("embeddings.word_embeddings", sizes.vocab_size)?,
            positions,
            norm: norm("embeddings.LayerNorm")?,
            encoder: Encoder::load(weights, "deberta.encoder.", &NAMES, sizes, relative)?,
            classifier: Linear::load(weights, "classifier", hidden, classes)?,
        })
    }

    /// The last hidden states `[rows, hidden]`.
    pub(super) fn hidden(&self, pack: &Pack) -> Result<Tensor> {
        let device = self.words.device();
        let mut x = self.words.index_select(&Tensor::new(pack.ids.as_slice(), device)?, 0)?;
        if let Some(positions) = &self.positions {
            x = (x + positions.index_select(&Tensor::new(pack.positions(), device)?, 0)?)?;
        }
        self.encoder.forward(self.norm.forward(&x)?, pack)
    }

    /// The scores of the classes of hidden states, `[rows, classes]`.
    pub(super) fn classify(&self, hidden: &Tensor) -> Result<Tensor> {
        self.classifier.forward(hidden)
    }
}

/// The distance table, normalised if the model says so, and projected once for every layer.
fn disentangled(weights: &Weights, config: &Config) -> addendum_rewards::Result<Disentangled> {
    let (sizes, hidden) = (&config.sizes, config.sizes.hidden_size);
    let fail = |error: candle_core::Error| refuse(weights.file(), error);
    let (span, buckets) = config.distances();
    let mut distances = weights.get("deberta.encoder.rel_embeddings.weight", &[2 * span, hidden])?;
    if config.norm_rel_ebd.split('|').any(|kind| kind.trim() == "layer_norm") {
        let norm = Norm::load(weights, "deberta.encoder.LayerNorm", hidden, sizes.layer_norm_eps)?;
        distances = norm.forward(&distances).map_err(fail)?;
    }
    let linear = |kind: &str, layer: usize, shared: &str, own: &str| {
        if !config.pos_att_type.has(kind) {
            return Ok(None);
        }
        let name = if config.share_att_key { shared } else { own };
        let name = format!("deberta.encoder.layer.{layer}.attention.self.{name}");
        Linear::load(weights, &name, hidden, hidden).map(Some)
    };
    let layers = (0..sizes.num_hidden_layers)
        .map(|i| Ok((linear("c2p", i, "key_proj", "pos_key_proj")?, linear("p2c", i, "query_proj", "pos_query_proj")?)))
        .collect::<addendum_rewards::Result<Vec<_>>>()?;
    Disentangled::new(&distances, &layers, sizes.num_attention_heads, buckets).map_err(fail)
}
