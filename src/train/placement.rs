//! Where and how the policy runs: on which devices it samples and learns, and what it may take there.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use addendum_policy::{Policy, Result, device::device, image::PixelLimits};
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
    /// GiB that a step of the learner may take on a device; micro-batches are cut to fit. No limit without it.
    #[arg(long, value_name = "GIB")]
    pub memory: Option<f64>,
    /// Bounds on the pixels of an image; the checkpoint's without it, 262144,401408 in the paper.
    #[arg(long, value_name = "MIN,MAX", value_parser = pixels)]
    pub pixels: Option<PixelLimits>,
}

impl Devices {
    /// The learner's memory limit, in bytes.
    pub fn memory_limit(&self) -> Option<u64> {
        self.memory.map(|gib| (gib * (1u64 << 30) as f64) as u64)
    }
}

/// Bounds on pixels as an option writes them: `MIN,MAX`.
///
/// # Errors
/// Another form.
pub fn pixels(text: &str) -> std::result::Result<PixelLimits, String> {
    let parsed = text.split_once(',').and_then(|(min, max)| Some((min.trim().parse().ok()?, max.trim().parse().ok()?)));
    let (min, max) = parsed.ok_or("expected two numbers with a comma between them")?;
    Ok(PixelLimits { min, max })
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
                let policy = match devices.pixels {
                    Some(limits) => policy.with_pixels(limits)?,
                    None => policy,
                };
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

#[cfg(test)]
mod tests {
    use super::*;

    fn devices(samplers: &[&str], learner: &[&str]) -> Devices {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        Devices {
            device: "cpu".into(),
            sampler_devices: names(samplers),
            learner_devices: names(learner),
            dtype: WeightType::Bf16,
            memory: None,
            pixels: Some(PixelLimits { min: 1024, max: 4096 }),
        }
    }

    #[test]
    fn a_device_that_is_named_twice_holds_one_policy() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/checkpoints/phantom-tiny");
        let placement = Placement::load(&dir, &devices(&["cpu", "cpu"], &[]), 0).unwrap();
        assert_eq!((placement.samplers.len(), placement.learner.len()), (2, 1));
        assert!(placement.samplers.iter().all(|prompts| Arc::ptr_eq(prompts, placement.home())));
        let policy = placement.home().policy();
        assert_eq!(policy.images().limits(), PixelLimits { min: 1024, max: 4096 });
        assert_eq!(policy.model().language.head().dtype(), DType::BF16);
        assert!(Placement::load(&dir, &devices(&["gpu"], &[]), 0).is_err());
    }

    #[test]
    fn pixel_bounds_are_two_numbers() {
        assert_eq!(pixels("262144, 401408"), Ok(PixelLimits { min: 262_144, max: 401_408 }));
        for bad in ["", "1", "1,2,3", "a,b", "-1,4"] {
            assert!(pixels(bad).is_err(), "{bad}");
        }
    }
}
