//! What the Python packages are compared with in `scripts/interop`: logits, prompts and adapters of this crate.
//!
//!     interop logits  MODEL ADAPTER|- INPUT OUT   logits of `input_ids` (and `pixel_values`, `image_grid_thw`)
//!     interop prompts MODEL INPUT OUT             token ids of prompts given as lists of texts and image tokens
//!     interop adapter MODEL OUT                   a random adapter in PEFT's format
//!     interop merge   MODEL ADAPTER OUT           the merged checkpoint folder

use std::{collections::BTreeMap, error::Error, path::Path};

use addendum_policy::{
    Adapter, Config, LoraConfig,
    checkpoint::{folder, load_weights, parse},
    merge::merge_folder,
    model::Model,
    pack::{EncodedPrompt, Packed, PromptTokens},
    tokenizer::PromptPart,
};
use candle_core::{DType, Device, Tensor};
use serde::Deserialize;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["logits", model, adapter, input, out] => logits(Path::new(model), adapter, Path::new(input), Path::new(out)),
        ["prompts", model, input, out] => prompts(Path::new(model), Path::new(input), Path::new(out)),
        ["adapter", model, out] => adapter(Path::new(model), Path::new(out)),
        ["merge", model, adapter, out] => Ok(merge_folder(Path::new(model), Path::new(adapter), Path::new(out))?),
        _ => Err("expected one of the commands logits, prompts, adapter, merge with its folders".into()),
    }
}

fn logits(dir: &Path, adapter: &str, input: &Path, out: &Path) -> Result<()> {
    let config = Config::load(&dir.join("config.json"))?;
    let model = Model::new(&config, &load_weights(dir, DType::F32, &Device::Cpu)?)?;
    let adapter = match adapter {
        "-" => None,
        dir => Some(Adapter::load_peft(&config, Path::new(dir), &Device::Cpu)?),
    };
    let input = parse(&std::fs::read(input)?, &Device::Cpu)?;
    let get = |name: &str| input.get(name).ok_or_else(|| format!("the input has no {name}"));
    let ids: Vec<u32> = get("input_ids")?.flatten_all()?.to_dtype(DType::U32)?.to_vec1()?;
    let (features, grids) = match input.get("pixel_values") {
        None => (None, vec![]),
        Some(pixels) => {
            let grids = get("image_grid_thw")?.to_dtype(DType::U32)?.to_vec2::<u32>()?;
            let grids: Vec<[usize; 3]> = grids.iter().map(|g| [g[0] as usize, g[1] as usize, g[2] as usize]).collect();
            (Some(model.vision.forward(pixels, &grids)?), grids)
        }
    };
    let tokens = PromptTokens::new(ids, config.image_token_id, &grids, config.vision.spatial_merge_size)?;
    let prompt = EncodedPrompt { tokens, features };
    let hidden = Packed::new([(&prompt, vec![])]).hidden(&model.language, adapter.as_ref())?;
    let logits = BTreeMap::from([("logits", model.language.logits(&hidden)?)]);
    Ok(std::fs::write(out, safetensors::serialize(logits, None)?)?)
}

/// A text, or the number of tokens of an image.
#[derive(Deserialize)]
#[serde(untagged)]
enum Part {
    Text(String),
    Image(usize),
}

fn prompts(dir: &Path, input: &Path, out: &Path) -> Result<()> {
    let tokenizer = folder::tokenizer(dir)?;
    let prompts: Vec<Vec<Part>> = serde_json::from_slice(&std::fs::read(input)?)?;
    let ids = prompts.iter().map(|parts| {
        let parts: Vec<PromptPart> = parts
            .iter()
            .map(|part| match part {
                Part::Text(text) => PromptPart::Text(text),
                Part::Image(tokens) => PromptPart::Image { tokens: *tokens },
            })
            .collect();
        tokenizer.chat_prompt(None, &parts)
    });
    let ids: Vec<Vec<u32>> = ids.collect::<std::result::Result<_, _>>()?;
    Ok(std::fs::write(out, serde_json::to_vec(&ids)?)?)
}

/// Both factors are drawn, so that the adapter changes what it adapts.
fn adapter(dir: &Path, out: &Path) -> Result<()> {
    let config = Config::load(&dir.join("config.json"))?;
    let settings = LoraConfig { rank: 4, alpha: 6.0, rslora: true, dropout: 0.05, ..LoraConfig::default() };
    let a = Adapter::new(&config, settings.clone(), 1, &Device::Cpu)?;
    let mut tensors = a.tensors().clone();
    for (i, (name, tensor)) in tensors.iter_mut().enumerate().filter(|(_, (name, _))| name.contains("lora_B")) {
        let count = tensor.elem_count();
        let values: Vec<f32> = (0..count).map(|j| 0.05 * ((i * 7919 + j * 104_729) as f32).sin()).collect();
        *tensor = Tensor::from_vec(values, tensor.dims(), &Device::Cpu).map_err(|e| format!("{name}: {e}"))?;
    }
    Ok(Adapter::from_tensors(&config, settings, tensors)?.save_peft(out, &dir.to_string_lossy())?)
}
