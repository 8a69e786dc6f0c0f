//! LoRA (Hu et al. 2021) on the language model's linear layers: which layers, how large, and one version's weights.
//!
//! An [`Adapter`] is an immutable snapshot; training makes new ones. Files are in PEFT's format.

mod merge;
mod peft;
mod targets;

use std::collections::BTreeSet;

use addendum_kernels::LoraPair;
use candle_core::{DType, Device, Tensor};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::{
    Config, Error, Result,
    config::TextConfig,
    optim::{Tensors, sum_of_squares},
};

pub use merge::merge_folder;

/// A linear layer of a decoder layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Module {
    #[serde(rename = "q_proj")]
    Q,
    #[serde(rename = "k_proj")]
    K,
    #[serde(rename = "v_proj")]
    V,
    #[serde(rename = "o_proj")]
    O,
    #[serde(rename = "gate_proj")]
    Gate,
    #[serde(rename = "up_proj")]
    Up,
    #[serde(rename = "down_proj")]
    Down,
}

impl Module {
    pub const COUNT: usize = 7;
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

    pub fn has_bias(self) -> bool {
        matches!(self, Self::Q | Self::K | Self::V)
    }
}

/// Which layers are adapted, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoraConfig {
    pub rank: usize,
    pub alpha: f64,
    pub target_modules: Vec<Module>,
    /// Scale by alpha / sqrt(rank) instead of alpha / rank (Kalajdzievski 2023).
    pub rslora: bool,
    /// The share of a layer's inputs that PEFT's trainers drop in front of A. Kept, and written back with the adapter,
    /// but never applied here: the objective needs the log-probabilities of the policy that sampled.
    pub dropout: f64,
}

impl Default for LoraConfig {
    fn default() -> Self {
        Self { rank: 16, alpha: 32.0, target_modules: Module::ALL.into(), rslora: false, dropout: 0.0 }
    }
}

impl LoraConfig {
    pub fn validate(&self) -> Result<()> {
        if !(1..=4096).contains(&self.rank) {
            return Err(Error::invalid("lora.rank", format!("{} is not between 1 and 4096", self.rank)));
        }
        if !(self.alpha.is_finite() && self.alpha > 0.0) {
            return Err(Error::invalid("lora.alpha", format!("{} is not finite and above 0", self.alpha)));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(Error::invalid("lora.dropout", format!("{} is not at least 0 and below 1", self.dropout)));
        }
        if self.target_modules.is_empty() {
            return Err(Error::invalid("lora.target_modules", "is empty; nothing would be trained"));
        }
        let once: BTreeSet<_> = self.target_modules.iter().collect();
        if once.len() != self.target_modules.len() {
            let reason = format!("{:?} name a module twice", self.target_modules);
            return Err(Error::invalid("lora.target_modules", reason));
        }
        Ok(())
    }

    /// The factor of B A.
    pub fn scale(&self) -> f64 {
        let rank = self.rank as f64;
        self.alpha / if self.rslora { rank.sqrt() } else { rank }
    }
}

/// The adapted layers of one decoder layer.
#[derive(Clone, Debug, Default)]
pub struct LayerAdapter([Option<LoraPair>; Module::COUNT]);

impl LayerAdapter {
    pub fn get(&self, module: Module) -> Option<&LoraPair> {
        self.0[module as usize].as_ref()
    }
}

/// One version of the trained weights. Cheap to clone; nothing changes it.
#[derive(Clone, Debug)]
pub struct Adapter {
    config: LoraConfig,
    /// By PEFT name without the `base_model.model.` prefix.
    tensors: Tensors,
    layers: Vec<LayerAdapter>,
}

/// `model.language_model.layers.N.<module>.lora_A.weight`, and `lora_B`.
fn tensor_names(layer: usize, module: Module) -> [String; 2] {
    ["A", "B"].map(|factor| format!("model.language_model.layers.{layer}.{}.lora_{factor}.weight", module.path()))
}

impl Adapter {
    /// A fresh adapter, which changes nothing: A uniform in ±1/sqrt(inputs) as PEFT draws it, B zero.
    pub fn new(model: &Config, config: LoraConfig, seed: u64, device: &Device) -> Result<Self> {
        config.validate()?;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut tensors = Tensors::new();
        for layer in 0..model.text.layers {
            for module in Module::ALL.into_iter().filter(|m| config.target_modules.contains(m)) {
                let (inputs, outputs) = module.shape(&model.text);
                let bound = 1.0 / (inputs as f32).sqrt();
                let a: Vec<f32> = (0..config.rank * inputs).map(|_| rng.random_range(-bound..bound)).collect();
                let [a_name, b_name] = tensor_names(layer, module);
                tensors.insert(a_name, Tensor::from_vec(a, (config.rank, inputs), device)?);
                tensors.insert(b_name, Tensor::zeros((outputs, config.rank), DType::F32, device)?);
            }
        }
        Self::from_tensors(model, config, tensors)
    }

    /// An adapter made of these tensors, which must be exactly those that `config` asks for.
    pub fn from_tensors(model: &Config, config: LoraConfig, tensors: Tensors) -> Result<Self> {
        config.validate()?;
        let mut layers = vec![LayerAdapter::default(); model.text.layers];
        let mut expected = 0;
        for (index, layer) in layers.iter_mut().enumerate() {
            for &module in &config.target_modules {
                let (inputs, outputs) = module.shape(&model.text);
                let [a_name, b_name] = tensor_names(index, module);
                let get = |name: &str, shape: [usize; 2]| match tensors.get(name) {
                    None => Err(Error::invalid(format!("adapter tensor {name}"), "missing")),
                    Some(t) if t.dims() != shape => {
                        let reason = format!("has shape {:?}, expected {shape:?}", t.dims());
                        Err(Error::invalid(format!("adapter tensor {name}"), reason))
                    }
                    Some(t) => Ok(t.clone()),
                };
                let a = get(&a_name, [config.rank, inputs])?;
                let b = get(&b_name, [outputs, config.rank])?;
                layer.0[module as usize] = Some(LoraPair { a, b, scale: config.scale() });
                expected += 2;
            }
        }
        if tensors.len() != expected {
            let known: BTreeSet<_> = (0..layers.len())
                .flat_map(|i| config.target_modules.iter().flat_map(move |&m| tensor_names(i, m)))
                .collect();
            let stray = tensors.keys().find(|name| !known.contains(*name)).cloned().unwrap_or_default();
            return Err(Error::invalid(format!("adapter tensor {stray}"), "belongs to no adapted layer of this model"));
        }
        Ok(Self { config, tensors, layers })
    }

    pub fn config(&self) -> &LoraConfig {
        &self.config
    }

    /// The A of the first pair whose update s B A may hold a value that is not finite: where s ‖B‖ ‖A‖, which bounds its
    /// values, is no f32. `None` for an adapter that can be used.
    pub fn overflow(&self) -> Result<Option<String>> {
        for (index, layer) in self.layers.iter().enumerate() {
            for &module in &self.config.target_modules {
                let Some(LoraPair { a, b, scale }) = layer.get(module) else { continue };
                let bound = scale * sum_of_squares(a)?.sqrt() * sum_of_squares(b)?.sqrt();
                if !(bound as f32).is_finite() {
                    let [a_name, _] = tensor_names(index, module);
                    return Ok(Some(a_name));
                }
            }
        }
        Ok(None)
    }

    /// The same weights on another device.
    pub fn to_device(&self, device: &Device) -> Result<Self> {
        if self.tensors.values().all(|t| t.device().same_device(device)) {
            return Ok(self.clone());
        }
        let mut moved = self.clone();
        for tensor in moved.tensors.values_mut() {
            *tensor = tensor.to_device(device)?;
        }
        for pair in moved.layers.iter_mut().flat_map(|layer| layer.0.iter_mut().flatten()) {
            (pair.a, pair.b) = (pair.a.to_device(device)?, pair.b.to_device(device)?);
        }
        Ok(moved)
    }

    /// Factors by PEFT name without the `base_model.model.` prefix.
    pub fn tensors(&self) -> &Tensors {
        &self.tensors
    }

    pub fn layer(&self, index: usize) -> Option<&LayerAdapter> {
        self.layers.get(index)
    }
}

impl PartialEq for Adapter {
    /// Equal settings and bitwise equal weights.
    fn eq(&self, other: &Self) -> bool {
        self.config == other.config && matches!((self.to_bytes(), other.to_bytes()), (Ok(a), Ok(b)) if a == b)
    }
}
