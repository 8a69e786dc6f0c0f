//! Damaged folders: whatever is in them, loading ends soon, with a policy or an error that names the file and the cause.

use std::{collections::BTreeMap, fs, path::Path, sync::LazyLock};

use crate::common::tiny::tiny_policy;
use addendum_policy::{Adapter, Config, LoraConfig, Policy};
use candle_core::{DType, Device, Tensor};
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;

const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
const SETTINGS: [&str; 4] =
    ["config.json", "preprocessor_config.json", "generation_config.json", "tokenizer_config.json"];
const ADAPTER: &str = "adapter_model.safetensors";
const ADAPTER_CONFIG: &str = "adapter_config.json";

type Files = BTreeMap<String, Vec<u8>>;

/// The files of a policy as small as can be.
static POLICY: LazyLock<Files> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    tiny_policy().save(dir.path()).unwrap();
    files(dir.path())
});

/// The files of an adapter of [`POLICY`].
static LORA: LazyLock<Files> = LazyLock::new(|| {
    let settings = LoraConfig { rank: 2, dropout: 0.05, ..LoraConfig::default() };
    let dir = tempfile::tempdir().unwrap();
    Adapter::new(&config(), settings, 1, &Device::Cpu).unwrap().save_peft(dir.path(), "base").unwrap();
    files(dir.path())
});

fn config() -> Config {
    Config::from_json(&serde_json::from_slice(&POLICY["config.json"]).unwrap()).unwrap()
}

fn files(dir: &Path) -> Files {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    entries.map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap())).collect()
}

fn folder(files: &Files) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    dir
}

fn load(files: &Files) -> Result<(), String> {
    let dir = folder(files);
    Policy::load(dir.path(), DType::F32, &Device::Cpu).map(|_| ()).map_err(|e| named(&e.to_string(), dir.path()))
}

fn load_adapter(files: &Files) -> Result<Adapter, String> {
    let dir = folder(files);
    Adapter::load_peft(&config(), dir.path(), &Device::Cpu).map_err(|e| named(&e.to_string(), dir.path()))
}

/// An error of a folder names it.
fn named(message: &str, dir: &Path) -> String {
    assert!(message.contains(&*dir.to_string_lossy()), "names no file: {message}");
    message.to_string()
}

/// The folder's files, one of them changed.
fn with(files: &Files, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> Files {
    let mut files = files.clone();
    change(files.get_mut(name).unwrap_or_else(|| panic!("no {name}")));
    files
}

fn with_json(files: &Files, name: &str, change: impl FnOnce(&mut Value)) -> Files {
    with(files, name, |bytes| {
        let mut json = serde_json::from_slice(bytes).unwrap();
        change(&mut json);
        *bytes = serde_json::to_vec(&json).unwrap();
    })
}

/// The folder's files, one tensor of one of them changed.
fn with_tensor(files: &Files, file: &str, tensor: &str, change: impl FnOnce(&Tensor) -> Option<Tensor>) -> Files {
    with(files, file, |bytes| {
        let mut tensors: BTreeMap<String, Tensor> =
            candle_core::safetensors::load_buffer(bytes, &Device::Cpu).unwrap().into_iter().collect();
        match change(&tensors[tensor]) {
            Some(changed) => tensors.insert(tensor.into(), changed),
            None => tensors.remove(tensor),
        };
        *bytes = safetensors::serialize(&tensors, None).unwrap();
    })
}

#[track_caller]
fn says(result: Result<(), String>, parts: &[&str]) {
    let message = result.expect_err("loading succeeds");
    assert!(parts.iter().all(|part| message.contains(part)), "{message}\nlacks one of {parts:?}");
}

fn any_name(files: &Files, which: prop::sample::Index) -> &str {
    files.keys().nth(which.index(files.len())).unwrap()
}

/// Pointers to all values of a document.
fn pointers(json: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_string());
    match json {
        Value::Object(map) => {
            for (key, value) in map {
                pointers(value, &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), found);
            }
        }
        Value::Array(list) => {
            for (i, value) in list.iter().enumerate().take(4) {
                pointers(value, &format!("{at}/{i}"), found);
            }
        }
        _ => {}
    }
}

fn junk() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        json!(null),
        json!(true),
        json!(-1),
        json!(0),
        json!(1),
        json!(3),
        json!(1.5),
        json!(1e300),
        json!(1 << 24),
        json!(u64::MAX),
        json!(""),
        json!("<|im_end|>"),
        json!("((((a+)+)+)+"),
        json!([]),
        json!([-1, 1e9]),
        json!({}),
        json!({"a": {"b": []}}),
    ])
}

/// A document in which one value is junk, or missing.
fn spoilt(text: &[u8], which: prop::sample::Index, junk: Option<Value>) -> Vec<u8> {
    let mut json: Value = serde_json::from_slice(text).unwrap();
    let mut found = Vec::new();
    pointers(&json, "", &mut found);
    let pointer = which.get(&found);
    match junk {
        Some(junk) => *json.pointer_mut(pointer).unwrap() = junk,
        None => {
            let (parent, key) = pointer.rsplit_once('/').unwrap_or(("", ""));
            if let Some(Value::Object(map)) = json.pointer_mut(parent) {
                map.remove(&key.replace("~1", "/").replace("~0", "~"));
            }
        }
    }
    serde_json::to_vec(&json).unwrap()
}

#[test]
fn the_undamaged_folders_load() {
    load(&POLICY).unwrap();
    let adapter = load_adapter(&LORA).unwrap();
    assert_eq!((adapter.config().rank, adapter.config().dropout), (2, 0.05));
}

#[cfg(unix)]
#[test]
fn what_is_no_regular_file_is_refused_without_being_read() {
    let endless = |files: &Files, name: &str| {
        let dir = folder(files);
        fs::remove_file(dir.path().join(name)).unwrap();
        std::os::unix::fs::symlink("/dev/zero", dir.path().join(name)).unwrap();
        dir
    };
    let says = |error: addendum_policy::Error, name: &str| {
        let message = error.to_string();
        assert!(message.contains(name) && message.contains("is no regular file"), "{message}");
    };
    for name in POLICY.keys() {
        let dir = endless(&POLICY, name);
        says(Policy::load(dir.path(), DType::F32, &Device::Cpu).err().unwrap(), name);
    }
    for name in LORA.keys() {
        let dir = endless(&LORA, name);
        says(Adapter::load_peft(&config(), dir.path(), &Device::Cpu).err().unwrap(), name);
    }
}

#[test]
fn a_missing_file_is_named() {
    for name in ["config.json", "preprocessor_config.json", "tokenizer.json", WEIGHTS] {
        let mut files = POLICY.clone();
        files.remove(name);
        says(load(&files), &[name]);
    }
    for name in LORA.keys() {
        let mut files = LORA.clone();
        files.remove(name);
        says(load_adapter(&files).map(|_| ()), &[name]);
    }
}

#[test]
fn a_wrong_tensor_is_named_with_what_was_found_and_expected() {
    let name = "model.layers.1.mlp.up_proj.weight";
    let spoil = |change: fn(&Tensor) -> Option<Tensor>| load(&with_tensor(&POLICY, WEIGHTS, name, change));
    says(spoil(|_| None), &[name, "missing", "[24, 16]"]);
    says(spoil(|t| Some(t.t().unwrap().contiguous().unwrap())), &[name, "[16, 24]", "[24, 16]"]);
    says(spoil(|t| Some(t.to_dtype(DType::U8).unwrap())), &[WEIGHTS, name, "U8", "F32"]);
    says(spoil(|t| Some((t * f64::NAN).unwrap())), &[WEIGHTS, name, "finite"]);
    let name = "base_model.model.model.language_model.layers.1.mlp.up_proj.lora_A.weight";
    let spoil =
        |change: fn(&Tensor) -> Option<Tensor>| load_adapter(&with_tensor(&LORA, ADAPTER, name, change)).map(|_| ());
    let short = "layers.1.mlp.up_proj.lora_A.weight";
    says(spoil(|_| None), &[ADAPTER, short, "missing"]);
    says(spoil(|t| Some(t.t().unwrap().contiguous().unwrap())), &[ADAPTER, short, "[16, 2]", "[2, 16]"]);
    says(spoil(|t| Some(t.to_dtype(DType::I64).unwrap())), &[ADAPTER, short, "I64", "F32"]);
    says(spoil(|t| Some((t / 0.0).unwrap())), &[ADAPTER, short, "finite"]);
}

#[test]
fn a_header_that_claims_more_than_there_is_is_refused_without_reading_it() {
    for claim in [u64::MAX, 1 << 40, 100_000_001, 50_000_000] {
        let claim = |bytes: &mut Vec<u8>| bytes[..8].copy_from_slice(&claim.to_le_bytes());
        says(load(&with(&POLICY, WEIGHTS, claim)), &[WEIGHTS, "header"]);
        says(load_adapter(&with(&LORA, ADAPTER, claim)).map(|_| ()), &[ADAPTER]);
    }
    let shape = |bytes: &mut Vec<u8>| {
        let header = br#"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}}"#;
        *bytes = [&(header.len() as u64).to_le_bytes()[..], header, &[0; 4]].concat();
    };
    says(load(&with(&POLICY, WEIGHTS, shape)), &[WEIGHTS]);
    says(load_adapter(&with(&LORA, ADAPTER, shape)).map(|_| ()), &[ADAPTER]);
}

#[test]
fn a_shard_index_leads_to_the_shards_of_its_folder_only() {
    let sharded = |map: Value| {
        let mut files = POLICY.clone();
        let weights = files.remove(WEIGHTS).unwrap();
        files.insert("a.safetensors".into(), weights);
        files.insert(INDEX.into(), serde_json::to_vec(&json!({"weight_map": map})).unwrap());
        load(&files)
    };
    sharded(json!({"lm_head.weight": "a.safetensors"})).unwrap();
    says(sharded(json!({"x": INDEX})), &[INDEX, "is not the name of a safetensors file"]);
    for outside in ["../a.safetensors", "/a.safetensors", "b/../../a.safetensors", "", ".", "..", "b/a.safetensors"] {
        says(sharded(json!({"x": outside})), &[INDEX, "is not the name of a safetensors file in this folder"]);
    }
    says(sharded(json!({"x": "b.safetensors"})), &["b.safetensors", "No such file"]);
    says(sharded(json!({"x": 3})), &[INDEX, "weight_map.x"]);
    says(sharded(json!(["a.safetensors"])), &[INDEX, "weight_map"]);
    says(sharded(json!({})), &["is missing"]);
}

#[test]
fn sizes_beyond_any_model_are_refused_by_name() {
    for (pointer, field) in [
        ("/num_hidden_layers", "num_hidden_layers"),
        ("/vocab_size", "vocab_size"),
        ("/intermediate_size", "intermediate_size"),
        ("/vision_config/depth", "vision_config.depth"),
        ("/vision_config/window_size", "vision_config.window_size"),
        ("/vision_config/intermediate_size", "vision_config.intermediate_size"),
    ] {
        for size in [json!(1 << 24), json!(1u64 << 40), json!(-1), json!(1.5), json!("12")] {
            let files = with_json(&POLICY, "config.json", |json| *json.pointer_mut(pointer).unwrap() = size.clone());
            says(load(&files), &[if pointer == "/vocab_size" { "" } else { field }]);
        }
    }
}

#[test]
fn a_tokenizer_without_a_special_token_or_with_absurd_ids_or_a_prefix_is_refused() {
    let spoil = |change: &dyn Fn(&mut Value)| load(&with_json(&POLICY, "tokenizer.json", |json| change(json)));
    for (i, token) in addendum_policy::tokenizer::SPECIAL_TOKENS.iter().enumerate() {
        let remove = |json: &mut Value| drop(json["added_tokens"].as_array_mut().unwrap().remove(i));
        says(spoil(&remove), &["tokenizer.json", "lacks the special tokens", token]);
    }
    let far = |json: &mut Value| json["model"]["vocab"]["far"] = json!(u32::MAX);
    says(spoil(&far), &["tokenizer.json", "4294967295"]);
    let prefix = |json: &mut Value| json["model"]["continuing_subword_prefix"] = json!("<|im_end|>");
    says(spoil(&prefix), &["tokenizer.json", "continuing_subword_prefix", "expected none"]);
    let text = String::from_utf8(POLICY["tokenizer.json"].clone()).unwrap();
    let decoder = text.find("\"decoder\"").unwrap();
    for at in decoder..decoder + 60 {
        says(load(&with(&POLICY, "tokenizer.json", |bytes| bytes.truncate(at))), &["tokenizer.json"]);
    }
    says(load(&with(&POLICY, "tokenizer.json", |bytes| *bytes = b"garbage".into())), &["tokenizer.json"]);
    says(load(&with(&POLICY, "tokenizer.json", |bytes| *bytes = b"{}".into())), &["tokenizer.json"]);
}

#[test]
fn end_tokens_come_from_the_generation_config() {
    let spoil = |ids: Value| load(&with_json(&POLICY, "generation_config.json", |json| json["eos_token_id"] = ids));
    let end = config().eos_token_id;
    for accepted in [json!(end), json!([end]), json!([0, end]), json!(null)] {
        spoil(accepted).unwrap();
    }
    says(spoil(json!([0])), &["generation_config.json", "eos_token_id", "<|im_end|>"]);
    says(spoil(json!([end, 1 << 20])), &["generation_config.json", "eos_token_id", "1048576"]);
    for junk in [json!([]), json!("x"), json!([-1]), json!(u64::MAX), json!({})] {
        says(spoil(junk), &["generation_config.json", "eos_token_id", "expected"]);
    }
}

#[test]
fn settings_of_an_adapter_that_are_not_implemented_are_refused_by_name() {
    let spoil =
        |key: &str, value: Value| load_adapter(&with_json(&LORA, ADAPTER_CONFIG, |json| json[key] = value)).map(|_| ());
    for (key, value) in [
        ("peft_type", json!("IA3")),
        ("bias", json!("all")),
        ("modules_to_save", json!(["lm_head"])),
        ("use_dora", json!(true)),
        ("rank_pattern", json!({"q_proj": 4})),
        ("layers_to_transform", json!([0])),
        ("layers_to_transform", json!(0)),
        ("init_lora_weights", json!("pissa_niter_4")),
        ("r", json!(0)),
        ("r", json!(1u64 << 40)),
        ("lora_alpha", json!("16")),
        ("lora_dropout", json!(1.0)),
        ("target_modules", json!(null)),
    ] {
        let named = if key == "r" && value == json!(0) { "rank" } else { key.trim_start_matches("lora_") };
        says(spoil(key, value), &[ADAPTER_CONFIG, named]);
    }
    for (targets, named) in [(json!(["q_proj"]), "names q_proj of"), (json!([]), "names no module of")] {
        says(spoil("target_modules", targets), &[ADAPTER_CONFIG, named, ADAPTER, "holds factors of q_proj, k_proj"]);
    }
    spoil("target_modules", json!("all-linear")).unwrap();
    spoil("modules_to_save", json!([])).unwrap();
}

#[test]
fn factors_of_the_vision_tower_and_whole_modules_are_refused_as_such() {
    for (name, reason) in [
        ("base_model.model.model.visual.blocks.0.mlp.up_proj.lora_A.weight", "the vision tower"),
        ("base_model.model.lm_head.weight", "whole modules"),
        ("base_model.model.model.language_model.layers.0.mlp.act.lora_A.weight", "none of the language model's"),
        ("base_model.model.model.language_model.layers.9.mlp.up_proj.lora_A.weight", "no adapted layer"),
        ("base_model.model.model.layers.0.mlp.up_proj.lora_A.weight", "twice"),
    ] {
        let files = with(&LORA, ADAPTER, |bytes| {
            let mut tensors = candle_core::safetensors::load_buffer(bytes, &Device::Cpu).unwrap();
            tensors.insert(name.into(), Tensor::zeros((2, 16), DType::F32, &Device::Cpu).unwrap());
            *bytes = safetensors::serialize(&tensors, None).unwrap();
        });
        says(load_adapter(&files).map(|_| ()), &[ADAPTER, reason]);
    }
}

/// The adapter of [`LORA`], its factors under other names.
fn renamed(rename: impl Fn(&str) -> String) -> Files {
    with(&LORA, ADAPTER, |bytes| {
        let tensors = candle_core::safetensors::load_buffer(bytes, &Device::Cpu).unwrap();
        let tensors: BTreeMap<String, Tensor> = tensors.into_iter().map(|(name, t)| (rename(&name), t)).collect();
        *bytes = safetensors::serialize(&tensors, None).unwrap();
    })
}

#[test]
fn an_adapter_of_the_whole_or_an_inner_model_loads_the_same() {
    let expected = load_adapter(&LORA).unwrap();
    let layers = "base_model.model.model.language_model.layers.";
    for root in [
        "base_model.model.model.layers.",
        "base_model.model.language_model.model.layers.",
        "base_model.model.language_model.layers.",
        "base_model.model.layers.",
        "language_model.layers.",
    ] {
        for factor in [".weight", ".default.weight"] {
            let rename = |name: &str| name.replace(layers, root).replace(".weight", factor);
            let files = renamed(rename);
            assert!(load_adapter(&files).unwrap() == expected, "{root}");
            let pattern =
                format!(r"{}\d+\.(self_attn|mlp)\..*_proj", root.replace("base_model.model.", "").replace('.', r"\."));
            let files = with_json(&files, ADAPTER_CONFIG, |json| json["target_modules"] = json!(pattern));
            assert!(load_adapter(&files).unwrap() == expected, "{pattern}");
        }
    }
    for root in
        ["base_model.model.text_model.layers.", "base_model.model.model.model.layers.", "base_model.model.layer."]
    {
        let files = renamed(|name| name.replace(layers, root));
        says(load_adapter(&files).map(|_| ()), &[ADAPTER, root, "in no naming of them that is known"]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_truncated_file_is_an_error_that_names_it(which in any::<prop::sample::Index>(), at in 0.0f64..1.0) {
        let truncate = |bytes: &mut Vec<u8>| bytes.truncate((bytes.len() as f64 * at) as usize);
        let name = any_name(&POLICY, which);
        let message = load(&with(&POLICY, name, truncate)).unwrap_err();
        prop_assert!(message.contains(name), "{message}");
        let name = any_name(&LORA, which);
        let message = load_adapter(&with(&LORA, name, truncate)).unwrap_err();
        prop_assert!(message.contains(name), "{message}");
    }

    #[test]
    fn changed_bytes_never_break_more_than_the_load(
        which in any::<prop::sample::Index>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        early in any::<bool>(),
    ) {
        let flip = |bytes: &mut Vec<u8>| {
            let range = if early { bytes.len().min(300) } else { bytes.len() };
            flips.iter().for_each(|(at, value)| bytes[at.index(range)] = *value);
        };
        let _ = load(&with(&POLICY, any_name(&POLICY, which), flip));
        let _ = load_adapter(&with(&LORA, any_name(&LORA, which), flip));
    }

    #[test]
    fn a_setting_that_is_junk_or_missing_never_breaks_more_than_the_load(
        file in prop::sample::select(SETTINGS.to_vec()),
        which in any::<prop::sample::Index>(),
        junk in prop::option::weighted(0.8, junk()),
    ) {
        let _ = load(&with(&POLICY, file, |bytes| *bytes = spoilt(bytes, which, junk.clone())));
        let _ = load_adapter(&with(&LORA, ADAPTER_CONFIG, |bytes| *bytes = spoilt(bytes, which, junk)));
    }

    #[test]
    fn a_tokenizer_with_a_junk_value_never_breaks_more_than_the_load(
        which in any::<prop::sample::Index>(),
        junk in prop::option::weighted(0.8, junk()),
    ) {
        let _ = load(&with(&POLICY, "tokenizer.json", |bytes| *bytes = spoilt(bytes, which, junk)));
    }

    #[test]
    fn a_header_with_a_junk_value_is_refused(
        which in any::<prop::sample::Index>(),
        junk in junk(),
    ) {
        let spoil = |bytes: &mut Vec<u8>| {
            let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
            let header = spoilt(&bytes[8..8 + length], which, Some(junk.clone()));
            *bytes = [&(header.len() as u64).to_le_bytes()[..], &header, &bytes[8 + length..]].concat();
        };
        let _ = load(&with(&POLICY, WEIGHTS, spoil));
        let _ = load_adapter(&with(&LORA, ADAPTER, spoil));
    }
}
