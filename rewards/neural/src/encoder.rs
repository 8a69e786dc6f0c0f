//! The transformer encoder that BERT, MPNet and DeBERTa-v2 have in common: post-norm layers over packed sequences.
//!
//! What tells the three apart is how they see positions (module `positions`), their embeddings and the names of their
//! tensors. Inference only; there is no dropout and no gradient.

use addendum_kernels::encoder::{Activation, softmax};
use candle_core::{Result, Tensor};
use serde::Deserialize;

use super::{
    batch::{Block, Pack},
    layers::{AddNorm, Linear},
    positions::{Positions, Table},
    weights::Weights,
};

/// The sizes that all three read from their `config.json`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Sizes {
    pub(super) vocab_size: usize,
    pub(super) hidden_size: usize,
    pub(super) num_hidden_layers: usize,
    pub(super) num_attention_heads: usize,
    pub(super) intermediate_size: usize,
    pub(super) max_position_embeddings: usize,
    pub(super) layer_norm_eps: f64,
    #[serde(with = "ActivationName")]
    pub(super) hidden_act: Activation,
}

impl Sizes {
    /// Whether the sizes describe an encoder at all.
    pub(super) fn check(&self) -> std::result::Result<(), String> {
        let counts = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("intermediate_size", self.intermediate_size),
            ("max_position_embeddings", self.max_position_embeddings),
        ];
        // Nothing near this exists; larger numbers would only overflow.
        const LARGEST: usize = 1 << 24;
        for (field, value) in counts {
            if !(1..=LARGEST).contains(&value) {
                return Err(format!("`{field}` is {value}; expected 1 to {LARGEST}"));
            }
        }
        let (hidden, heads) = (self.hidden_size, self.num_attention_heads);
        if !hidden.is_multiple_of(heads) {
            return Err(format!("`hidden_size` is {hidden}, which {heads} attention heads do not divide"));
        }
        if !(self.layer_norm_eps > 0. && self.layer_norm_eps < 1.) {
            return Err(format!("`layer_norm_eps` is {}; expected a small positive number", self.layer_norm_eps));
        }
        Ok(())
    }
}

/// What `config.json` calls the activation between the two linear layers.
#[derive(Deserialize)]
#[serde(remote = "Activation", rename_all = "snake_case")]
enum ActivationName {
    Gelu,
    #[serde(alias = "gelu_pytorch_tanh")]
    GeluNew,
    Relu,
}

/// What a family of models calls the tensors of a layer.
pub(super) struct Names {
    pub(super) query: &'static str,
    pub(super) key: &'static str,
    pub(super) value: &'static str,
    pub(super) out: &'static str,
    pub(super) out_norm: &'static str,
}

struct Layer {
    /// Query, key and value in one.
    project: Linear,
    out: AddNorm,
    up: Linear,
    down: AddNorm,
}

/// A stack of layers.
pub(super) struct Encoder {
    layers: Vec<Layer>,
    positions: Positions,
    heads: usize,
    activation: Activation,
}

impl Encoder {
    /// Loads the layers `{prefix}layer.0.` and so on.
    pub(super) fn load(
        weights: &Weights,
        prefix: &str,
        names: &Names,
        sizes: &Sizes,
        positions: Positions,
    ) -> addendum_rewards::Result<Self> {
        let (hidden, inner) = (sizes.hidden_size, sizes.intermediate_size);
        let layer = |i: usize| {
            let at = |name: &str| format!("{prefix}layer.{i}.{name}");
            let add_norm = |name: &str, norm: &str, inputs: usize| {
                AddNorm::load(weights, &at(name), &at(norm), inputs, hidden, sizes.layer_norm_eps)
            };
            let projections = [names.query, names.key, names.value].map(|name| (at(name), hidden));
            Ok(Layer {
                project: Linear::load_stacked(weights, &projections, hidden)?,
                out: add_norm(names.out, names.out_norm, hidden)?,
                up: Linear::load(weights, &at("intermediate.dense"), hidden, inner)?,
                down: add_norm("output.dense", "output.LayerNorm", inner)?,
            })
        };
        let layers = (0..sizes.num_hidden_layers).map(layer).collect::<addendum_rewards::Result<_>>()?;
        Ok(Self { layers, positions, heads: sizes.num_attention_heads, activation: sizes.hidden_act })
    }

    /// The last hidden states `[rows, hidden]` of a pack whose embeddings are `x`.
    pub(super) fn forward(&self, x: Tensor, pack: &Pack) -> Result<Tensor> {
        self.run(x, pack, None)
    }

    /// The last hidden state of each sequence's first token: `[sequences, hidden]`, in the order of the pack's members.
    pub(super) fn first(&self, x: Tensor, pack: &Pack) -> Result<Tensor> {
        let rows: Vec<u32> = pack.spans().map(|(row, _)| row as u32).collect();
        let rows = Tensor::new(rows, x.device())?;
        self.run(x, pack, Some(&rows))
    }

    /// Only the rows `wanted`, if given, go through the second half of the last layer.
    fn run(&self, x: Tensor, pack: &Pack, wanted: Option<&Tensor>) -> Result<Tensor> {
        let tables = pack.blocks.iter().map(|block| self.positions.table(block.length)).collect::<Result<Vec<_>>>()?;
        let mut x = x;
        for (i, layer) in self.layers.iter().enumerate() {
            let projected = layer.project.forward(&x)?;
            let mut contexts = Vec::with_capacity(pack.blocks.len());
            for (block, table) in pack.blocks.iter().zip(&tables) {
                contexts.push(self.attend(i, &projected, block, table)?);
            }
            let mut context = Tensor::cat(&contexts, 0)?;
            if let Some(rows) = wanted.filter(|_| i + 1 == self.layers.len()) {
                context = context.index_select(rows, 0)?;
                x = x.index_select(rows, 0)?;
            }
            x = layer.out.forward(&context, &x)?;
            let inner = layer.up.activated(&x, self.activation)?;
            x = layer.down.forward(&inner, &x)?;
        }
        Ok(x)
    }

    /// Attention within the sequences of one block: `[rows of the block, hidden]` of the pack's projections.
    fn attend(&self, layer: usize, projected: &Tensor, block: &Block, table: &Table) -> Result<Tensor> {
        let (n, length) = (block.sequences, block.length);
        let width = projected.dim(1)? / 3 / self.heads;
        // [3, heads, sequences, length, width]
        let parts = projected
            .narrow(0, block.row, n * length)?
            .reshape((n, length, 3, self.heads, width))?
            .permute((2, 3, 0, 1, 4))?
            .contiguous()?;
        let [query, key, value] = [parts.get(0)?, parts.get(1)?, parts.get(2)?];
        let query = (query * self.positions.scale(width))?;
        let scores = query.matmul(&key.transpose(2, 3)?)?;
        let mut scores = self.positions.add(layer, scores, &query, &key, table)?;
        if let Some(visible) = &block.visible {
            scores = scores.broadcast_add(&mask(visible, length, scores.device())?)?;
        }
        let context = softmax(scores)?.matmul(&value)?;
        context.permute((1, 2, 0, 3))?.reshape((n * length, self.heads * width))
    }
}

/// `[sequences, 1, length]`: 0 for what may be attended to, a very negative number for the rest.
fn mask(visible: &[usize], length: usize, device: &candle_core::Device) -> Result<Tensor> {
    let row = |&seen: &usize| (0..length).map(move |i| if i < seen { 0f32 } else { f32::MIN });
    Tensor::from_vec(visible.iter().flat_map(row).collect(), (visible.len(), 1, length), device)
}
