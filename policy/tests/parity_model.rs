//! The network against the reference implementation: positions, vision tower, logits, log-probabilities, greedy
//! generation, adapters and their gradients, supervised loss. All in f32 on the CPU.

mod common;

use std::{collections::BTreeMap, sync::Arc};

use addendum_policy::{
    Adapter, Config,
    checkpoint::{load_weights, parse},
    filter::{SamplingConfig, TokenSampler},
    generate::{GenerateRequest, generate},
    model::{Model, Rows, Weights, vision::WindowPlan},
    objective::log_probabilities,
    optim::Tensors,
    pack::{EncodedPrompt, Packed, PromptTokens},
};
use candle_core::{DType, Device, Tensor, Var};
use common::{assert_close, bytes, fixture, json};
use serde_json::Value;

fn tensors(name: &str) -> BTreeMap<String, Tensor> {
    parse(&bytes(name), &Device::Cpu).unwrap()
}

fn config() -> Config {
    Config::load(&fixture("qwen2_5_vl_tiny/config.json")).unwrap()
}

fn weights() -> Weights {
    load_weights(&fixture("qwen2_5_vl_tiny"), DType::F32, &Device::Cpu).unwrap()
}

fn floats(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_dtype(DType::F32).unwrap().to_vec1().unwrap()
}

fn integers(t: &Tensor) -> Vec<i64> {
    t.flatten_all().unwrap().to_dtype(DType::I64).unwrap().to_vec1().unwrap()
}

#[track_caller]
fn near(found: &[f32], expected: &[f32], absolute: f32, relative: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}: length");
    for (i, (x, y)) in found.iter().zip(expected).enumerate() {
        assert!((x - y).abs() <= absolute + relative * y.abs(), "{what}[{i}]: found {x}, expected {y}");
    }
}

/// Pixel rows and grids of the named images.
fn images(names: &[String]) -> (Vec<Tensor>, Vec<[usize; 3]>) {
    let all = tensors("qwen2_5_vl_tiny/images.safetensors");
    let grid = |name: &String| {
        let grid = integers(&all[&format!("{name}.image_grid_thw")]);
        [grid[0] as usize, grid[1] as usize, grid[2] as usize]
    };
    (names.iter().map(|n| all[&format!("{n}.pixel_values")].clone()).collect(), names.iter().map(grid).collect())
}

struct Case {
    prompt: EncodedPrompt,
    response: Vec<u32>,
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as u32).collect()
}

/// `features` are computed with `model`, so gradients reach its vision tower if it is made of variables.
fn case(name: &str, config: &Config, model: &Model) -> Case {
    let cases: Value = json("qwen2_5_vl_tiny/cases.json");
    let case = &cases["cases"][name];
    let names: Vec<String> =
        case["images"].as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_string()).collect();
    let (pixels, grids) = images(&names);
    let merge = config.vision.spatial_merge_size;
    let tokens = PromptTokens::new(ids(&case["prompt_ids"]), config.image_token_id, &grids, merge).unwrap();
    let features =
        (!pixels.is_empty()).then(|| model.vision.forward(&Tensor::cat(&pixels, 0).unwrap(), &grids).unwrap());
    Case { prompt: EncodedPrompt { tokens, features }, response: ids(&case["response_ids"]) }
}

fn cases(config: &Config, model: &Model) -> Vec<Case> {
    ["a", "b", "c"].map(|name| case(name, config, model)).into()
}

fn packed(cases: &[Case]) -> Packed {
    Packed::new(cases.iter().map(|c| (&c.prompt, vec![c.response.as_slice()])))
}

/// Logits of prompt and whole response in one plain sequence.
fn logits(model: &Model, case: &Case, adapter: Option<&Adapter>) -> Vec<f32> {
    let mut longer = case.response.clone();
    longer.push(0); // the last token of a response is not read; here it must be
    let packed = Packed::new([(&case.prompt, vec![longer.as_slice()])]);
    floats(&model.language.logits(&packed.hidden(&model.language, adapter).unwrap()).unwrap())
}

#[test]
fn parity_both_forms_of_the_config_read_alike() {
    let nested = Config::load(&fixture("qwen2_5_vl_tiny/config.transformers5.json")).unwrap();
    assert_eq!(config(), nested);
}

#[test]
fn parity_positions() {
    let (config, weights) = (config(), weights());
    let model = Model::new(&config, &weights).unwrap();
    for name in ["a", "b", "c"] {
        let expected = tensors(&format!("qwen2_5_vl_tiny/case_{name}.safetensors"));
        let packed = packed(&[case(name, &config, &model)]);
        let table = integers(&expected["position_ids"]);
        let tokens = table.len() / 3;
        for (i, position) in packed.positions.iter().enumerate() {
            let wanted = [table[i], table[tokens + i], table[2 * tokens + i]];
            assert_eq!(position.map(i64::from), wanted, "case {name}, token {i}");
        }
        assert_eq!(packed.positions.len() + 1, tokens, "all but the last token are read");
        let delta = integers(&expected["rope_deltas"])[0];
        let case = case(name, &config, &model);
        let prompt = &case.prompt.tokens;
        assert_eq!(i64::from(prompt.next_position), prompt.ids.len() as i64 + delta, "case {name}");
    }
}

#[test]
fn parity_vision_tower() {
    let (config, weights) = (config(), weights());
    let model = Model::new(&config, &weights).unwrap();
    for (file, names) in [("vision_img0", vec!["img0"]), ("vision_img1_img2", vec!["img1", "img2"])] {
        let expected = tensors(&format!("qwen2_5_vl_tiny/{file}.safetensors"));
        let (pixels, grids) = images(&names.iter().map(ToString::to_string).collect::<Vec<_>>());
        let plan = WindowPlan::new(&config.vision, &grids).unwrap();
        let exact = |found: Vec<i64>, key: &str| assert_eq!(found, integers(&expected[key]), "{file}: {key}");
        exact(plan.window_index.iter().map(|&i| i.into()).collect(), "window_index");
        exact(plan.patch_positions.iter().flatten().map(|&i| i.into()).collect(), "patch_position_ids");
        exact(plan.window_bounds.iter().map(|&i| i as i64).collect(), "cu_window_seqlens");
        exact(plan.image_bounds.iter().map(|&i| i as i64).collect(), "cu_seqlens");
        let trace = model.vision.trace(&Tensor::cat(&pixels, 0).unwrap(), &grids).unwrap();
        near(&floats(&trace[0]), &floats(&expected["patch_embed"]), 1e-4, 0.0, "patch_embed");
        for i in 0..config.vision.depth {
            let key = format!("block_{i}");
            near(&floats(&trace[i + 1]), &floats(&expected[&key]), 1e-4, 0.0, &key);
        }
        let features = trace.last().unwrap();
        near(&floats(features), &floats(&expected["image_features"]), 1e-4, 0.0, "image_features");
    }
}

#[test]
fn parity_hidden_states_and_logits() {
    let (config, weights) = (config(), weights());
    let model = Model::new(&config, &weights).unwrap();
    for name in ["a", "b", "c"] {
        let expected = tensors(&format!("qwen2_5_vl_tiny/case_{name}.safetensors"));
        let found = logits(&model, &case(name, &config, &model), None);
        near(&found, &floats(&expected["logits"]), 4e-4, 0.0, &format!("case {name}"));
    }
    let expected = tensors("qwen2_5_vl_tiny/case_c.safetensors");
    let case = case("c", &config, &model);
    let ids = [case.prompt.tokens.ids.clone(), case.response.clone()].concat();
    let features = case.prompt.features.as_ref().unwrap();
    let mut x = model.language.embed(&ids, Some((features, &case.prompt.tokens.image_at))).unwrap();
    near(&floats(&x), &floats(&expected["hidden_0"]), 4e-4, 0.0, "hidden_0");
    let last = [&case.response[..], &[0]].concat();
    let packed = Packed::new([(&case.prompt, vec![last.as_slice()])]);
    // The last hidden state of the fixture is taken after the final norm, which `logits` covers.
    for layer in 0..config.text.layers - 1 {
        let (positions, segments) = (&packed.positions, &packed.segments);
        x = model.language.forward_layers(layer..layer + 1, &x, positions, segments, None, Rows::Own).unwrap();
        let key = format!("hidden_{}", layer + 1);
        near(&floats(&x), &floats(&expected[&key]), 4e-4, 0.0, &key);
    }
}

#[test]
fn parity_log_probs_and_entropies() {
    let (config, weights) = (config(), weights());
    let model = Model::new(&config, &weights).unwrap();
    for name in ["a", "b", "c"] {
        let expected = tensors(&format!("qwen2_5_vl_tiny/case_{name}.safetensors"));
        let case = case(name, &config, &model);
        for temperature in [1.0, 0.7] {
            let found = packed(&[Case { prompt: case.prompt.clone(), response: case.response.clone() }])
                .log_probs(&model.language, None, temperature)
                .unwrap();
            let start = case.prompt.tokens.ids.len();
            for (key, found) in [("logprobs", found.log_probs), ("entropies", found.entropy)] {
                let expected = floats(&expected[&format!("{key}_t{temperature:.1}")])[start..].to_vec();
                near(&floats(&found), &expected, 4e-4, 0.0, &format!("{key} of {name} at {temperature}"));
            }
        }
    }
}

#[test]
fn parity_greedy_generation() {
    let (config, weights) = (config(), weights());
    let model = Model::new(&config, &weights).unwrap();
    let expected: Value = json("qwen2_5_vl_tiny/generate.json");
    let sampler = TokenSampler::new(SamplingConfig::greedy(24)).unwrap();
    let requests = ["a", "b", "c"]
        .map(|name| GenerateRequest { prompt: Arc::new(case(name, &config, &model).prompt), seeds: vec![0] });
    // All three in one call, which also covers a batch of different prompts. No token ends it.
    let samples = generate(&model.language, None, &requests, &sampler, &[]).unwrap();
    for (name, samples) in ["a", "b", "c"].iter().zip(samples) {
        assert_eq!(samples[0].tokens, ids(&expected[name]["generated_ids"]), "case {name}");
        let logprobs: Vec<f32> =
            expected[name]["logprobs"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect();
        near(&samples[0].logprobs, &logprobs, 4e-4, 0.0, &format!("log-probs of case {name}"));
    }
}

#[test]
fn parity_lora_forward() {
    let (config, weights) = (config(), weights());
    let model = Model::new(&config, &weights).unwrap();
    let adapter = Adapter::load_peft(&config, &fixture("lora/adapter"), &Device::Cpu).unwrap();
    let expected = tensors("lora/expected.safetensors");
    let case = case("c", &config, &model);
    near(&logits(&model, &case, Some(&adapter)), &floats(&expected["case_c.logits"]), 4e-4, 0.0, "adapter on");
    near(&logits(&model, &case, None), &floats(&expected["case_c.logits_base"]), 4e-4, 0.0, "adapter off");
    let mut settings = adapter.config().clone();
    settings.rslora = true;
    let rslora = Adapter::from_tensors(&config, settings, adapter.tensors().clone()).unwrap();
    near(&logits(&model, &case, Some(&rslora)), &floats(&expected["case_c.logits_rslora"]), 4e-4, 0.0, "rslora");
    let log_probs = packed(&[case]).log_probs(&model.language, Some(&adapter), 1.0).unwrap().log_probs;
    let wanted: Vec<f32> = floats(&expected["case_c.logprobs"]).into_iter().filter(|&x| x != 0.0).collect();
    near(&floats(&log_probs), &wanted, 4e-4, 0.0, "log-probs");
}

/// Mean negative log-likelihood over the response tokens of all three cases, and its gradient.
fn lora_gradient(config: &Config, model: &Model, adapter: &Adapter) -> (f64, Tensors) {
    let vars: BTreeMap<String, Var> =
        adapter.tensors().iter().map(|(name, t)| (name.clone(), Var::from_tensor(t).unwrap())).collect();
    let live = vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
    let live = Adapter::from_tensors(config, adapter.config().clone(), live).unwrap();
    let cases = cases(config, model);
    let log_probs = packed(&cases).log_probs(&model.language, Some(&live), 1.0).unwrap().log_probs;
    let loss = log_probs.mean_all().unwrap().neg().unwrap();
    let store = loss.backward().unwrap();
    let gradients = vars
        .iter()
        .map(|(name, var)| (name.clone(), store.get(var.as_tensor()).unwrap_or_else(|| panic!("{name}")).clone()));
    (loss.to_scalar::<f32>().unwrap().into(), gradients.collect())
}

#[test]
fn parity_lora_gradients() {
    let (config, weights) = (config(), weights());
    let model = Model::new(&config, &weights).unwrap();
    let adapter = Adapter::load_peft(&config, &fixture("lora/adapter"), &Device::Cpu).unwrap();
    let (loss, gradients) = lora_gradient(&config, &model, &adapter);
    let expected: Value = json("lora/gradients.json");
    assert_close(loss, expected["loss"].as_f64().unwrap(), 1e-5, 0.0, "loss");
    let norm = addendum_policy::optim::global_norm(&gradients).unwrap();
    assert_close(norm, expected["total_grad_norm"].as_f64().unwrap(), 1e-4, 0.0, "gradient norm");
    for (name, expected) in tensors("lora/gradients.safetensors") {
        let name = name.strip_prefix("base_model.model.").unwrap();
        near(&floats(&gradients[name]), &floats(&expected), 2e-4, 1e-3, name);
    }
}

#[test]
fn parity_lora_optimiser_steps() {
    use addendum_policy::optim::{AdamW, AdamWConfig, Step};
    let (config, weights) = (config(), weights());
    let model = Model::new(&config, &weights).unwrap();
    let mut adapter = Adapter::load_peft(&config, &fixture("lora/adapter"), &Device::Cpu).unwrap();
    let mut optimizer = AdamW::new(AdamWConfig::default(), adapter.tensors()).unwrap();
    let expected: Value = json("optim/lora_steps.json");
    for step in 1..=5 {
        let (loss, gradients) = lora_gradient(&config, &model, &adapter);
        let wanted = &expected["steps"][step - 1];
        assert_close(loss, wanted["loss"].as_f64().unwrap(), 1e-4, 0.0, "loss");
        let Step::Taken { parameters, optimizer: next, gradient_norm } =
            optimizer.step(adapter.tensors(), &gradients, 1e-3).unwrap()
        else {
            panic!("step {step} was skipped");
        };
        assert_close(gradient_norm, wanted["grad_norm_before_clipping"].as_f64().unwrap(), 1e-4, 0.0, "norm");
        optimizer = next;
        adapter = Adapter::from_tensors(&config, adapter.config().clone(), parameters).unwrap();
        if step == 1 || step == 5 {
            for (name, expected) in tensors(&format!("optim/lora_step{step}.safetensors")) {
                let name = name.strip_prefix("base_model.model.").unwrap();
                let (found, expected) = (floats(&adapter.tensors()[name]), floats(&expected));
                near(&found, &expected, 2e-4, 0.0, name);
                let mean = found.iter().zip(&expected).map(|(x, y)| f64::from((x - y).abs())).sum::<f64>();
                assert!(mean / found.len() as f64 <= 2e-6, "{name}: mean difference after step {step}");
            }
        }
    }
}

#[test]
fn parity_peft_round_trip_keeps_every_bit() {
    let config = config();
    let adapter = Adapter::load_peft(&config, &fixture("lora/adapter"), &Device::Cpu).unwrap();
    let dir = std::env::temp_dir().join(format!("addendum-peft-{}", std::process::id()));
    adapter.save_peft(&dir, "base").unwrap();
    let back = Adapter::load_peft(&config, &dir, &Device::Cpu).unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
    assert!(adapter == back);
    let theirs = tensors("lora/adapter/adapter_model.safetensors");
    let ours = parse(&adapter.to_bytes().unwrap(), &Device::Cpu).unwrap();
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
}

#[test]
fn parity_supervised_loss_and_gradients() {
    let (config, weights) = (config(), weights());
    let vars = weights.to_vars().unwrap();
    let model = Model::new(&config, &Weights::of_vars(&vars)).unwrap();
    let expected: Value = json("sft/expected.json");
    let cases = cases(&config, &model);
    let log_probs = packed(&cases).log_probs(&model.language, None, 1.0).unwrap().log_probs;
    let loss = log_probs.mean_all().unwrap().neg().unwrap();
    assert_close(loss.to_scalar::<f32>().unwrap().into(), expected["loss"].as_f64().unwrap(), 1e-5, 0.0, "loss");
    let store = loss.backward().unwrap();
    let gradient =
        |name: &str| store.get(vars[name].as_tensor()).unwrap_or_else(|| panic!("{name} received no gradient")).clone();
    for (name, norm) in expected["base_grad_norms"].as_object().unwrap() {
        let found = gradient(name).sqr().unwrap().sum_all().unwrap().sqrt().unwrap();
        // Norms near zero are rounding noise (a key bias shifts all scores alike).
        assert_close(found.to_scalar::<f32>().unwrap().into(), norm.as_f64().unwrap(), 1e-3, 2e-4, name);
    }
    for (name, expected) in tensors("sft/base_gradients.safetensors") {
        near(&floats(&gradient(&name)), &floats(&expected), 2e-4, 1e-3, &name);
    }
    let log_probs = floats(&log_probs);
    let mut at = 0;
    for (i, case) in cases.iter().enumerate() {
        let sum: f32 = log_probs[at..at + case.response.len()].iter().sum();
        at += case.response.len();
        let wanted = expected["per_sequence"][i]["nll_sum"].as_f64().unwrap();
        assert_close(-f64::from(sum), wanted, 1e-5, 0.0, "per sequence");
    }
}

#[test]
fn parity_log_probs_agree_with_the_pure_arithmetic() {
    let (config, weights) = (config(), weights());
    let model = Model::new(&config, &weights).unwrap();
    let case = case("a", &config, &model);
    let all = logits(&model, &case, None);
    let vocab = config.text.vocab_size;
    let first = case.prompt.tokens.ids.len() - 1;
    let row = &all[first * vocab..][..vocab];
    let wanted = log_probabilities(row, 0.7).nth(case.response[0] as usize).unwrap();
    let found = packed(&[case]).log_probs(&model.language, None, 0.7).unwrap().log_probs;
    assert_close(floats(&found)[0].into(), wanted, 0.0, 1e-5, "log-prob");
}
