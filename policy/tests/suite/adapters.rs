//! Adapters as files: merged into a checkpoint folder, and trained on.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use crate::common::tiny::tiny_policy;
use addendum_policy::{
    Adapter, LearnerConfig, LoraConfig, Policy,
    algorithm::AlgorithmConfig,
    learner::{TrainGroup, TrainResponse},
    lora::Module,
    merge::merge_folder,
    pack::{EncodedPrompt, Packed, PromptTokens},
};
use candle_core::{DType, Device, Tensor};
use serde_json::json;
use tempfile::TempDir;

/// An adapter that changes what it adapts.
fn adapter(policy: &Policy, modules: &[Module], size: f64) -> Adapter {
    let settings = LoraConfig { rank: 2, target_modules: modules.into(), dropout: 0.1, ..LoraConfig::default() };
    let fresh = Adapter::new(policy.config(), settings.clone(), 1, &Device::Cpu).unwrap();
    let tensors = fresh.tensors().iter().map(|(name, t)| {
        let changed = if name.contains("lora_B") { t.affine(0.0, size).unwrap() } else { t.clone() };
        (name.clone(), changed)
    });
    Adapter::from_tensors(policy.config(), settings, tensors.collect()).unwrap()
}

fn saved(adapter: &Adapter) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    adapter.save_peft(dir.path(), "base").unwrap();
    dir
}

fn prompt() -> EncodedPrompt {
    EncodedPrompt { tokens: PromptTokens::new(vec![5, 9, 40, 7], 1, &[], 2).unwrap(), features: None }
}

fn log_probs(policy: &Policy, adapter: Option<&Adapter>) -> Vec<f32> {
    let prompt = prompt();
    let packed = Packed::new([(&prompt, vec![&[3u32, 8, 1, 60][..]])]);
    packed.log_probs(&policy.model().language, adapter, 1.0).unwrap().log_probs.to_vec1().unwrap()
}

/// The policy's folder as newer libraries write it: nested names, two shards, bf16, and files that are not ours.
fn sharded(policy: &Policy) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    policy.save(dir.path()).unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::remove_file(path("model.safetensors")).unwrap();
    fs::remove_file(path("generation_config.json")).unwrap();
    let mut shards = [BTreeMap::new(), BTreeMap::new()];
    let mut map = BTreeMap::new();
    for (i, (name, tensor)) in policy.weights().unwrap().tensors().iter().enumerate() {
        let name = match name.strip_prefix("model.") {
            Some(rest) => format!("model.language_model.{rest}"),
            None => format!("model.{name}"),
        };
        map.insert(name.clone(), format!("model-{}.safetensors", i % 2));
        shards[i % 2].insert(name, tensor.to_dtype(DType::BF16).unwrap());
    }
    for (i, tensors) in shards.iter().enumerate() {
        fs::write(path(&format!("model-{i}.safetensors")), safetensors::serialize(tensors, None).unwrap()).unwrap();
    }
    fs::write(path("model.safetensors.index.json"), json!({"weight_map": map}).to_string()).unwrap();
    fs::write(path("merges.txt"), "a b").unwrap();
    fs::write(path("training_log.txt"), "x").unwrap();
    dir
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn tensors(path: &Path) -> BTreeMap<String, Tensor> {
    candle_core::safetensors::load(path, &Device::Cpu).unwrap().into_iter().collect()
}

#[test]
fn a_merged_folder_is_its_source_but_for_the_adapted_weights() {
    let policy = tiny_policy();
    let adapter = adapter(&policy, &[Module::Q, Module::Down], 0.3);
    let (source, lora, out) = (sharded(&policy), saved(&adapter), tempfile::tempdir().unwrap());
    let out = out.path().join("new/merged");
    merge_folder(source.path(), lora.path(), &out).unwrap();
    let mut expected = names(source.path());
    expected.retain(|name| name != "training_log.txt");
    expected.push("generation_config.json".into());
    expected.sort();
    assert_eq!(names(&out), expected);
    for name in expected.iter().filter(|n| !n.ends_with(".safetensors") && *n != "generation_config.json") {
        assert_eq!(fs::read(out.join(name)).unwrap(), fs::read(source.path().join(name)).unwrap(), "{name}");
    }
    let mut changed = 0;
    for file in ["model-0.safetensors", "model-1.safetensors"] {
        let (before, after) = (tensors(&source.path().join(file)), tensors(&out.join(file)));
        assert!(before.keys().eq(after.keys()));
        for (name, tensor) in &before {
            let place = name.strip_prefix("model.language_model.layers.").and_then(|rest| rest.split_once('.'));
            let module =
                |path: &str| [Module::Q, Module::Down].into_iter().find(|m| format!("{}.weight", m.path()) == path);
            let expected = match place.and_then(|(layer, path)| Some((layer.parse().ok()?, module(path)?))) {
                Some((layer, module)) => {
                    changed += 1;
                    adapter.merged(layer, module, tensor).unwrap()
                }
                None => tensor.clone(),
            };
            assert_eq!(after[name].dtype(), DType::BF16);
            let bits = |t: &Tensor| t.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert_eq!(bits(&after[name]), bits(&expected), "{name}");
        }
    }
    assert_eq!(changed, 4);

    let base = Policy::load(source.path(), DType::F32, &Device::Cpu).unwrap();
    let merged = Policy::load(&out, DType::F32, &Device::Cpu).unwrap();
    let expected = log_probs(&base, Some(&adapter));
    let (found, without) = (log_probs(&merged, None), log_probs(&base, None));
    let gap = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
    // Rounding the sum to bf16 costs little beside what the adapter changes.
    assert!(gap(&found, &expected) < 0.1 * gap(&without, &expected), "{found:?} {expected:?} {without:?}");
}

#[test]
fn a_merge_that_cannot_be_whole_is_refused_before_anything_is_written() {
    let policy = tiny_policy();
    let lora = saved(&adapter(&policy, &[Module::Up], 0.3));
    let refused = |source: &Path, out: &Path, reasons: &[&str]| {
        let message = merge_folder(source, lora.path(), out).unwrap_err().to_string();
        assert!(reasons.iter().all(|reason| message.contains(reason)), "{message}");
    };
    let (source, taken) = (sharded(&policy), tempfile::tempdir().unwrap());
    fs::write(taken.path().join("notes.txt"), "x").unwrap();
    refused(source.path(), taken.path(), &["is not empty", &*taken.path().to_string_lossy()]);
    refused(source.path(), source.path(), &["is not empty"]);
    assert_eq!(names(taken.path()), ["notes.txt"]);

    let shard = source.path().join("model-0.safetensors");
    let mut weights = tensors(&shard);
    let other = tensors(&source.path().join("model-1.safetensors"));
    let name = "model.language_model.layers.1.mlp.up_proj.weight";
    let here = weights.remove(name);
    let file = if here.is_some() { shard } else { source.path().join("model-1.safetensors") };
    let mut rest = if here.is_some() { weights } else { other };
    rest.remove(name);
    fs::write(&file, safetensors::serialize(&rest, None).unwrap()).unwrap();
    let out = taken.path().join("out");
    refused(source.path(), &out, &["layers.1.mlp.up_proj.weight", "missing"]);
    rest.insert(name.into(), Tensor::zeros((16, 24), DType::BF16, &Device::Cpu).unwrap());
    fs::write(&file, safetensors::serialize(&rest, None).unwrap()).unwrap();
    refused(source.path(), &out, &["up_proj.weight", "[16, 24]", "[24, 16]"]);
    assert!(!out.exists());
}

#[test]
fn training_goes_on_from_an_adapter_that_was_read() {
    let policy = tiny_policy();
    let lora = saved(&adapter(&policy, &Module::ALL, 0.01));
    let read = Adapter::load_peft(policy.config(), lora.path(), &Device::Cpu).unwrap();
    let mut config = LearnerConfig::default();
    config.schedule.learning_rate = 1e-2;
    let mut learner = policy.learner(read.clone(), AlgorithmConfig::default().build(128).unwrap(), config).unwrap();
    let response = |tokens: &[u32], reward| TrainResponse { tokens: tokens.into(), reward, ..TrainResponse::default() };
    let responses = vec![response(&[3, 8, 1, 60], 1.0), response(&[7, 7, 2], 0.0)];
    let before = log_probs(&policy, Some(&read)).iter().sum::<f32>();
    for _ in 0..3 {
        learner.step(&[TrainGroup { prompt: Arc::new(prompt()), responses: responses.clone() }]).unwrap();
    }
    let trained = learner.adapter();
    assert!(log_probs(&policy, Some(&trained)).iter().sum::<f32>() > before + 0.01, "the rewarded report is likelier");
    let back = Adapter::load_peft(policy.config(), saved(&trained).path(), &Device::Cpu).unwrap();
    assert!(back == trained && back.config().dropout == 0.1);
}
