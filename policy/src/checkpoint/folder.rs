//! The files of a checkpoint folder that are no weights: which belong to it, and what generation takes from them.

use std::path::Path;

use serde_json::{Value, json};

use super::write_whole;
use crate::{
    Error, Result, files,
    image::ImageConfig,
    tokenizer::{ChatTemplate, ReportTokenizer},
};

/// Sizes of the model; see [`Config`](crate::Config).
pub const CONFIG: &str = "config.json";
/// The vocabulary and how text is cut into tokens.
pub const TOKENIZER: &str = "tokenizer.json";
/// Whose `chat_template` is read, where there is one.
pub const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
/// The settings of the image processor.
pub const IMAGES: &str = "preprocessor_config.json";
/// Where newer libraries keep the settings of [`IMAGES`].
pub const PROCESSOR: &str = "processor_config.json";
/// Whose end tokens and limit of length are read.
pub const GENERATION: &str = "generation_config.json";

/// What a copy of a checkpoint copies, where it is there: all but the weights and [`CONFIG`].
pub const COMPANIONS: [&str; 14] = [
    TOKENIZER,
    TOKENIZER_CONFIG,
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "chat_template.json",
    IMAGES,
    "video_preprocessor_config.json",
    PROCESSOR,
    GENERATION,
    "LICENSE",
    "NOTICE",
];

/// The end tokens of a folder's `generation_config.json`: `eos_token_id`, a number or a list. `None` where the file or
/// the field is missing.
///
/// # Errors
/// A file that cannot be read or holds something else there.
pub fn end_tokens(dir: &Path) -> Result<Option<Vec<u32>>> {
    let path = dir.join(GENERATION);
    if !path.exists() {
        return Ok(None);
    }
    let text = files::text(&path)?;
    let json: Value = serde_json::from_str(&text).map_err(|e| Error::file(&path, e))?;
    let value = &json["eos_token_id"];
    let list = match value {
        Value::Null => return Ok(None),
        Value::Array(list) => list.as_slice(),
        one => std::slice::from_ref(one),
    };
    let ids: Option<Vec<u32>> = list.iter().map(|id| id.as_u64().and_then(|id| u32::try_from(id).ok())).collect();
    match ids {
        Some(ids) if !ids.is_empty() => Ok(Some(ids)),
        _ => Err(Error::file(&path, format!("eos_token_id: expected a token id or a list of them, got {value}"))),
    }
}

/// `tokenizer_config.json`.
pub fn tokenizer_config(tokenizer: &ReportTokenizer) -> Value {
    json!({
        "chat_template": tokenizer.template().source(),
        "clean_up_tokenization_spaces": false,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "processor_class": "Qwen2_5_VLProcessor",
        "tokenizer_class": "Qwen2TokenizerFast",
    })
}

/// `generation_config.json`.
pub fn generation_config(tokenizer: &ReportTokenizer) -> Value {
    json!({
        "do_sample": true,
        "eos_token_id": tokenizer.stop_tokens(),
        "pad_token_id": tokenizer.special().end_of_text,
        "temperature": 1.0,
    })
}

/// `preprocessor_config.json`, with the classes that transformers looks for.
pub fn image_config(images: &ImageConfig) -> Result<Value> {
    let mut json = serde_json::to_value(images).map_err(|e| Error::invalid(IMAGES, e.to_string()))?;
    json["image_processor_type"] = "Qwen2VLImageProcessor".into();
    json["processor_class"] = "Qwen2_5_VLProcessor".into();
    Ok(json)
}

/// Writes the files of a folder that loaders of other libraries want and ours does not: each unless it is there.
pub fn complete(dir: &Path, tokenizer: &ReportTokenizer) -> Result<()> {
    let files = [(TOKENIZER_CONFIG, tokenizer_config(tokenizer)), (GENERATION, generation_config(tokenizer))];
    for (name, json) in files {
        let path = dir.join(name);
        if !path.exists() {
            write_json(&path, &json)?;
        }
    }
    Ok(())
}

/// The tokenizer of a folder, with its chat template and its end tokens.
///
/// # Errors
/// Names the file that is missing or damaged, or does not fit the others.
pub fn tokenizer(dir: &Path) -> Result<ReportTokenizer> {
    let mut tokenizer = ReportTokenizer::load(&dir.join(TOKENIZER))?;
    if let Some(template) = ChatTemplate::of_folder(dir)? {
        tokenizer = tokenizer.with_template(template);
    }
    match end_tokens(dir)? {
        Some(stop) => tokenizer.with_stop_tokens(stop).map_err(|e| Error::file(&dir.join(GENERATION), e)),
        None => Ok(tokenizer),
    }
}

/// The image processor's settings: `preprocessor_config.json`, or else the section of `processor_config.json`.
///
/// # Errors
/// Names the file that is missing, damaged, or holds settings out of their range.
pub fn images(dir: &Path) -> Result<ImageConfig> {
    let (own, all) = (dir.join(IMAGES), dir.join(PROCESSOR));
    if own.exists() || !all.exists() {
        return ImageConfig::load(&own);
    }
    let text = files::text(&all)?;
    let mut json: Value = serde_json::from_str(&text).map_err(|e| Error::file(&all, e))?;
    match json.get_mut("image_processor") {
        Some(section) => ImageConfig::from_json(section.take()).map_err(|e| Error::file(&all, e)),
        None => Err(Error::file(&all, format!("image_processor is missing, and there is no {IMAGES}"))),
    }
}

/// Writes a value as indented JSON, as a whole or not at all.
///
/// # Errors
/// Names the file that could not be written.
pub fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Error::file(path, e))?;
    write_whole(path, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_images_are_found_where_older_and_newer_libraries_write_them() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        let found = || images(dir.path()).map(|config| config.max_pixels);
        assert!(found().unwrap_err().to_string().contains(IMAGES));
        write(PROCESSOR, r#"{"processor_class": "Qwen2_5_VLProcessor"}"#);
        assert!(found().unwrap_err().to_string().contains("processor_config.json: image_processor is missing"));
        write(PROCESSOR, r#"{"image_processor": {"size": {"shortest_edge": 3136, "longest_edge": 401408}}}"#);
        assert_eq!(found().unwrap(), 401_408);
        write(IMAGES, r#"{"max_pixels": 12544}"#);
        assert_eq!(found().unwrap(), 12_544);
    }
}
