//! The model's `config.json`, in the published flat form and in the nested form that newer libraries write.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::{Error, Result, files};

/// Sizes of the language model.
#[derive(Clone, Debug, PartialEq)]
pub struct TextConfig {
    /// Rows of the embedding table; may exceed the tokenizer's vocabulary.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width between the two halves of an MLP.
    pub intermediate_size: usize,
    /// Decoder layers.
    pub layers: usize,
    /// Heads of queries.
    pub heads: usize,
    /// Heads of keys and values; divides `heads`.
    pub kv_heads: usize,
    /// What RMS norms add to the mean square.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Frequencies of the temporal, height and width axes; they sum to half the head dimension.
    pub mrope_section: [usize; 3],
}

impl TextConfig {
    /// Width of a head.
    pub fn head_dim(&self) -> usize {
        self.hidden_size / self.heads
    }
}

/// Sizes of the vision tower.
#[derive(Clone, Debug, PartialEq)]
pub struct VisionConfig {
    /// Blocks of the tower.
    pub depth: usize,
    /// Width of the tower's residual stream.
    pub hidden_size: usize,
    /// Width between the two halves of an MLP.
    pub intermediate_size: usize,
    /// Heads of a block, each with keys and values of its own.
    pub heads: usize,
    /// Colour channels of an image: 3.
    pub in_channels: usize,
    /// Width of an image feature: the language model's `hidden_size`.
    pub out_hidden_size: usize,
    /// Side of a square patch, in pixels.
    pub patch_size: usize,
    /// Frames per patch; a still image is repeated.
    pub temporal_patch_size: usize,
    /// Side of the square of patches that becomes one feature.
    pub spatial_merge_size: usize,
    /// Side of an attention window, in pixels.
    pub window_size: usize,
    /// Blocks that attend to the whole image instead of a window.
    pub fullatt_block_indexes: Vec<usize>,
}

impl VisionConfig {
    /// Values of one flattened patch.
    pub fn patch_dim(&self) -> usize {
        self.in_channels * self.temporal_patch_size * self.patch_size * self.patch_size
    }
}

/// Sizes and token ids of a Qwen2.5-VL model.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The language model.
    pub text: TextConfig,
    /// The vision tower.
    pub vision: VisionConfig,
    /// Whether embeddings and vocabulary projection are one matrix.
    pub tie_word_embeddings: bool,
    /// Stands once for every feature of an image.
    pub image_token_id: u32,
    /// Not in every config; nothing here has videos.
    pub video_token_id: Option<u32>,
    /// Opens an image in a prompt.
    pub vision_start_token_id: u32,
    /// Closes an image in a prompt.
    pub vision_end_token_id: u32,
    /// `<|im_end|>` or `<|endoftext|>`. What ends a report is the tokenizer's.
    pub eos_token_id: u32,
}

impl Config {
    /// A model that trains from scratch on two cores in minutes: 1.5 million parameters with a small vocabulary.
    ///
    /// The caller sets the token ids of the tokenizer it trained.
    pub fn tiny(vocab_size: usize) -> Self {
        Self {
            text: TextConfig {
                vocab_size,
                hidden_size: 128,
                intermediate_size: 352,
                layers: 4,
                heads: 4,
                kv_heads: 2,
                rms_norm_eps: 1e-6,
                rope_theta: 10_000.0,
                mrope_section: [4, 6, 6],
            },
            vision: VisionConfig {
                depth: 3,
                hidden_size: 96,
                intermediate_size: 256,
                heads: 3,
                in_channels: 3,
                out_hidden_size: 128,
                patch_size: 14,
                temporal_patch_size: 2,
                spatial_merge_size: 2,
                window_size: 56,
                fullatt_block_indexes: vec![1, 2],
            },
            tie_word_embeddings: true,
            image_token_id: 0,
            video_token_id: None,
            vision_start_token_id: 0,
            vision_end_token_id: 0,
            eos_token_id: 0,
        }
    }

    /// The tokens that stand for images and videos, which no response holds.
    pub fn vision_tokens(&self) -> Vec<u32> {
        let known = [self.vision_start_token_id, self.vision_end_token_id, self.image_token_id];
        known.into_iter().chain(self.video_token_id).collect()
    }

    /// Reads a `config.json`.
    ///
    /// # Errors
    /// Names the file that cannot be read, and the field that is missing, of another kind, out of its range, or asks
    /// for what is not implemented.
    pub fn load(path: &Path) -> Result<Self> {
        let text = files::text(path)?;
        let value: Value = serde_json::from_str(&text).map_err(|e| Error::file(path, e))?;
        Self::from_json(&value).map_err(|e| Error::file(path, e))
    }

    /// The same from the file's contents.
    ///
    /// # Errors
    /// As [`Config::load`], without a file to name.
    pub fn from_json(value: &Value) -> Result<Self> {
        let Some(root) = value.as_object() else {
            return Err(Error::invalid("config", "expected a JSON object"));
        };
        let empty = Map::new();
        let nested = root.get("text_config").and_then(Value::as_object).unwrap_or(&empty);
        let Some(vision) = root.get("vision_config").and_then(Value::as_object) else {
            return Err(Error::invalid("vision_config", "missing; expected an object"));
        };
        // The nested text section wins: newer libraries repeat some of its keys, stale, at the top.
        let text = Fields("text_config", &[nested, root]);
        let rope = ["rope_parameters", "rope_scaling"]
            .iter()
            .find_map(|key| text.find(key).and_then(Value::as_object))
            .unwrap_or(&empty);
        let rope = Fields("rope_parameters", &[rope, nested, root]);
        let hidden_size = text.size("hidden_size")?;
        let heads = text.size("num_attention_heads")?;
        let vision = Fields("vision_config", &[vision]);
        let ids = Fields("config", &[root, nested]);
        ids.is_if_given("model_type", &json!("qwen2_5_vl"))?;
        text.is_if_given("hidden_act", &json!("silu"))?;
        text.is_if_given("use_sliding_window", &json!(false))?;
        vision.is_if_given("hidden_act", &json!("silu"))?;
        let config = Self {
            text: TextConfig {
                vocab_size: text.size("vocab_size")?,
                hidden_size,
                intermediate_size: text.size("intermediate_size")?,
                layers: text.size("num_hidden_layers")?,
                heads,
                kv_heads: text.size("num_key_value_heads")?,
                rms_norm_eps: text.number("rms_norm_eps")?,
                rope_theta: rope.number("rope_theta")?,
                mrope_section: rope
                    .sizes("mrope_section")?
                    .try_into()
                    .map_err(|_| Error::invalid("mrope_section", "expected three sizes"))?,
            },
            vision: VisionConfig {
                depth: vision.size("depth")?,
                hidden_size: vision.size("hidden_size")?,
                intermediate_size: vision.size("intermediate_size")?,
                heads: vision.size("num_heads")?,
                in_channels: vision.size_or("in_channels", vision.size_or("in_chans", 3)?)?,
                out_hidden_size: vision.size("out_hidden_size")?,
                patch_size: vision.size_or("patch_size", 14)?,
                temporal_patch_size: vision.size_or("temporal_patch_size", 2)?,
                spatial_merge_size: vision.size_or("spatial_merge_size", 2)?,
                window_size: vision.size_or("window_size", 112)?,
                fullatt_block_indexes: vision.sizes("fullatt_block_indexes")?,
            },
            tie_word_embeddings: ids.find("tie_word_embeddings").and_then(Value::as_bool).unwrap_or(false),
            image_token_id: ids.id("image_token_id")?,
            video_token_id: ids.find("video_token_id").map(|_| ids.id("video_token_id")).transpose()?,
            vision_start_token_id: ids.id("vision_start_token_id")?,
            vision_end_token_id: ids.id("vision_end_token_id")?,
            eos_token_id: ids.first_id("eos_token_id")?,
        };
        config.validate()?;
        Ok(config)
    }

    fn validate(&self) -> Result<()> {
        let (t, v) = (&self.text, &self.vision);
        let check = |ok: bool, what: &str, reason: String| if ok { Ok(()) } else { Err(Error::invalid(what, reason)) };
        check(
            t.hidden_size % t.heads == 0 && t.head_dim() % 2 == 0,
            "num_attention_heads",
            format!("{} heads do not divide a hidden size of {} into even parts", t.heads, t.hidden_size),
        )?;
        check(
            t.heads % t.kv_heads == 0,
            "num_key_value_heads",
            format!("{} key heads do not divide {} heads", t.kv_heads, t.heads),
        )?;
        check(
            t.mrope_section.iter().sum::<usize>() == t.head_dim() / 2,
            "mrope_section",
            format!("{:?} does not sum to half the head dimension, {}", t.mrope_section, t.head_dim() / 2),
        )?;
        check(
            v.hidden_size % v.heads == 0 && (v.hidden_size / v.heads) % 4 == 0,
            "vision_config.num_heads",
            format!("{} heads do not divide {} into multiples of 4", v.heads, v.hidden_size),
        )?;
        check(
            v.window_size >= v.patch_size * v.spatial_merge_size,
            "vision_config.window_size",
            format!("{} pixels hold no merged patch", v.window_size),
        )?;
        check(
            v.fullatt_block_indexes.iter().all(|&block| block < v.depth),
            "vision_config.fullatt_block_indexes",
            format!("{:?} are not all below depth {}", v.fullatt_block_indexes, v.depth),
        )?;
        check(
            v.in_channels == 3,
            "vision_config.in_channels",
            format!("{}, but images come in 3 channels", v.in_channels),
        )?;
        check(
            v.out_hidden_size == t.hidden_size,
            "vision_config.out_hidden_size",
            format!("{} is not the text model's hidden size, {}", v.out_hidden_size, t.hidden_size),
        )?;
        let mut ids = self.vision_tokens();
        ids.push(self.eos_token_id);
        check(
            ids.iter().all(|&id| (id as usize) < t.vocab_size),
            "token ids",
            format!("{ids:?} are not all below vocab_size {}", t.vocab_size),
        )
    }

    /// The published flat form.
    pub fn to_json(&self) -> Value {
        let (t, v) = (&self.text, &self.vision);
        let mut json = json!({
            "architectures": ["Qwen2_5_VLForConditionalGeneration"],
            "model_type": "qwen2_5_vl",
            "torch_dtype": "float32",
            "bos_token_id": null,
            "hidden_act": "silu",
            "vocab_size": t.vocab_size,
            "hidden_size": t.hidden_size,
            "intermediate_size": t.intermediate_size,
            "num_hidden_layers": t.layers,
            "num_attention_heads": t.heads,
            "num_key_value_heads": t.kv_heads,
            "rms_norm_eps": t.rms_norm_eps,
            "rope_theta": t.rope_theta,
            "rope_scaling": {"type": "mrope", "mrope_section": t.mrope_section},
            "max_position_embeddings": 128_000,
            "use_sliding_window": false,
            "tie_word_embeddings": self.tie_word_embeddings,
            "image_token_id": self.image_token_id,
            "vision_start_token_id": self.vision_start_token_id,
            "vision_end_token_id": self.vision_end_token_id,
            "eos_token_id": self.eos_token_id,
            "vision_config": {
                "depth": v.depth,
                "hidden_act": "silu",
                "hidden_size": v.hidden_size,
                "intermediate_size": v.intermediate_size,
                "num_heads": v.heads,
                "in_chans": v.in_channels,
                "out_hidden_size": v.out_hidden_size,
                "patch_size": v.patch_size,
                "spatial_patch_size": v.patch_size,
                "temporal_patch_size": v.temporal_patch_size,
                "spatial_merge_size": v.spatial_merge_size,
                "window_size": v.window_size,
                "fullatt_block_indexes": v.fullatt_block_indexes,
                "tokens_per_second": 2,
            },
        });
        if let Some(id) = self.video_token_id {
            json["video_token_id"] = id.into();
        }
        json
    }
}

/// Keys looked up in several objects, the first that has one wins; errors name the section and the key.
struct Fields<'a>(&'static str, &'a [&'a Map<String, Value>]);

/// No published size comes near; larger ones are mistakes or attacks.
const MOST: u64 = 1 << 24;

/// The same for sizes of which something is made before any weight is looked at.
fn most(key: &str) -> u64 {
    match key {
        "num_hidden_layers" | "depth" => 1 << 10,
        "window_size" => 1 << 14,
        "hidden_size" | "intermediate_size" | "out_hidden_size" => 1 << 20,
        _ => MOST,
    }
}

impl Fields<'_> {
    fn find(&self, key: &str) -> Option<&Value> {
        self.1.iter().find_map(|map| map.get(key)).filter(|value| !value.is_null())
    }

    fn get(&self, key: &str) -> Result<&Value> {
        self.find(key).ok_or_else(|| Error::invalid(format!("{}.{key}", self.0), "missing"))
    }

    fn wrong(&self, key: &str, value: &Value, expected: &str) -> Error {
        Error::invalid(format!("{}.{key}", self.0), format!("expected {expected}, got {value}"))
    }

    /// For settings of which only one value is implemented.
    fn is_if_given(&self, key: &str, expected: &Value) -> Result<()> {
        match self.find(key) {
            Some(value) if value != expected => Err(self.wrong(key, value, &expected.to_string())),
            _ => Ok(()),
        }
    }

    fn size(&self, key: &str) -> Result<usize> {
        let value = self.get(key)?;
        match value.as_u64() {
            Some(n) if (1..=most(key)).contains(&n) => Ok(n as usize),
            _ => Err(self.wrong(key, value, &format!("a size between 1 and {}", most(key)))),
        }
    }

    fn size_or(&self, key: &str, default: usize) -> Result<usize> {
        if self.find(key).is_some() { self.size(key) } else { Ok(default) }
    }

    fn sizes(&self, key: &str) -> Result<Vec<usize>> {
        let value = self.get(key)?;
        let list = value.as_array().map(|list| list.iter().map(|v| v.as_u64().filter(|&n| n <= MOST)).collect());
        match list {
            Some(Some(sizes)) => Ok(Vec::<u64>::into_iter(sizes).map(|n| n as usize).collect()),
            _ => Err(self.wrong(key, value, "a list of sizes")),
        }
    }

    fn number(&self, key: &str) -> Result<f64> {
        let value = self.get(key)?;
        value.as_f64().filter(|n| n.is_finite() && *n > 0.0).ok_or_else(|| self.wrong(key, value, "a positive number"))
    }

    /// A token id, or the first of a list of them.
    fn first_id(&self, key: &str) -> Result<u32> {
        let value = self.get(key)?;
        let first = value.as_array().map_or(Some(value), |list| list.first());
        let id = first.and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
        id.ok_or_else(|| self.wrong(key, value, "a token id or a list of them"))
    }

    fn id(&self, key: &str) -> Result<u32> {
        let value = self.get(key)?;
        value.as_u64().and_then(|n| u32::try_from(n).ok()).ok_or_else(|| self.wrong(key, value, "a token id"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flat_form_survives_a_round_trip() {
        let config = Config::tiny(512);
        assert_eq!(Config::from_json(&config.to_json()).unwrap(), config);
    }

    #[test]
    fn a_wrong_field_is_named() {
        let mut value = Config::tiny(512).to_json();
        value["num_hidden_layers"] = json!(-3);
        let message = Config::from_json(&value).unwrap_err().to_string();
        assert!(message.contains("num_hidden_layers") && message.contains("-3"), "{message}");
        let mut value = Config::tiny(512).to_json();
        value["rope_scaling"]["mrope_section"] = json!([1, 2, 3]);
        assert!(Config::from_json(&value).unwrap_err().to_string().contains("mrope_section"));
    }

    #[test]
    fn settings_that_are_not_implemented_are_refused_by_name() {
        for (field, other, expected) in [
            ("/model_type", json!("llama"), "config.model_type: expected \"qwen2_5_vl\", got \"llama\""),
            ("/hidden_act", json!("gelu"), "text_config.hidden_act"),
            ("/use_sliding_window", json!(true), "text_config.use_sliding_window"),
            ("/vision_config/hidden_act", json!("gelu"), "vision_config.hidden_act"),
            ("/vision_config/fullatt_block_indexes", json!([3]), "[3] are not all below depth 3"),
            ("/vision_config/in_chans", json!(1), "vision_config.in_channels"),
        ] {
            let mut value = Config::tiny(512).to_json();
            *value.pointer_mut(field).unwrap() = other;
            let message = Config::from_json(&value).unwrap_err().to_string();
            assert!(message.contains(expected), "{field}: {message}");
        }
    }
}
