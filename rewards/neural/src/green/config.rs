//! Reads what a grader's folder says of its model: `config.json` and `generation_config.json`.

use std::path::Path;

use addendum_rewards::Result;
use candle_core::DType;
use candle_transformers::models::llama;
use serde::Deserialize;

use crate::{config::read, weights::refuse};

/// What error messages call the grader.
pub(super) const COMPONENT: &str = "green";

/// The only architecture.
const ARCHITECTURE: &str = "LlamaForCausalLM";

/// A Llama.
pub(super) struct Config {
    pub(super) sizes: llama::Config,
    /// The token that begins a text.
    pub(super) start: u32,
    /// The token that ends a turn.
    pub(super) end: u32,
    /// The tokens that end an answer.
    pub(super) stops: Vec<u32>,
    /// Numbers to compute with where the device allows it.
    pub(super) numbers: DType,
}

/// The part of `config.json` that matters.
#[derive(Deserialize)]
struct Described {
    architectures: Vec<String>,
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    max_position_embeddings: usize,
    rms_norm_eps: f64,
    rope_theta: Option<f32>,
    rope_scaling: Option<Rope>,
    rope_parameters: Option<Rope>,
    hidden_act: String,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    #[serde(default)]
    tie_word_embeddings: bool,
    bos_token_id: u32,
    eos_token_id: Stops,
    #[serde(alias = "dtype")]
    torch_dtype: Option<String>,
}

/// How positions are rotated; newer folders have the base here.
#[derive(Deserialize)]
struct Rope {
    #[serde(alias = "type")]
    rope_type: Option<String>,
    rope_theta: Option<f32>,
}

#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum Stops {
    One(u32),
    Some(Vec<u32>),
}

impl Stops {
    fn tokens(&self) -> &[u32] {
        match self {
            Self::One(token) => std::slice::from_ref(token),
            Self::Some(tokens) => tokens,
        }
    }
}

/// The part of `generation_config.json` that matters.
#[derive(Deserialize)]
struct Generation {
    eos_token_id: Option<Stops>,
}

impl Described {
    fn check(&self) -> Result<(), String> {
        if !self.architectures.iter().any(|name| name == ARCHITECTURE) {
            return Err(format!("`architectures` is {:?}; expected [\"{ARCHITECTURE}\"]", self.architectures));
        }
        // Nothing near these exists; larger numbers would only overflow or fill the memory.
        const LARGEST: usize = 1 << 24;
        const LONGEST: usize = 1 << 17;
        let (hidden, heads, groups) = (self.hidden_size, self.num_attention_heads, self.groups());
        let counts = [
            ("vocab_size", self.vocab_size, LARGEST),
            ("hidden_size", hidden, LARGEST),
            ("intermediate_size", self.intermediate_size, LARGEST),
            ("num_hidden_layers", self.num_hidden_layers, LARGEST),
            ("num_attention_heads", heads, LARGEST),
            ("num_key_value_heads", groups, heads),
            ("max_position_embeddings", self.max_position_embeddings, LONGEST),
        ];
        for (field, value, largest) in counts {
            if !(1..=largest).contains(&value) {
                return Err(format!("`{field}` is {value}; expected 1 to {largest}"));
            }
        }
        if !hidden.is_multiple_of(2 * heads) {
            return Err(format!(
                "`hidden_size` is {hidden}; expected an even number for each of {heads} attention heads"
            ));
        }
        if !heads.is_multiple_of(groups) {
            return Err(format!("`num_key_value_heads` is {groups}, which does not divide {heads} attention heads"));
        }
        // candle-transformers takes the number of heads for that of the keys when it looks for keys that are too many.
        if groups > self.max_position_embeddings {
            let positions = self.max_position_embeddings;
            return Err(format!("`max_position_embeddings` is {positions}; expected at least {groups}"));
        }
        if let Some(width) = self.head_dim.filter(|width| *width != hidden / heads) {
            return Err(format!("`head_dim` is {width}; expected {}", hidden / heads));
        }
        if !(self.rms_norm_eps > 0. && self.rms_norm_eps < 1.) {
            return Err(format!("`rms_norm_eps` is {}; expected a small positive number", self.rms_norm_eps));
        }
        if !(self.base() >= 1. && self.base().is_finite()) {
            return Err(format!("`rope_theta` is {}; expected a finite number, 1 or more", self.base()));
        }
        for rope in [&self.rope_scaling, &self.rope_parameters].into_iter().flatten() {
            if let Some(kind) = rope.rope_type.as_ref().filter(|kind| *kind != "default") {
                return Err(format!("positions are rotated as `{kind}`; expected no scaling"));
            }
        }
        if self.hidden_act != "silu" {
            return Err(format!("`hidden_act` is `{}`; expected `silu`", self.hidden_act));
        }
        for (field, value) in [("attention_bias", self.attention_bias), ("mlp_bias", self.mlp_bias)] {
            if value {
                return Err(format!("`{field}` is true; expected false"));
            }
        }
        self.known("bos_token_id", &[self.bos_token_id])?;
        self.known("eos_token_id", self.eos_token_id.tokens())
    }

    /// Whether a field holds tokens of the vocabulary, at least one.
    fn known(&self, field: &str, tokens: &[u32]) -> Result<(), String> {
        match tokens.iter().find(|&&token| token as usize >= self.vocab_size) {
            None if tokens.is_empty() => Err(format!("`{field}` names no token")),
            None => Ok(()),
            Some(token) => Err(format!("`{field}` is {token}; the model knows {} tokens", self.vocab_size)),
        }
    }

    /// Heads of keys and values.
    fn groups(&self) -> usize {
        self.num_key_value_heads.unwrap_or(self.num_attention_heads)
    }

    /// The base of the rotations' frequencies.
    fn base(&self) -> f32 {
        self.rope_theta.or(self.rope_parameters.as_ref().and_then(|rope| rope.rope_theta)).unwrap_or(10_000.)
    }

    fn sizes(&self) -> llama::Config {
        llama::Config {
            hidden_size: self.hidden_size,
            intermediate_size: self.intermediate_size,
            vocab_size: self.vocab_size,
            num_hidden_layers: self.num_hidden_layers,
            num_attention_heads: self.num_attention_heads,
            num_key_value_heads: self.groups(),
            use_flash_attn: false,
            rms_norm_eps: self.rms_norm_eps,
            rope_theta: self.base(),
            bos_token_id: None,
            eos_token_id: None,
            rope_scaling: None,
            max_position_embeddings: self.max_position_embeddings,
            tie_word_embeddings: self.tie_word_embeddings,
        }
    }
}

impl Config {
    /// Reads a folder's files; `generation_config.json` may be missing.
    ///
    /// # Errors
    /// Unreadable and malformed files, other architectures, impossible sizes.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let described: Described = read(&folder.join("config.json"), Described::check)?;
        let mut stops = described.eos_token_id.tokens().to_vec();
        let end = stops[0];
        let file = folder.join("generation_config.json");
        if file.exists()
            && let Some(more) = read::<Generation>(&file, |_| Ok(()))?.eos_token_id
        {
            described.known("eos_token_id", more.tokens()).map_err(|complaint| refuse(&file, complaint))?;
            stops.extend(more.tokens());
        }
        let numbers = match described.torch_dtype.as_deref() {
            Some("float16") => DType::F16,
            Some("bfloat16") => DType::BF16,
            _ => DType::F32,
        };
        Ok(Self { sizes: described.sizes(), start: described.bos_token_id, end, stops, numbers })
    }
}
