//! What a model's tensors are long, as numbers of values.

use crate::{Config, LoraConfig, config::TextConfig};

/// Of the language model.
#[derive(Clone, Debug)]
pub struct Sizes {
    pub layers: u64,
    pub hidden: u64,
    pub heads: u64,
    /// Queries of a token, and its keys.
    pub q: u64,
    pub kv: u64,
    /// Inside the MLP.
    pub wide: u64,
    pub vocab: u64,
    /// Ranks that the products of a layer have together: of queries, keys and values; of attention's output; of gate and
    /// up; of the MLP's output.
    pub ranks: [u64; 4],
}

impl Sizes {
    pub fn new(config: &Config, lora: &LoraConfig) -> Self {
        let TextConfig { layers, hidden_size, heads, kv_heads, intermediate_size, vocab_size, .. } = config.text;
        let dim = config.text.head_dim();
        let mut ranks = [0; 4];
        for module in &lora.target_modules {
            ranks[module.place(&config.text).0 as usize] += lora.rank as u64;
        }
        Self {
            layers: layers as u64,
            hidden: hidden_size as u64,
            heads: heads as u64,
            q: (heads * dim) as u64,
            kv: (kv_heads * dim) as u64,
            wide: intermediate_size as u64,
            vocab: vocab_size as u64,
            ranks,
        }
    }
}
