//! AdamW, gradient clipping and learning-rate schedules against the reference implementation.

use crate::common::{assert_close, bytes, json};
use addendum_policy::optim::{AdamW, AdamWConfig, Step, Tensors};
use addendum_policy::schedule::{Decay, Schedule};
use candle_core::Device;
use serde::Deserialize;

#[derive(Deserialize)]
struct Settings {
    lr: f64,
    betas: [f64; 2],
    eps: f64,
    weight_decay: f64,
    max_norm: f64,
    grad_norms_before_clipping: Vec<f64>,
}

/// The tensors whose name starts with `prefix` and a dot, under the rest of their name.
fn under(file: &Tensors, prefix: &str) -> Tensors {
    let strip = |name: &str| Some(name.strip_prefix(prefix)?.strip_prefix('.')?.to_string());
    let tensors: Tensors = file.iter().filter_map(|(name, tensor)| Some((strip(name)?, tensor.clone()))).collect();
    assert_eq!(tensors.len(), 3, "{prefix}");
    tensors
}

fn check(found: &Tensors, expected: &Tensors, tolerance: f64, what: &str) {
    for (name, expected) in expected {
        let flat = |tensor: &candle_core::Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for (found, expected) in flat(&found[name]).into_iter().zip(flat(expected)) {
            assert_close(f64::from(found), f64::from(expected), 0.0, tolerance, &format!("{what} of {name}"));
        }
    }
}

#[test]
fn parity_five_adamw_steps_with_clipping() {
    let settings: Settings = json("optim/synthetic.json");
    let file: Tensors = candle_core::safetensors::load_buffer(&bytes("optim/synthetic.safetensors"), &Device::Cpu)
        .unwrap()
        .into_iter()
        .collect();
    let config = AdamWConfig {
        beta1: settings.betas[0],
        beta2: settings.betas[1],
        epsilon: settings.eps,
        weight_decay: settings.weight_decay,
        max_gradient_norm: Some(settings.max_norm),
    };
    let mut parameters = under(&file, "init");
    let mut optimizer = AdamW::new(config, &parameters).unwrap();
    assert_eq!(settings.grad_norms_before_clipping.len(), 5);
    for (i, norm) in (1..).zip(settings.grad_norms_before_clipping) {
        let gradients = under(&file, &format!("grad{i}"));
        match optimizer.step(&parameters, &gradients, settings.lr).unwrap() {
            Step::Taken { parameters: moved, optimizer: next, gradient_norm } => {
                assert_close(gradient_norm, norm, 1e-5, 0.0, "gradient norm");
                (parameters, optimizer) = (moved, next);
            }
            Step::Skipped { gradient_norm } => panic!("step {i} was skipped at norm {gradient_norm}"),
        }
        check(&parameters, &under(&file, &format!("param{i}")), 1e-6, &format!("value after step {i}"));
    }
    check(optimizer.moments().0, &under(&file, "exp_avg5"), 1e-7, "first moment");
    check(optimizer.moments().1, &under(&file, "exp_avg_sq5"), 1e-8, "second moment");
}

#[test]
fn parity_learning_rate_schedules() {
    #[derive(Deserialize)]
    struct Case {
        name: String,
        num_warmup_steps: u64,
        num_training_steps: Option<u64>,
        lr: Vec<f64>,
    }
    let cases: Vec<Case> = json("optim/schedules.json");
    assert_eq!(cases.len(), 5);
    for case in cases {
        let decay = match case.name.as_str() {
            "constant_with_warmup" => Decay::Constant,
            "cosine_with_warmup" => Decay::Cosine,
            other => panic!("unknown schedule {other}"),
        };
        let schedule = Schedule {
            learning_rate: 1.0,
            decay,
            warmup_steps: case.num_warmup_steps,
            total_steps: case.num_training_steps.unwrap_or(0),
        };
        assert_eq!(case.lr.len(), 50);
        for (step, expected) in (0..).zip(case.lr) {
            assert_close(schedule.at(step), expected, 0.0, 1e-9, &format!("{} at step {step}", case.name));
        }
    }
}
