//! The tiny model of the fixtures, its cases, and comparisons of what it computes.

#![allow(dead_code)]

use std::collections::BTreeMap;

use addendum_policy::{
    Adapter, Config,
    checkpoint::{load_weights, parse},
    model::{Model, Weights},
    optim::Tensors,
    pack::{EncodedPrompt, Packed, PromptTokens},
};
use candle_core::{DType, Device, Tensor, Var};
use serde_json::Value;

use super::{bytes, fixture, json};

pub fn tensors(name: &str) -> BTreeMap<String, Tensor> {
    parse(&bytes(name), &Device::Cpu).unwrap_or_else(|error| panic!("{name}: {error}"))
}

pub fn config() -> Config {
    Config::load(&fixture("qwen2_5_vl_tiny/config.json")).unwrap()
}

pub fn weights() -> Weights {
    load_weights(&fixture("qwen2_5_vl_tiny"), DType::F32, &Device::Cpu).unwrap()
}

pub fn adapter(config: &Config) -> Adapter {
    Adapter::load_peft(config, &fixture("lora/adapter"), &Device::Cpu).unwrap()
}

pub fn floats(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_dtype(DType::F32).unwrap().to_vec1().unwrap()
}

pub fn integers(t: &Tensor) -> Vec<i64> {
    t.flatten_all().unwrap().to_dtype(DType::I64).unwrap().to_vec1().unwrap()
}

#[track_caller]
pub fn near(found: &[f32], expected: &[f32], absolute: f32, relative: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}: length");
    for (i, (x, y)) in found.iter().zip(expected).enumerate() {
        assert!((x - y).abs() <= absolute + relative * y.abs(), "{what}[{i}]: found {x}, expected {y}");
    }
}

/// Pixel rows and grids of the named images.
pub fn images(names: &[String]) -> (Vec<Tensor>, Vec<[usize; 3]>) {
    let all = tensors("qwen2_5_vl_tiny/images.safetensors");
    let grid = |name: &String| {
        let grid = integers(&all[&format!("{name}.image_grid_thw")]);
        [grid[0] as usize, grid[1] as usize, grid[2] as usize]
    };
    (names.iter().map(|n| all[&format!("{n}.pixel_values")].clone()).collect(), names.iter().map(grid).collect())
}

#[derive(Clone)]
pub struct Case {
    pub prompt: EncodedPrompt,
    pub response: Vec<u32>,
}

impl Case {
    /// `features` are computed with `model`, so gradients reach its vision tower if it is made of variables.
    pub fn new(prompt: Vec<u32>, response: Vec<u32>, names: &[String], config: &Config, model: &Model) -> Self {
        let (pixels, grids) = images(names);
        let merge = config.vision.spatial_merge_size;
        let tokens = PromptTokens::new(prompt, config.image_token_id, &grids, merge).unwrap();
        let features =
            (!pixels.is_empty()).then(|| model.vision.forward(&Tensor::cat(&pixels, 0).unwrap(), &grids).unwrap());
        Self { prompt: EncodedPrompt { tokens, features }, response }
    }
}

pub fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as u32).collect()
}

/// The images of a case.
pub fn image_names(name: &str) -> Vec<String> {
    let cases: Value = json("qwen2_5_vl_tiny/cases.json");
    cases["cases"][name]["images"].as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_string()).collect()
}

pub fn case(name: &str, config: &Config, model: &Model) -> Case {
    let cases: Value = json("qwen2_5_vl_tiny/cases.json");
    let case = &cases["cases"][name];
    Case::new(ids(&case["prompt_ids"]), ids(&case["response_ids"]), &image_names(name), config, model)
}

pub fn cases(config: &Config, model: &Model) -> Vec<Case> {
    ["a", "b", "c"].map(|name| case(name, config, model)).into()
}

pub fn packed(cases: &[Case]) -> Packed {
    Packed::new(cases.iter().map(|c| (&c.prompt, vec![c.response.as_slice()])))
}

/// Logits of prompt and whole response in one plain sequence.
pub fn logits(model: &Model, case: &Case, adapter: Option<&Adapter>) -> Vec<f32> {
    let mut longer = case.response.clone();
    longer.push(0); // the last token of a response is not read; here it must be
    let packed = Packed::new([(&case.prompt, vec![longer.as_slice()])]);
    floats(&model.language.logits(&packed.hidden(&model.language, adapter).unwrap()).unwrap())
}

/// Mean negative log-likelihood over the response tokens of all cases, and its gradient in the adapter's factors.
pub fn lora_gradient(config: &Config, model: &Model, adapter: &Adapter, cases: &[Case]) -> (f64, Tensors) {
    let vars: BTreeMap<String, Var> =
        adapter.tensors().iter().map(|(name, t)| (name.clone(), Var::from_tensor(t).unwrap())).collect();
    let live = vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
    let live = Adapter::from_tensors(config, adapter.config().clone(), live).unwrap();
    let log_probs = packed(cases).log_probs(&model.language, Some(&live), 1.0).unwrap().log_probs;
    let loss = log_probs.mean_all().unwrap().neg().unwrap();
    let store = loss.backward().unwrap();
    let gradients = vars
        .iter()
        .map(|(name, var)| (name.clone(), store.get(var.as_tensor()).unwrap_or_else(|| panic!("{name}")).clone()));
    (loss.to_scalar::<f32>().unwrap().into(), gradients.collect())
}
