//! Where the policy runs: on which devices it samples, and on which it learns.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use addendum_policy::{Policy, Result, device::device};
use candle_core::DType;
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::qwen::Prompts;

/// How weight matrices are stored; everything else is f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WeightType {
    F32,
    Bf16,
    F16,
}

impl From<WeightType> for DType {
    fn from(value: WeightType) -> Self {
        match value {
            WeightType::F32 => Self::F32,
            WeightType::Bf16 => Self::BF16,
            WeightType::F16 => Self::F16,
        }
    }
}

/// Devices by name: `cpu` or `cuda:N`.
#[derive(Args, Clone, Debug)]
pub struct Devices {
    /// Where the policy samples and learns: cpu, or cuda:N in a build with the feature `cuda`.
    #[arg(long, default_value = "cpu")]
    pub device: String,
    /// Devices of the samplers, in turn; --device without it.
    #[arg(long, value_delimiter = ',', value_name = "DEVICE,...")]
    pub sampler_devices: Vec<String>,
    /// Devices of the learner, which spreads its micro-batches over them; --device without it.
    #[arg(long, value_delimiter = ',', value_name = "DEVICE,...")]
    pub learner_devices: Vec<String>,
    /// How weight matrices are stored.
    #[arg(long, value_enum, default_value = "f32")]
    pub dtype: WeightType,
}

/// One policy on every device that takes part, with its encoded prompts.
#[derive(Clone)]
pub struct Placement {
    /// Of sampler i: `samplers[i % samplers.len()]`.
    pub samplers: Vec<Arc<Prompts>>,
    /// The learner's; the first holds adapter and optimiser, and evaluates.
    pub learner: Vec<Arc<Prompts>>,
}

impl Placement {
    /// Everything on the policy's own device. `budget` bounds the kept image features of a device, in bytes.
    pub fn alone(policy: Policy, budget: usize) -> Self {
        let prompts = Arc::new(Prompts::new(Arc::new(policy), budget));
        Self { samplers: vec![prompts.clone()], learner: vec![prompts] }
    }

    /// Loads a checkpoint folder once for every device that `devices` names.
    pub fn load(dir: &Path, devices: &Devices, budget: usize) -> Result<Self> {
        let or_all = |names: &'_ [String]| if names.is_empty() { vec![devices.device.clone()] } else { names.to_vec() };
        let (samplers, learner) = (or_all(&devices.sampler_devices), or_all(&devices.learner_devices));
        let mut loaded: BTreeMap<&str, Arc<Prompts>> = BTreeMap::new();
        for name in samplers.iter().chain(&learner) {
            if !loaded.contains_key(name.as_str()) {
                let policy = Policy::load(dir, devices.dtype.into(), &device(name)?)?;
                loaded.insert(name, Arc::new(Prompts::new(Arc::new(policy), budget)));
            }
        }
        let placed = |names: &[String]| names.iter().map(|name| loaded[name.as_str()].clone()).collect();
        Ok(Self { samplers: placed(&samplers), learner: placed(&learner) })
    }

    /// The learner's first device.
    pub fn home(&self) -> &Arc<Prompts> {
        &self.learner[0]
    }
}
