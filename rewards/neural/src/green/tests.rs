//! The grader that answers in one way (`tests/fixtures/rewards/green`), and graders with random weights.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use candle_core::{DType, Tensor, safetensors};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{model::tensor_shapes, *};

const FILES: [&str; 4] = ["config.json", "generation_config.json", "tokenizer.json", "model.safetensors"];

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/rewards/green")
}

fn value(file: &Path) -> Value {
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

/// A copy of the fixture.
fn copied() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for file in FILES {
        fs::copy(fixture().join(file), dir.path().join(file)).unwrap();
    }
    dir
}

fn set(file: &Path, field: &str, new: Value) {
    let mut json = value(file);
    json[field] = new;
    fs::write(file, json.to_string()).unwrap();
}

/// Changes the tensors of a folder.
fn change(dir: &Path, change: impl FnOnce(&mut HashMap<String, Tensor>)) {
    let file = dir.join("model.safetensors");
    let mut tensors = safetensors::load(&file, &Device::Cpu).unwrap();
    change(&mut tensors);
    safetensors::save(&tensors, &file).unwrap();
}

fn load(dir: &Path) -> Result<Green> {
    Green::load(dir, Prompt::default(), &Device::Cpu)
}

fn refusal(dir: &Path) -> String {
    load(dir).map(|_| ()).unwrap_err().to_string()
}

/// A model with random weights, two heads to each of keys, and 64 positions.
fn random(seed: u64) -> Model {
    let dir = copied();
    let file = dir.path().join("config.json");
    let sizes = [
        ("hidden_size", 32),
        ("intermediate_size", 48),
        ("num_attention_heads", 4),
        ("num_key_value_heads", 2),
        ("max_position_embeddings", 64),
    ];
    for (field, size) in sizes {
        set(&file, field, size.into());
    }
    let config = Config::read(dir.path()).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut drawn = |shape: Vec<usize>| {
        let values = (0..shape.iter().product()).map(|_| rng.random_range(-0.5f32..0.5)).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    };
    let tensors = tensor_shapes(&config).map(|(name, shape)| (name, drawn(shape))).collect();
    change(dir.path(), |all| *all = tensors);
    Model::load(dir.path(), &config, &Device::Cpu).unwrap()
}

/// Greedy decoding that reads everything anew for each token.
fn without_cache(model: &Model, question: &[u32], count: usize) -> Vec<u32> {
    let mut tokens = question.to_vec();
    for _ in 0..count {
        let mut cache = model.cache.clone();
        cache.use_kv_cache = false;
        tokens.push(model.next(&tokens, 0, &mut cache).unwrap());
    }
    tokens.split_off(question.len())
}

#[test]
fn an_answer_is_the_same_with_the_cache_as_without() {
    for seed in 0..4 {
        let mut model = random(seed);
        let question: Vec<u32> = (0..9).map(|i| (i * 31 + seed as u32 * 7) % 100).collect();
        let expected = without_cache(&model, &question, 24);
        // The last token to occur for the first time, so that the answer ends there.
        let end = (0..24).rev().find(|&at| !expected[..at].contains(&expected[at])).unwrap();
        assert!(end >= 3, "seed {seed} repeats itself: {expected:?}");
        model.stops = vec![expected[end]];
        assert_eq!(model.answer(&question, 24).unwrap().as_deref(), Some(&expected[..end]), "seed {seed}");
        assert_eq!(model.answer(&question, end).unwrap(), None, "seed {seed}");
        assert_eq!(model.answer(&question, end + 1).unwrap(), Some(expected[..end].to_vec()), "seed {seed}");
    }
}

#[test]
fn an_answer_ends_with_the_positions() {
    let mut model = random(0);
    model.stops.clear();
    assert_eq!(model.answer(&[1; 60], 1000).unwrap(), None);
    assert_eq!(model.answer(&[1; 63], 1000).unwrap(), None);
    let message = model.answer(&[1; 64], 1000).unwrap_err().to_string();
    assert!(message.contains("64 tokens") && message.contains("64 positions"), "{message}");
}

#[test]
fn a_question_has_the_tokens_of_the_published_package() {
    let recorded = value(&fixture().join("question.json"));
    let config = Config::read(&fixture()).unwrap();
    let tokens = Chat::load(&fixture(), &config).unwrap().question(recorded["question"].as_str().unwrap()).unwrap();
    assert_eq!(json!(tokens), recorded["tokens"]);
}

#[test]
fn a_grade_comes_from_the_answer_and_a_failure_is_its_reports_alone() {
    let long = "Heart. ".repeat(400);
    let pairs = [("A", "B"), ("A", "B </s>"), (long.as_str(), "B"), ("Effusion.", "No effusion.")];
    let graded = load(&fixture()).unwrap().grade_all(&pairs);
    let grade = graded.grades[0].as_ref().unwrap();
    assert_eq!((grade.significant, grade.insignificant, grade.matched), ([0, 1, 0, 0, 0, 0], Some([0; 6]), 3));
    assert_eq!(grade.explanation, "The candidate misses an effusion.");
    assert_eq!((graded.mean(), graded.failures()), (Some(0.75), 2));
    let reason = |at: usize| graded.grades[at].as_ref().unwrap_err().to_string();
    assert!(reason(1).contains("holds `</s>`"), "{}", reason(1));
    assert!(reason(2).contains("the grader has 4096 positions"), "{}", reason(2));
}

#[test]
fn an_answer_without_end_is_cut_and_no_grade() {
    let dir = copied();
    // The last section is followed by the first.
    change(dir.path(), |all| {
        let head = all["lm_head.weight"].to_dtype(DType::F32).unwrap();
        let mut rows = head.to_vec2::<f32>().unwrap();
        rows[3] = rows[3].iter().zip(&rows[2]).map(|(a, b)| a + b).collect();
        rows[2].fill(0.);
        all.insert("lm_head.weight".into(), Tensor::new(rows, &Device::Cpu).unwrap());
    });
    let message = load(dir.path()).unwrap().grade("A", "B").unwrap_err().to_string();
    assert!(message.contains("cut at the limit of tokens"), "{message}");
}

#[test]
fn logits_that_are_not_finite_are_an_error() {
    let dir = copied();
    change(dir.path(), |all| {
        let head = (all["lm_head.weight"].to_dtype(DType::F32).unwrap() * 3e38).unwrap();
        all.insert("lm_head.weight".into(), head);
    });
    let message = load(dir.path()).unwrap().grade("A", "B").unwrap_err().to_string();
    assert_eq!(message, "green: a logit of the grader is inf; expected finite numbers");
}

#[test]
fn a_checkpoint_in_several_files_is_the_same_and_its_index_stays_in_the_folder() {
    let dir = copied();
    let index = dir.path().join("model.safetensors.index.json");
    let all = safetensors::load(dir.path().join("model.safetensors"), &Device::Cpu).unwrap();
    let file = |name: &str| format!("model-0000{}-of-00002.safetensors", 1 + usize::from(name.contains(".1.")));
    for which in [".0.", ".1."] {
        let part: HashMap<_, _> = all.clone().into_iter().filter(|(name, _)| file(name) == file(which)).collect();
        safetensors::save(&part, dir.path().join(file(which))).unwrap();
    }
    let places: HashMap<_, _> = all.keys().map(|name| (name.clone(), file(name))).collect();
    let write =
        |places: &HashMap<String, String>| fs::write(&index, json!({"weight_map": places}).to_string()).unwrap();
    write(&places);
    fs::remove_file(dir.path().join("model.safetensors")).unwrap();
    assert_eq!(load(dir.path()).unwrap().grade("A", "B").unwrap().score(), 0.75);
    let elsewhere = dir.path().join(file(".0."));
    for outside in ["../model.safetensors", "sub/model.safetensors", "..", "", elsewhere.to_str().unwrap()] {
        let mut places = places.clone();
        places.insert("lm_head.weight".into(), outside.into());
        write(&places);
        let message = refusal(dir.path());
        assert!(message.contains("index.json") && message.contains("lm_head.weight"), "{outside}: {message}");
    }
    let mut fewer = places.clone();
    fewer.remove("model.norm.weight");
    write(&fewer);
    let message = refusal(dir.path());
    assert!(message.contains("index.json: tensor `model.norm.weight` is missing"), "{message}");
    write(&places);
    fs::remove_file(elsewhere).unwrap();
    assert!(refusal(dir.path()).contains("model-00001-of-00002.safetensors"));
}

#[test]
fn configs_of_other_models_and_impossible_ones_are_refused_by_field() {
    for (field, new, expected) in [
        ("architectures", json!(["Qwen2ForCausalLM"]), "Qwen2ForCausalLM"),
        ("architectures", json!([]), "LlamaForCausalLM"),
        ("architectures", Value::Null, "expected a sequence"),
        ("vocab_size", json!(0), "`vocab_size` is 0"),
        ("vocab_size", json!(100), "the model knows 100 tokens"),
        ("hidden_size", json!(-8), "-8"),
        ("hidden_size", json!(6), "`hidden_size` is 6"),
        ("hidden_size", json!(1u64 << 40), "`hidden_size` is 1099511627776"),
        ("num_hidden_layers", json!(1 << 24), "`model.layers.2.input_layernorm.weight` is missing"),
        ("num_attention_heads", json!(0), "`num_attention_heads` is 0"),
        ("num_key_value_heads", json!(3), "`num_key_value_heads` is 3"),
        ("head_dim", json!(2), "`head_dim` is 2"),
        ("max_position_embeddings", json!(1 << 30), "`max_position_embeddings` is 1073741824"),
        ("rms_norm_eps", json!(0), "`rms_norm_eps` is 0"),
        ("rope_theta", json!(0), "`rope_theta` is 0"),
        ("rope_scaling", json!({"type": "linear", "factor": 2}), "`linear`"),
        ("hidden_act", json!("gelu"), "`gelu`"),
        ("attention_bias", json!(true), "`attention_bias` is true"),
        ("bos_token_id", json!(102_000), "`bos_token_id` is 102000"),
        ("bos_token_id", json!(50), "token 50"),
        ("eos_token_id", json!([]), "`eos_token_id` names no token"),
        ("intermediate_size", json!(9), "`model.layers.0.mlp.gate_proj.weight`: its shape is [8, 8]; expected [9, 8]"),
    ] {
        let dir = copied();
        set(&dir.path().join("config.json"), field, new.clone());
        let message = refusal(dir.path());
        assert!(message.contains(expected), "{field} {new}: {message}");
        assert!(message.starts_with(dir.path().to_str().unwrap()), "{field} {new}: {message}");
    }
    let dir = copied();
    set(&dir.path().join("generation_config.json"), "eos_token_id", json!([2, 700]));
    assert!(refusal(dir.path()).contains("generation_config.json: `eos_token_id` is 700"));
}

#[test]
fn tensors_that_are_missing_or_not_finite_are_refused_by_name() {
    let dir = copied();
    change(dir.path(), |all| drop(all.remove("lm_head.weight")));
    assert!(refusal(dir.path()).contains("tensor `lm_head.weight` is missing"));
    set(&dir.path().join("config.json"), "tie_word_embeddings", json!(true));
    load(dir.path()).unwrap();
    let name = "model.layers.1.self_attn.v_proj.weight";
    change(dir.path(), |all| drop(all.insert(name.into(), Tensor::full(f32::NAN, (4, 8), &Device::Cpu).unwrap())));
    let message = refusal(dir.path());
    assert!(message.contains("model.safetensors") && message.contains(name) && message.contains("NaN"), "{message}");
}

#[test]
fn files_that_are_not_there_are_named() {
    for (file, expected) in FILES.iter().zip(["config.json", "", "tokenizer.json", "model.safetensors"]) {
        let dir = copied();
        fs::remove_file(dir.path().join(file)).unwrap();
        match expected {
            "" => drop(load(dir.path()).unwrap()),
            _ => assert!(refusal(dir.path()).contains(expected), "{}", refusal(dir.path())),
        }
    }
    let dir = copied();
    fs::rename(dir.path().join("tokenizer.json"), dir.path().join("tokenizer.model")).unwrap();
    let message = refusal(dir.path());
    assert!(message.contains("tokenizer.model") && message.contains("save_pretrained"), "{message}");
}
