//! The network against the reference implementation: positions, vision tower, logits, log-probabilities, greedy
//! generation. All in f32 on the CPU.

use std::sync::Arc;

use crate::common::{assert_close, fixture, json, network::*};
use addendum_kernels::Segment;
use addendum_policy::{
    Config,
    generate::{GenerateRequest, generate},
    model::{Model, Rows, vision::WindowPlan},
    objective::log_probabilities,
    pack::Packed,
    sampling::{SamplingConfig, TokenSampler},
};
use candle_core::Tensor;
use serde_json::Value;

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
            let found = packed(std::slice::from_ref(&case)).log_probs(&model.language, None, temperature).unwrap();
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

#[test]
fn parity_logits_of_every_decoding_step_with_a_cache() {
    let (config, weights) = (config(), weights());
    let model = Model::new(&config, &weights).unwrap();
    let language = &model.language;
    let expected = tensors("qwen2_5_vl_tiny/generate.safetensors");
    for name in ["a", "b", "c"] {
        let generated = integers(&expected[&format!("{name}.generated_ids")]);
        let prompt = case(name, &config, &model).prompt;
        let (tokens, vocab) = (prompt.tokens.ids.len(), config.text.vocab_size);
        let cache = language.cache(tokens + generated.len()).unwrap();
        let rows: Vec<usize> = (0..tokens).collect();
        let hidden = Packed::new([(&prompt, vec![])]).hidden_cached(language, None, &cache, &rows).unwrap();
        let mut found = floats(&language.logits(&hidden.narrow(0, tokens - 1, 1).unwrap()).unwrap());
        for (step, &token) in generated[..generated.len() - 1].iter().enumerate() {
            let at = tokens + step;
            let segments: Arc<[Segment]> =
                vec![Segment { query: 0..1, before: vec![], own: 0..at + 1, causal: true }].into();
            let x = language.embed(&[token as u32], None).unwrap();
            let position = [prompt.tokens.next_position + step as u32; 3];
            let hidden = language.forward(&x, &[position], &segments, None, Rows::Cached(&cache, &[at])).unwrap();
            found.extend(floats(&language.logits(&hidden).unwrap()));
        }
        let expected = floats(&expected[&format!("{name}.step_logits")]);
        assert_eq!(expected.len(), generated.len() * vocab);
        near(&found, &expected, 4e-4, 0.0, &format!("case {name}"));
    }
}
