//! The Llama of candle-transformers, loaded from our reader of checkpoints, and greedy decoding with its cache.

use std::{collections::HashMap, path::Path};

use addendum_rewards::{Error, Result};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::llama::{Cache, Llama};

use super::{
    config::{COMPONENT, Config},
    shards::Shards,
};
use crate::error::fail;

pub(super) struct Model {
    llama: Llama,
    /// Without any key or value; each question gets a copy.
    pub(super) cache: Cache,
    pub(super) stops: Vec<u32>,
    positions: usize,
    device: Device,
}

impl Model {
    /// # Errors
    /// As [`Shards::open`] and [`Shards::get`].
    pub(super) fn load(folder: &Path, config: &Config, device: &Device) -> Result<Self> {
        let shards = Shards::open(folder, device)?;
        // There is no half-precision matrix product on a CPU.
        let numbers = if device.is_cpu() { DType::F32 } else { config.numbers };
        let mut tensors = HashMap::new();
        // All are there before the model is built, which panics where one is missing.
        for (name, shape) in tensor_shapes(config) {
            let tensor = shards.get(&name, &shape)?.to_dtype(numbers).map_err(fail(COMPONENT))?;
            tensors.insert(name, tensor);
        }
        let built = || {
            let llama = Llama::load(VarBuilder::from_tensors(tensors, numbers, device), &config.sizes)?;
            Ok((llama, Cache::new(true, numbers, &config.sizes, device)?))
        };
        let (llama, cache) = built().map_err(fail(COMPONENT))?;
        let positions = config.sizes.max_position_embeddings;
        Ok(Self { llama, cache, stops: config.stops.clone(), positions, device: device.clone() })
    }

    /// The most probable continuation of some tokens up to a stop token, which is left out; `None` if none comes within
    /// `longest` tokens or before the model's positions end.
    ///
    /// # Errors
    /// A question that leaves no position for an answer, numbers that are not finite, a device that fails.
    pub(super) fn answer(&self, question: &[u32], longest: usize) -> Result<Option<Vec<u32>>> {
        let (asked, positions) = (question.len(), self.positions);
        if asked >= positions {
            let reason =
                format!("the question has {asked} tokens with both reports; the grader has {positions} positions");
            return Err(Error::Component { component: COMPONENT, reason });
        }
        let room = longest.min(positions - asked);
        let mut cache = self.cache.clone();
        let mut answer = Vec::new();
        let mut next = self.next(question, 0, &mut cache)?;
        while !self.stops.contains(&next) {
            answer.push(next);
            if answer.len() >= room {
                return Ok(None);
            }
            next = self.next(&[next], asked + answer.len() - 1, &mut cache)?;
        }
        Ok(Some(answer))
    }

    /// The most probable token after `tokens`, of which the first is at position `at`. Of equal ones the first.
    ///
    /// # Errors
    /// Logits that are not finite, a device that fails.
    pub(super) fn next(&self, tokens: &[u32], at: usize, cache: &mut Cache) -> Result<u32> {
        let mut logits = || {
            let tokens = Tensor::new(tokens, &self.device)?.unsqueeze(0)?;
            self.llama.forward(&tokens, at, cache)?.squeeze(0)?.to_vec1::<f32>()
        };
        let logits = logits().map_err(fail(COMPONENT))?;
        if let Some(&value) = logits.iter().find(|value| !value.is_finite()) {
            let reason = format!("a logit of the grader is {value}; expected finite numbers");
            return Err(Error::Component { component: COMPONENT, reason });
        }
        let best = (0..logits.len()).rev().max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap_or(0);
        Ok(best as u32)
    }
}

/// Names and shapes of all tensors.
pub(super) fn tensor_shapes(config: &Config) -> impl Iterator<Item = (String, Vec<usize>)> {
    let sizes = &config.sizes;
    let (hidden, inner, vocabulary) = (sizes.hidden_size, sizes.intermediate_size, sizes.vocab_size);
    let keys = hidden / sizes.num_attention_heads * sizes.num_key_value_heads;
    let layer = move |at: usize| {
        let tensors = [
            ("input_layernorm", vec![hidden]),
            ("self_attn.q_proj", vec![hidden, hidden]),
            ("self_attn.k_proj", vec![keys, hidden]),
            ("self_attn.v_proj", vec![keys, hidden]),
            ("self_attn.o_proj", vec![hidden, hidden]),
            ("post_attention_layernorm", vec![hidden]),
            ("mlp.gate_proj", vec![inner, hidden]),
            ("mlp.up_proj", vec![inner, hidden]),
            ("mlp.down_proj", vec![hidden, inner]),
        ];
        tensors.map(|(name, shape)| (format!("model.layers.{at}.{name}.weight"), shape))
    };
    let table = |name: &str| (format!("{name}.weight"), vec![vocabulary, hidden]);
    let head = (!sizes.tie_word_embeddings).then(|| table("lm_head"));
    [table("model.embed_tokens"), ("model.norm.weight".into(), vec![hidden])]
        .into_iter()
        .chain(head)
        .chain((0..sizes.num_hidden_layers).flat_map(layer))
}
