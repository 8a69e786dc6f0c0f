//! PEFT's adapter folder: `adapter_config.json` and `adapter_model.safetensors`.

use std::path::Path;

use candle_core::{DType, Device};
use serde_json::{Value, json};

use super::{
    adapter::{Adapter, tensor_names},
    config::LoraConfig,
    targets::{ROOTS, Targets, listed},
};
use crate::{
    Config, Error, Result, checkpoint, files,
    module::Module,
    optim::{Tensors, all_finite},
};

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
const PREFIX: &str = "base_model.model.";

impl Adapter {
    /// The weights as a safetensors file with PEFT's names. The same adapter gives the same bytes.
    ///
    /// # Errors
    /// An update that is not finite, which is never written.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        self.refuse_overflow()?;
        let mut named = Tensors::new();
        for (name, tensor) in self.tensors() {
            named.insert(format!("{PREFIX}{name}"), tensor.to_device(&Device::Cpu)?);
        }
        safetensors::serialize(&named, Some(checkpoint::origin())).map_err(|e| Error::invalid("adapter", e.to_string()))
    }

    /// The adapter whose weights [`Adapter::to_bytes`] wrote.
    pub fn from_bytes(model: &Config, config: LoraConfig, bytes: &[u8], device: &Device) -> Result<Self> {
        let mut tensors = Tensors::new();
        for (file_name, tensor) in checkpoint::parse(bytes, device)? {
            let invalid = |reason: String| Error::invalid(format!("adapter tensor {file_name}"), reason);
            let name = Factor::parse(&file_name)?.tensor_name();
            if !matches!(tensor.dtype(), DType::F32 | DType::F16 | DType::BF16) {
                return Err(invalid(format!("has type {:?}, expected F32, F16 or BF16", tensor.dtype())));
            }
            if !all_finite(&tensor)? {
                return Err(invalid("holds a value that is not finite".into()));
            }
            if tensors.insert(name, tensor.to_dtype(DType::F32)?).is_some() {
                return Err(invalid("is there twice, under two namings".into()));
            }
        }
        let adapter = Self::from_tensors(model, config, tensors)?;
        adapter.refuse_overflow()?;
        Ok(adapter)
    }

    fn refuse_overflow(&self) -> Result<()> {
        match self.overflow()? {
            None => Ok(()),
            Some(name) => {
                let reason = "makes, with its lora_B, an update that is not finite";
                Err(Error::invalid(format!("adapter tensor {name}"), reason))
            }
        }
    }

    /// Writes the folder as PEFT would.
    ///
    /// `target_modules` is a regular expression that names the language model: the layers of the vision tower's MLP
    /// have the same names.
    pub fn save_peft(&self, dir: &Path, base_model: &str) -> Result<()> {
        std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
        let config = self.config();
        let mut modules: Vec<&str> = config.target_modules.iter().map(|m| m.name()).collect();
        modules.sort_unstable();
        let pattern = format!(r".*language_model\.layers\.\d+\.(self_attn|mlp)\.({})", modules.join("|"));
        // PEFT's own type is an integer.
        let alpha = if config.alpha.fract() == 0.0 && config.alpha < 1e15 {
            json!(config.alpha as u64)
        } else {
            json!(config.alpha)
        };
        let json = json!({
            "base_model_name_or_path": base_model,
            "bias": "none",
            "fan_in_fan_out": false,
            "inference_mode": true,
            "init_lora_weights": true,
            "lora_alpha": alpha,
            "lora_dropout": config.dropout,
            "modules_to_save": null,
            "peft_type": "LORA",
            "r": config.rank,
            "target_modules": pattern,
            "task_type": "CAUSAL_LM",
            "use_dora": false,
            "use_rslora": config.rslora,
        });
        let text = serde_json::to_string_pretty(&json).map_err(|e| Error::invalid(CONFIG, e.to_string()))?;
        checkpoint::write_whole(&dir.join(WEIGHTS), &self.to_bytes()?)?;
        checkpoint::write_whole(&dir.join(CONFIG), text.as_bytes())
    }

    /// Reads a folder that PEFT or [`Adapter::save_peft`] wrote, whatever the model that was adapted calls its
    /// layers: the whole one, as published or in newer libraries, or an inner one.
    ///
    /// # Errors
    /// Names the file: one that is missing or damaged; settings that change what an adapter computes in ways that are
    /// not implemented (`modules_to_save`, DoRA, a rank per layer, …); factors of the vision tower; `target_modules`
    /// that do not name the layers whose factors are there; factors that do not fit the model.
    pub fn load_peft(model: &Config, dir: &Path, device: &Device) -> Result<Self> {
        let path = dir.join(CONFIG);
        let text = files::text(&path)?;
        let json: Value = serde_json::from_str(&text).map_err(|e| Error::file(&path, e))?;
        let (settings, targets) = settings(&json).map_err(|e| Error::file(&path, e))?;
        let named = targets.modules(model.text.layers).map_err(|e| Error::file(&path, e))?;

        let weights = dir.join(WEIGHTS);
        let bytes = files::bytes(&weights)?;
        let held = modules(&bytes).map_err(|e| Error::file(&weights, e))?;
        if named != held {
            let reason = format!(
                "target_modules: {} names {} of this model, but {} holds factors of {}",
                json["target_modules"],
                listed(&named),
                weights.display(),
                listed(&held)
            );
            return Err(Error::file(&path, reason));
        }
        let config = LoraConfig { target_modules: held, ..settings };
        Self::from_bytes(model, config, &bytes, device).map_err(|e| Error::file(&weights, e))
    }
}

impl PartialEq for Adapter {
    /// Equal settings and bitwise equal weights.
    fn eq(&self, other: &Self) -> bool {
        self.config() == other.config() && matches!((self.to_bytes(), other.to_bytes()), (Ok(a), Ok(b)) if a == b)
    }
}

/// The modules of which a file holds factors, in the order of [`Module::ALL`].
fn modules(bytes: &[u8]) -> Result<Vec<Module>> {
    let names = checkpoint::names(bytes)?;
    let factors = names.iter().map(|name| Factor::parse(name)).collect::<Result<Vec<_>>>()?;
    Ok(Module::ALL.into_iter().filter(|m| factors.iter().any(|f| f.module == *m)).collect())
}

/// Settings whose presence means that the adapter computes something else than W + s B A in the layers it names.
const UNSUPPORTED: [(&str, &str); 18] = [
    ("modules_to_save", "whole modules beside the LoRA factors"),
    ("trainable_token_indices", "embeddings of single tokens"),
    ("target_parameters", "parameters that are no linear layer's"),
    ("layers_to_transform", "some layers only"),
    ("layer_replication", "repeated layers"),
    ("rank_pattern", "more than one rank"),
    ("alpha_pattern", "more than one alpha"),
    ("use_dora", "DoRA"),
    ("use_qalora", "QA-LoRA"),
    ("use_bdlora", "block-diagonal LoRA"),
    ("lora_bias", "a bias of B"),
    ("fan_in_fan_out", "transposed weights"),
    ("arrow_config", "Arrow"),
    ("alora_invocation_tokens", "activated LoRA"),
    ("kasa_config", "KaSA"),
    ("velora_config", "VeLoRA"),
    ("monteclora_config", "MonteCLoRA"),
    ("loftq_config", "a base that LoftQ changed"),
];

fn settings(json: &Value) -> Result<(LoraConfig, Targets)> {
    if !json.is_object() {
        return Err(Error::invalid("adapter config", "expected a JSON object"));
    }
    let only = |key: &str, allowed: &[Value]| {
        let value = &json[key];
        if value.is_null() || allowed.contains(value) {
            return Ok(());
        }
        let allowed: Vec<String> = allowed.iter().map(Value::to_string).collect();
        Err(Error::invalid(key, format!("{value} is not supported; expected {}", allowed.join(" or "))))
    };
    only("peft_type", &[json!("LORA")])?;
    only("bias", &[json!("none")])?;
    // Other initialisers (PiSSA, OLoRA, CorDA, …) take a part out of the base weights, which the adapter then needs.
    only("init_lora_weights", &[json!(true), json!(false), json!("gaussian"), json!("eva"), json!("orthogonal")])?;
    for (key, meaning) in UNSUPPORTED {
        let off = match &json[key] {
            Value::Null | Value::Bool(false) => true,
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            _ => false,
        };
        if !off {
            let reason = format!("{} ({meaning}) is not supported; expected LoRA factors only", json[key]);
            return Err(Error::invalid(key, reason));
        }
    }
    let number = |key: &str, fallback: Option<f64>| match (&json[key], fallback) {
        (Value::Null, Some(fallback)) => Ok(fallback),
        (value, _) => value.as_f64().ok_or_else(|| Error::invalid(key, format!("expected a number, got {value}"))),
    };
    let rank = json["r"].as_u64().and_then(|r| usize::try_from(r).ok());
    let config = LoraConfig {
        rank: rank.ok_or_else(|| Error::invalid("r", format!("expected a rank, got {}", json["r"])))?,
        alpha: number("lora_alpha", None)?,
        dropout: number("lora_dropout", Some(0.0))?,
        rslora: match &json["use_rslora"] {
            Value::Null => false,
            Value::Bool(on) => *on,
            other => return Err(Error::invalid("use_rslora", format!("expected true or false, got {other}"))),
        },
        ..LoraConfig::default()
    };
    config.validate()?;
    Ok((config, Targets::parse(json)?))
}

/// Which LoRA factor a tensor of an adapter file is.
struct Factor {
    layer: usize,
    module: Module,
    /// 0 for A, 1 for B.
    index: usize,
}

impl Factor {
    /// From a name as PEFT writes it over any naming of the base model's layers, with or without the adapter's name
    /// (`default`, where a state was saved before PEFT took it out).
    fn parse(name: &str) -> Result<Self> {
        Self::find(name).ok_or_else(|| {
            let reason = if name.contains("visual.") {
                "belongs to the vision tower, which is frozen here; train the adapter with target_modules that name \
                 layers of the language model only"
            } else if name.contains("lora_") {
                "is a LoRA factor of none of the language model's linear layers, in no naming of them that is known"
            } else {
                "is no LoRA factor; whole modules in an adapter are not supported"
            };
            Error::invalid(format!("adapter tensor {name}"), reason)
        })
    }

    fn find(name: &str) -> Option<Self> {
        let name = name.strip_prefix(PREFIX).unwrap_or(name);
        let rest = ROOTS.iter().find_map(|root| name.strip_prefix(root))?;
        let (layer, rest) = rest.strip_prefix("layers.")?.split_once('.')?;
        let (module, factor) = rest.split_once(".lora_")?;
        let index = match factor {
            "A.weight" | "A.default.weight" => 0,
            "B.weight" | "B.default.weight" => 1,
            _ => return None,
        };
        let module = Module::ALL.into_iter().find(|m| m.path() == module)?;
        Some(Self { layer: layer.parse().ok()?, module, index })
    }

    fn tensor_name(&self) -> String {
        let [a, b] = tensor_names(self.layer, self.module);
        if self.index == 0 { a } else { b }
    }
}
