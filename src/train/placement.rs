//! Where and how the policy runs: on which devices it samples and learns, and what it may take there.

use std::{
    collections::BTreeMap,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

use addendum_policy::{Policy, Result, device::device, image::PixelLimits};
use anyhow::Context;
use candle_core::DType;
use clap::{Args, ValueEnum};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::settings::Problem;
use crate::qwen::{Decoded, Prompts};

/// How weight matrices are stored; everything else is f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WeightType {
    /// Four bytes a weight.
    #[default]
    F32,
    /// Two bytes a weight, as checkpoints are published; the fastest on a GPU.
    Bf16,
    /// Two bytes a weight, finer than bf16 and with a smaller range.
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

/// The supervised checkpoint that a run starts from, and where it runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyConfig {
    /// The checkpoint folder, as its hub has it: config.json, weights, tokenizer.json, preprocessor_config.json. A
    /// resumed run needs the same contents, wherever they are.
    #[schemars(extend("x-resume" = "free"))]
    pub path: PathBuf,
    /// What adapters name as their base, such as Qwen/Qwen2.5-VL-3B-Instruct; `path` where not set.
    #[schemars(extend("x-resume" = "free"))]
    pub name: Option<String>,
    /// How weight matrices are stored; everything else is f32.
    pub dtype: WeightType,
    /// Bounds on the pixels of an image; the checkpoint's own where not set.
    pub pixels: Option<PixelLimits>,
    /// Where the policy samples and learns: cpu, or cuda:N in a build with the feature `cuda`.
    #[schemars(extend("x-resume" = "rounding"))]
    pub device: String,
    /// Devices of the samplers, in turn; `device` where empty.
    #[schemars(extend("x-resume" = "rounding"))]
    pub sampler_devices: Vec<String>,
    /// Devices of the learner, which spreads its micro-batches over them; `device` where empty.
    #[schemars(extend("x-resume" = "rounding"))]
    pub learner_devices: Vec<String>,
    /// Bytes of encoded images that are kept on each device; studies beyond them are encoded whenever they are needed.
    #[schemars(extend("x-resume" = "free"))]
    pub kept_features_bytes: usize,
}

impl Default for PolicyConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            name: None,
            dtype: WeightType::default(),
            pixels: None,
            device: "cpu".into(),
            sampler_devices: Vec::new(),
            learner_devices: Vec::new(),
            kept_features_bytes: 512 << 20,
        }
    }
}

impl PolicyConfig {
    /// # Errors
    /// No folder, or bounds on pixels that no image meets.
    pub fn validate(&self) -> std::result::Result<(), Problem> {
        if self.path.as_os_str().is_empty() {
            return Err(Problem::new("path", "not set; name the folder of a supervised checkpoint"));
        }
        let names = [&self.device].into_iter().chain(&self.sampler_devices).chain(&self.learner_devices);
        let known = |name: &str| name == "cpu" || name.strip_prefix("cuda:").is_some_and(|n| n.parse::<u16>().is_ok());
        if let Some(name) = names.into_iter().find(|name| !known(name)) {
            return Err(Problem::new("device", format!("names `{name}`, expected cpu or cuda:N")));
        }
        match self.pixels {
            Some(PixelLimits { min, max }) if min == 0 || min > max => {
                Err(Problem::new("pixels", format!("are {min} to {max}, expected a range above 0")))
            }
            _ => Ok(()),
        }
    }

    /// What an adapter of this policy says of its base.
    pub fn base_name(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.path.display().to_string())
    }

    /// The devices, as the other commands name them.
    pub fn devices(&self) -> Devices {
        Devices {
            device: self.device.clone(),
            sampler_devices: self.sampler_devices.clone(),
            learner_devices: self.learner_devices.clone(),
            dtype: self.dtype,
            memory: None,
            pixels: self.pixels,
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
    /// GiB that a step of the learner may take on a device; micro-batches are cut to fit. Without it nine tenths of a
    /// GPU's free memory, and no limit on the CPU.
    #[arg(long, value_name = "GIB")]
    pub memory: Option<f64>,
    /// Bounds on the pixels of an image; the checkpoint's without it, 262144,401408 in the paper.
    #[arg(long, value_name = "MIN,MAX", value_parser = pixels)]
    pub pixels: Option<PixelLimits>,
}

impl Devices {
    /// Puts what differs from the usual into `config`.
    pub fn apply(&self, config: &mut PolicyConfig) {
        let usual = PolicyConfig::default();
        if self.device != usual.device {
            config.device = self.device.clone();
        }
        if self.dtype != usual.dtype {
            config.dtype = self.dtype;
        }
        if !self.sampler_devices.is_empty() {
            config.sampler_devices = self.sampler_devices.clone();
        }
        if !self.learner_devices.is_empty() {
            config.learner_devices = self.learner_devices.clone();
        }
        config.pixels = self.pixels.or(config.pixels);
    }

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
        let decoded = Arc::new(Decoded::default());
        for name in samplers.iter().chain(&learner) {
            if !loaded.contains_key(name.as_str()) {
                let policy = Policy::load(dir, devices.dtype.into(), &device(name)?)?;
                let policy = match devices.pixels {
                    Some(limits) => policy.with_pixels(limits)?,
                    None => policy,
                };
                let prompts = Prompts::new(Arc::new(policy), budget).sharing(decoded.clone());
                loaded.insert(name, Arc::new(prompts));
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

/// Files of a checkpoint folder that decide what the policy computes, besides its weights.
const DECIDING: [&str; 6] = [
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "preprocessor_config.json",
    "generation_config.json",
    "chat_template.json",
];

/// What a resumed run compares: sizes and checksums of the checkpoint's files, weights included.
///
/// # Errors
/// A file that cannot be read.
pub fn fingerprint(dir: &Path) -> anyhow::Result<String> {
    let mut names: Vec<String> = DECIDING.iter().map(ToString::to_string).collect();
    for entry in std::fs::read_dir(dir).with_context(|| format!("{}: cannot be read", dir.display()))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".safetensors") {
            names.push(name);
        }
    }
    names.sort();
    let (mut all, mut bytes) = (crc32fast::Hasher::new(), 0);
    for name in names {
        let path = dir.join(&name);
        if path.is_file() {
            let mut file = std::fs::File::open(&path).with_context(|| format!("{}: cannot be read", path.display()))?;
            all.update(name.as_bytes());
            let mut buffer = vec![0; 1 << 20];
            loop {
                let read = file.read(&mut buffer).with_context(|| format!("{}: cannot be read", path.display()))?;
                if read == 0 {
                    break;
                }
                all.update(&buffer[..read]);
                bytes += read as u64;
            }
        }
    }
    Ok(format!("{bytes} bytes, crc32 {:08x}", all.finalize()))
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
