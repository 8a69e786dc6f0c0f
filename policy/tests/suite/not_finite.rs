//! Numbers that are not finite: no step takes them, no file gets them, and none is read.

use std::sync::Arc;

use crate::common::tiny::tiny_policy;
use addendum_policy::{
    Adapter, LearnerConfig, LoraConfig, Policy,
    algorithm::AlgorithmConfig,
    checkpoint::save_weights,
    learner::{Learner, LearnerState, TrainGroup, TrainResponse},
    model::Weights,
    pack::{EncodedPrompt, PromptTokens},
};
use candle_core::{Device, Tensor};

fn adapter(policy: &Policy, size: f64) -> Adapter {
    let settings = LoraConfig { rank: 2, ..LoraConfig::default() };
    let fresh = Adapter::new(policy.config(), settings.clone(), 1, &Device::Cpu).unwrap();
    let tensors = fresh.tensors().iter().map(|(name, t)| (name.clone(), t.affine(0.0, size).unwrap()));
    Adapter::from_tensors(policy.config(), settings, tensors.collect()).unwrap()
}

/// An adapter that changes nothing, until B moves and its product with A overflows.
fn steep(policy: &Policy) -> Adapter {
    let flat = adapter(policy, 0.0);
    let steep = |(name, t): (&String, &Tensor)| {
        let a = if name.contains("lora_A") { 1e36 } else { 0.0 };
        (name.clone(), t.affine(0.0, a).unwrap())
    };
    Adapter::from_tensors(policy.config(), flat.config().clone(), flat.tensors().iter().map(steep).collect()).unwrap()
}

fn learner(policy: &Policy, adapter: Adapter, learning_rate: f64) -> Learner {
    let mut config = LearnerConfig::default();
    config.schedule.learning_rate = learning_rate;
    config.optimizer.max_gradient_norm = None;
    let algorithm = AlgorithmConfig::default().build(128).unwrap();
    policy.learner(adapter, algorithm, config).unwrap()
}

fn groups(reward: f64) -> Vec<TrainGroup> {
    let tokens = PromptTokens::new(vec![5, 9, 40, 7], 1, &[], 2).unwrap();
    let response = |tokens: &[u32], reward| TrainResponse { tokens: tokens.into(), reward, ..TrainResponse::default() };
    let responses = vec![response(&[3, 8, 1, 60], reward), response(&[7, 7, 2], 0.0)];
    vec![TrainGroup { prompt: Arc::new(EncodedPrompt { tokens, features: None }), responses }]
}

#[test]
fn a_step_to_an_adapter_that_is_not_finite_is_skipped_and_leaves_no_trace() {
    let policy = tiny_policy();
    // A moment that overflows, and finite factors whose product does.
    for (adapter, reward) in [(adapter(&policy, 0.01), 1e30), (steep(&policy), 1.0)] {
        let mut learner = learner(&policy, adapter, 1.0);
        let before = learner.state().unwrap();
        for steps in 1..4 {
            let stats = learner.step(&groups(reward)).unwrap();
            assert!(stats.skipped && stats.gradient_norm.is_finite(), "{stats:?}");
            let after = learner.state().unwrap();
            assert_eq!(after, LearnerState { steps, ..before.clone() });
        }
    }
}

#[test]
fn a_run_that_diverges_ends_with_an_adapter_that_can_be_read() {
    let policy = tiny_policy();
    for (learning_rate, size) in [(1.0, 0.01), (1.0, 1e6), (0.1, 1e15)] {
        let mut learner = learner(&policy, adapter(&policy, size), learning_rate);
        for _ in 0..6 {
            learner.step(&groups(1.0)).unwrap();
        }
        let state = LearnerState::from_bytes(&learner.state().unwrap().to_bytes()).unwrap();
        learner.restore(&state, &Device::Cpu).unwrap();
        let dir = tempfile::tempdir().unwrap();
        learner.adapter().save_peft(dir.path(), "base").unwrap();
        assert!(Adapter::load_peft(policy.config(), dir.path(), &Device::Cpu).unwrap() == learner.adapter());
    }
}

#[test]
fn what_is_not_finite_is_never_written() {
    let policy = tiny_policy();
    let dir = tempfile::tempdir().unwrap();
    for size in [f64::NAN, f64::INFINITY, 1e30] {
        let broken = adapter(&policy, size);
        let message = broken.save_peft(dir.path(), "base").unwrap_err().to_string();
        assert!(
            message.contains("layers.0.self_attn.q_proj.lora_A.weight") && message.contains("not finite"),
            "{message}"
        );
        assert!(broken.to_bytes().is_err());
    }
    // Large, but what it makes of a weight is a number.
    adapter(&policy, 1e16).save_peft(dir.path(), "base").unwrap();
    Adapter::load_peft(policy.config(), dir.path(), &Device::Cpu).unwrap();

    let name = "model.layers.1.mlp.up_proj.weight";
    let mut tensors = policy.weights().unwrap().tensors().clone();
    tensors.insert(name.into(), Tensor::new(&[1.0, f32::INFINITY], &Device::Cpu).unwrap());
    let path = dir.path().join("model.safetensors");
    let message = save_weights(&Weights::new(tensors, &path), &path).unwrap_err().to_string();
    assert!(
        message.contains("model.safetensors") && message.contains(name) && message.contains("not finite"),
        "{message}"
    );
    assert!(!path.exists());
}
