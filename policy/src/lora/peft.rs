//! PEFT's adapter folder: `adapter_config.json` and `adapter_model.safetensors`.

use std::path::Path;

use candle_core::{DType, Device};
use serde_json::{Value, json};

use super::{Adapter, LoraConfig, Module};
use crate::{Config, Error, Result, checkpoint, optim::Tensors};

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
const PREFIX: &str = "base_model.model.";

impl Adapter {
    /// The weights as a safetensors file with PEFT's names. The same adapter gives the same bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut named = Tensors::new();
        for (name, tensor) in self.tensors() {
            named.insert(format!("{PREFIX}{name}"), tensor.to_device(&Device::Cpu)?);
        }
        safetensors::serialize(&named, None).map_err(|e| Error::invalid("adapter", e.to_string()))
    }

    /// The adapter whose weights [`Adapter::to_bytes`] wrote.
    pub fn from_bytes(model: &Config, config: LoraConfig, bytes: &[u8], device: &Device) -> Result<Self> {
        let mut tensors = Tensors::new();
        for (name, tensor) in checkpoint::parse(bytes, device)? {
            let name = internal_name(&name).ok_or_else(|| {
                Error::invalid(format!("adapter tensor {name}"), "is not a LoRA factor of the language model")
            })?;
            if tensor.dtype() != DType::F32 {
                tensors.insert(name, tensor.to_dtype(DType::F32)?);
            } else {
                tensors.insert(name, tensor);
            }
        }
        for (name, tensor) in &tensors {
            if !checkpoint::all_finite(tensor)? {
                return Err(Error::invalid(format!("adapter tensor {name}"), "holds a value that is not finite"));
            }
        }
        Self::from_tensors(model, config, tensors)
    }

    /// Writes the folder as PEFT would.
    pub fn save_peft(&self, dir: &Path, base_model: &str) -> Result<()> {
        std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
        let config = self.config();
        let mut modules: Vec<&str> =
            config.target_modules.iter().filter_map(|m| m.path().split('.').next_back()).collect();
        modules.sort_unstable();
        // A regular expression: the vision tower's MLP has layers of the same names.
        let pattern = format!(r".*language_model\.layers\.\d+\.(self_attn|mlp)\.({})", modules.join("|"));
        let json = json!({
            "base_model_name_or_path": base_model,
            "bias": "none",
            "fan_in_fan_out": false,
            "inference_mode": true,
            "init_lora_weights": true,
            "lora_alpha": config.alpha,
            "lora_dropout": 0.0,
            "modules_to_save": null,
            "peft_type": "LORA",
            "r": config.rank,
            "target_modules": pattern,
            "task_type": "CAUSAL_LM",
            "use_dora": false,
            "use_rslora": config.rslora,
        });
        let text = serde_json::to_string_pretty(&json).map_err(|e| Error::invalid(CONFIG, e.to_string()))?;
        checkpoint::write_whole(&dir.join(CONFIG), text.as_bytes())?;
        checkpoint::write_whole(&dir.join(WEIGHTS), &self.to_bytes()?)
    }

    /// Reads a folder that PEFT or [`Adapter::save_peft`] wrote. Key names with and without the `language_model.`
    /// infix are understood; which layers are adapted is taken from the weights.
    pub fn load_peft(model: &Config, dir: &Path, device: &Device) -> Result<Self> {
        let path = dir.join(CONFIG);
        let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
        let json: Value = serde_json::from_str(&text).map_err(|e| Error::file(&path, e))?;
        let config = settings(&json).map_err(|e| Error::file(&path, e))?;
        let path = dir.join(WEIGHTS);
        let bytes = std::fs::read(&path).map_err(Error::io(&path))?;
        let names = checkpoint::names(&bytes).map_err(|e| Error::file(&path, e))?;
        let adapted = |m: &Module| names.iter().any(|n| n.contains(&format!(".{}.lora_", m.path())));
        let config = LoraConfig { target_modules: Module::ALL.into_iter().filter(adapted).collect(), ..config };
        Self::from_bytes(model, config, &bytes, device).map_err(|e| Error::file(&path, e))
    }
}

fn settings(json: &Value) -> Result<LoraConfig> {
    let refuse = |key: &str, reason: &str| Err(Error::invalid(key, reason));
    if json["peft_type"].as_str().is_some_and(|kind| kind != "LORA") {
        return refuse("peft_type", "only LORA adapters are supported");
    }
    for key in ["modules_to_save", "layers_to_transform", "trainable_token_indices"] {
        let value = &json[key];
        if !(value.is_null() || value.as_array().is_some_and(Vec::is_empty)) {
            return refuse(key, "is not supported: only LoRA factors on the language model's linear layers are");
        }
    }
    for key in ["use_dora", "fan_in_fan_out", "lora_bias"] {
        if json[key].as_bool() == Some(true) {
            return refuse(key, "is not supported");
        }
    }
    for key in ["rank_pattern", "alpha_pattern"] {
        if json[key].as_object().is_some_and(|map| !map.is_empty()) {
            return refuse(key, "is not supported: one rank and one alpha for all layers are");
        }
    }
    if json["bias"].as_str().is_some_and(|bias| bias != "none") {
        return refuse("bias", "only \"none\" is supported");
    }
    let (Some(rank), Some(alpha)) = (json["r"].as_u64(), json["lora_alpha"].as_f64()) else {
        return refuse("r, lora_alpha", "expected two numbers");
    };
    let rslora = json["use_rslora"].as_bool().unwrap_or(false);
    Ok(LoraConfig { rank: usize::try_from(rank).unwrap_or(0), alpha, rslora, ..LoraConfig::default() })
}

/// `base_model.model.model.language_model.layers.…` and `base_model.model.model.layers.…` name the same tensor.
fn internal_name(name: &str) -> Option<String> {
    let name = name.strip_prefix(PREFIX)?;
    let layers = name.find("layers.").filter(|_| !name.contains("visual"))?;
    let rest = name[layers..].replace(".lora_A.default.weight", ".lora_A.weight");
    Some(format!("model.language_model.{}", rest.replace(".lora_B.default.weight", ".lora_B.weight")))
}
