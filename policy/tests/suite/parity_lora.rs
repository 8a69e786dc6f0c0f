//! LoRA against the reference implementation: forward, padded batch, gradients, optimiser steps, merging, files.

use crate::common::{assert_close, json, network::*, padded::Padded};
use addendum_policy::{Adapter, checkpoint::parse, model::Model};
use candle_core::Device;
use serde_json::Value;

#[test]
fn parity_lora_forward() {
    let (config, weights) = (config(), weights());
    let model = Model::new(&config, &weights).unwrap();
    let adapter = adapter(&config);
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

#[test]
fn parity_lora_gradients() {
    let (config, weights) = (config(), weights());
    let model = Model::new(&config, &weights).unwrap();
    let adapter = adapter(&config);
    let (loss, gradients) = lora_gradient(&config, &model, &adapter, &cases(&config, &model));
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
    let mut adapter = adapter(&config);
    let mut optimizer = AdamW::new(AdamWConfig::default(), adapter.tensors()).unwrap();
    let expected: Value = json("optim/lora_steps.json");
    for step in 1..=5 {
        let (loss, gradients) = lora_gradient(&config, &model, &adapter, &cases(&config, &model));
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
    let adapter = adapter(&config);
    let dir = tempfile::tempdir().unwrap();
    adapter.save_peft(dir.path(), "base").unwrap();
    let back = Adapter::load_peft(&config, dir.path(), &Device::Cpu).unwrap();
    assert!(adapter == back);
    let theirs = tensors("lora/adapter/adapter_model.safetensors");
    let ours = parse(&adapter.to_bytes().unwrap(), &Device::Cpu).unwrap();
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
}

#[test]
fn parity_lora_forward_of_a_padded_batch() {
    let (config, weights) = (config(), weights());
    let model = Model::new(&config, &weights).unwrap();
    let adapter = adapter(&config);
    let batch = Padded::load("case_d_right");
    let expected = tensors("lora/expected.safetensors");
    let cases = batch.cases(&config, &model);
    for (row, case) in cases.iter().enumerate() {
        let wanted = batch.tokens_of(row, &expected["case_d_right.logits"]);
        near(&logits(&model, case, Some(&adapter)), &wanted, 4e-4, 0.0, &format!("logits of row {row}"));
    }
    let found = packed(&cases).log_probs(&model.language, Some(&adapter), 1.0).unwrap().log_probs;
    near(&floats(&found), &batch.responses_of(&expected["case_d_right.logprobs"]), 4e-4, 0.0, "log-probs");
}

#[test]
fn parity_merged_weights() {
    let (config, weights) = (config(), weights());
    let adapter = adapter(&config);
    let merged = adapter.merge(&weights).unwrap();
    let expected = tensors("lora/merged.safetensors");
    assert!(!expected.is_empty());
    for (name, expected) in &expected {
        let found = floats(&merged.tensors()[name]);
        assert_ne!(found, floats(&weights.tensors()[name]), "{name} is adapted");
        near(&found, &floats(expected), 1e-6, 0.0, name);
    }
    let model = Model::new(&config, &merged).unwrap();
    let case = case("c", &config, &model);
    let wanted = tensors("lora/expected.safetensors");
    near(&logits(&model, &case, None), &floats(&wanted["case_c.logits"]), 4e-4, 0.0, "logits of merged weights");
}

#[test]
fn parity_lora_scaling() {
    let mut settings = adapter(&config()).config().clone();
    let expected: Value = json("lora/meta.json");
    assert_close(settings.scale(), expected["scaling"].as_f64().unwrap(), 1e-9, 0.0, "scaling");
    settings.rslora = true;
    assert_close(settings.scale(), expected["scaling_rslora"].as_f64().unwrap(), 1e-9, 0.0, "rslora");
}
