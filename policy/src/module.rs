//! The linear layers of a decoder layer: their names and shapes.

use std::ops::Range;

use addendum_kernels::Fused;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::TextConfig;

/// A linear layer of a decoder layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Module {
    /// Queries.
    #[serde(rename = "q_proj")]
    Q,
    /// Keys.
    #[serde(rename = "k_proj")]
    K,
    /// Values.
    #[serde(rename = "v_proj")]
    V,
    /// Attention's output.
    #[serde(rename = "o_proj")]
    O,
    /// The MLP's gate, whose SiLU multiplies `Up`.
    #[serde(rename = "gate_proj")]
    Gate,
    /// The MLP's widening product.
    #[serde(rename = "up_proj")]
    Up,
    /// The MLP's product back to the hidden width.
    #[serde(rename = "down_proj")]
    Down,
}

impl Module {
    /// How many there are in a layer.
    pub const COUNT: usize = 7;
    /// In the order of a decoder layer.
    pub const ALL: [Self; Self::COUNT] = [Self::Q, Self::K, Self::V, Self::O, Self::Gate, Self::Up, Self::Down];

    /// The name within a decoder layer.
    pub fn path(self) -> &'static str {
        match self {
            Self::Q => "self_attn.q_proj",
            Self::K => "self_attn.k_proj",
            Self::V => "self_attn.v_proj",
            Self::O => "self_attn.o_proj",
            Self::Gate => "mlp.gate_proj",
            Self::Up => "mlp.up_proj",
            Self::Down => "mlp.down_proj",
        }
    }

    /// The last part of [`Module::path`].
    pub fn name(self) -> &'static str {
        self.path().split_once('.').map_or("", |(_, name)| name)
    }

    /// (inputs, outputs)
    pub fn shape(self, config: &TextConfig) -> (usize, usize) {
        let (c, i, dim) = (config.hidden_size, config.intermediate_size, config.head_dim());
        match self {
            Self::Q => (c, config.heads * dim),
            Self::K | Self::V => (c, config.kv_heads * dim),
            Self::O => (config.heads * dim, c),
            Self::Gate | Self::Up => (c, i),
            Self::Down => (i, c),
        }
    }

    /// The product that computes it, and its columns of the product's outputs.
    pub fn place(self, config: &TextConfig) -> (Fused, Range<usize>) {
        let (_, outputs) = self.shape(config);
        let (q, kv) = (config.heads * config.head_dim(), config.kv_heads * config.head_dim());
        let (product, first) = match self {
            Self::Q => (Fused::Qkv, 0),
            Self::K => (Fused::Qkv, q),
            Self::V => (Fused::Qkv, q + kv),
            Self::O => (Fused::O, 0),
            Self::Gate => (Fused::GateUp, 0),
            Self::Up => (Fused::GateUp, config.intermediate_size),
            Self::Down => (Fused::Down, 0),
        };
        (product, first..first + outputs)
    }

    /// Whether the published model has a bias there.
    pub fn has_bias(self) -> bool {
        matches!(self, Self::Q | Self::K | Self::V)
    }
}
