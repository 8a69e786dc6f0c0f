//! Advantages, policy loss, KL, importance weights and entropy against the reference implementation.

use std::collections::BTreeMap;

use crate::common::{assert_close, json};
use addendum_policy::objective::{
    Aggregation, Batch, ClipRange, Importance, KlKind, Normalize, Objective, ObjectiveConfig, ObjectiveOutput,
    ResponseTerms, entropy, entropy_gradient, group_advantages,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

type Rows = Vec<Vec<f64>>;

const MODES: [&str; 4] = ["token-mean", "seq-mean-token-sum", "seq-mean-token-mean", "seq-mean-token-sum-norm"];

fn spelled<T: DeserializeOwned>(name: &str) -> T {
    serde_json::from_value(Value::from(name)).unwrap()
}

#[track_caller]
fn close(found: f64, expected: f64, what: &str) {
    assert_close(found, expected, 1e-5, 1e-6, what);
}

/// The inputs of a fixture file, padded rows and all.
struct Inputs {
    new: Vec<Vec<f32>>,
    proximal: Vec<Vec<f32>>,
    behaviour: Option<Vec<Vec<f32>>>,
    reference: Option<Vec<Vec<f32>>>,
    mask: Vec<Vec<bool>>,
    advantages: Vec<f64>,
    norm_length: f64,
}

impl Inputs {
    fn of(file: &Value) -> Self {
        let rows = |key: &str| file.get(key).map(|v| serde_json::from_value::<Vec<Vec<f32>>>(v.clone()).unwrap());
        let new = rows("new_logp").or_else(|| rows("logp")).unwrap();
        let mask: Vec<Vec<bool>> =
            rows("mask").unwrap().iter().map(|row| row.iter().map(|&m| m == 1.0).collect()).collect();
        let advantages = rows("advantages").unwrap_or_else(|| vec![vec![0.0; new[0].len()]; new.len()]);
        Self {
            proximal: rows("old_logp").unwrap_or_else(|| new.clone()),
            behaviour: rows("old_rollout_logp"),
            reference: rows("ref_logp"),
            advantages: advantages.iter().zip(&mask).map(|(row, mask)| shared_advantage(row, mask)).collect(),
            norm_length: file["norm_len"].as_f64().unwrap(),
            new,
            mask,
        }
    }

    fn evaluate(&self, config: ObjectiveConfig) -> ObjectiveOutput {
        let config = ObjectiveConfig { norm_length: self.norm_length, ..config };
        let terms: Vec<_> = (0..self.new.len())
            .map(|i| ResponseTerms {
                new: &self.new[i],
                proximal: &self.proximal[i],
                behaviour: self.behaviour.as_ref().map(|rows| &rows[i][..]),
                reference: self.reference.as_ref().map(|rows| &rows[i][..]),
                mask: Some(&self.mask[i]),
                advantage: self.advantages[i],
                shared: 0,
            })
            .collect();
        Objective::new(config).unwrap().evaluate(&terms).unwrap()
    }
}

fn shared_advantage(row: &[f32], mask: &[bool]) -> f64 {
    let counted: Vec<f32> = row.iter().zip(mask).filter(|(_, m)| **m).map(|(a, _)| *a).collect();
    assert!(counted.windows(2).all(|pair| pair[0] == pair[1]), "an advantage is shared by the tokens of a row");
    counted.first().copied().map_or(0.0, f64::from)
}

#[derive(Deserialize)]
struct Case {
    clip_low: f64,
    clip_high: f64,
    dual_clip: Option<f64>,
    dual_clip_fraction: Option<f64>,
    clip_fraction: f64,
    clip_fraction_high: f64,
    clip_fraction_low: f64,
    approx_kl_k1: f64,
    approx_kl_k3: f64,
    modes: BTreeMap<String, Mode>,
}

#[derive(Deserialize)]
struct Mode {
    loss: f64,
    grad_new_logp: Rows,
}

fn check_gradient(found: &[Vec<f32>], expected: &Rows, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert_eq!(found.len(), expected.len(), "{what}");
        for (t, (found, expected)) in found.iter().zip(expected).enumerate() {
            close(f64::from(*found), *expected, &format!("{what}: gradient of token {t} of row {i}"));
        }
    }
}

fn check_case(inputs: &Inputs, case: &Case, base: &ObjectiveConfig, what: &str) {
    assert_eq!(case.modes.len(), MODES.len(), "{what}");
    for (name, mode) in &case.modes {
        let what = format!("{what}, {name}, clip {} {}", case.clip_low, case.clip_high);
        let output = inputs.evaluate(ObjectiveConfig {
            clip: ClipRange { low: case.clip_low, high: case.clip_high },
            dual_clip: case.dual_clip,
            aggregation: spelled(name),
            ..base.clone()
        });
        close(output.loss, mode.loss, &format!("{what}: loss"));
        check_gradient(&output.gradient, &mode.grad_new_logp, &what);
        let metrics = output.metrics();
        close(metrics.clip_fraction, case.clip_fraction, &what);
        close(metrics.clip_fraction_high, case.clip_fraction_high, &what);
        close(metrics.clip_fraction_low, case.clip_fraction_low, &what);
        close(metrics.dual_clip_fraction, case.dual_clip_fraction.unwrap_or(0.0), &what);
        close(metrics.approximate_kl_k1, case.approx_kl_k1, &what);
        close(metrics.approximate_kl_k3, case.approx_kl_k3, &what);
    }
}

fn no_kl() -> ObjectiveConfig {
    ObjectiveConfig { kl_coefficient: 0.0, ..Default::default() }
}

#[test]
fn parity_policy_loss_in_all_files_clip_ranges_and_modes() {
    let files = [("policy", 3), ("policy_dual_clip", 1), ("policy_empty_row", 1), ("policy_extreme", 2)];
    for (name, count) in files {
        let file: Value = json(&format!("losses/{name}.json"));
        let cases: Vec<Case> = serde_json::from_value(file["cases"].clone()).unwrap();
        assert_eq!(cases.len(), count, "{name}");
        let inputs = Inputs::of(&file);
        for case in &cases {
            check_case(&inputs, case, &no_kl(), name);
        }
    }
}

#[test]
fn parity_kl_of_every_kind_mode_and_gradient() {
    #[derive(Deserialize)]
    struct Kind {
        modes: BTreeMap<String, f64>,
        grad_logp_token_mean: Rows,
    }
    let file: Value = json("losses/kl.json");
    let kinds: BTreeMap<String, Kind> = serde_json::from_value(file["kinds"].clone()).unwrap();
    let inputs = Inputs::of(&file);
    assert_eq!(kinds.keys().collect::<Vec<_>>(), ["abs", "k1", "k2", "k3"]);
    for (kind, expected) in &kinds {
        for (mode, value) in &expected.modes {
            let aggregation: Aggregation = spelled(mode);
            let config =
                ObjectiveConfig { kl: spelled::<KlKind>(kind), kl_coefficient: 1.0, aggregation, ..Default::default() };
            let output = inputs.evaluate(config);
            close(output.kl, *value, &format!("{kind}, {mode}"));
            close(output.loss, *value, &format!("{kind}, {mode}"));
            if aggregation == Aggregation::TokenMean {
                close(output.metrics().reference_kl, *value, kind);
                check_gradient(&output.gradient, &expected.grad_logp_token_mean, kind);
            }
        }
    }
}

#[test]
fn parity_policy_loss_plus_kl() {
    let file: Value = json("losses/policy_plus_kl.json");
    let modes: BTreeMap<String, Mode> = serde_json::from_value(file["modes"].clone()).unwrap();
    assert_eq!(modes.len(), MODES.len());
    for (name, mode) in &modes {
        let output = Inputs::of(&file).evaluate(ObjectiveConfig {
            clip: ClipRange { low: 0.2, high: 0.28 },
            kl_coefficient: file["kl_coef"].as_f64().unwrap(),
            kl: spelled(file["kl"].as_str().unwrap()),
            aggregation: spelled(name),
            ..Default::default()
        });
        close(output.loss, mode.loss, name);
        check_gradient(&output.gradient, &mode.grad_new_logp, name);
    }
}

#[test]
fn parity_importance_sampling_in_all_variants() {
    #[derive(Deserialize)]
    struct Variant {
        mean_weight: f64,
        max_uncapped_weight: f64,
        fraction_above_cap: f64,
        policy: Case,
    }
    let file: Value = json("losses/importance_sampling.json");
    let inputs = Inputs::of(&file);
    let cap = file["cap"].as_f64().unwrap();
    let variants: BTreeMap<String, Variant> = serde_json::from_value(file["variants"].clone()).unwrap();
    assert_eq!(variants.len(), 3);
    for (name, variant) in &variants {
        let importance: Importance = spelled(&name.replace('_', "-"));
        let config = ObjectiveConfig { importance, importance_cap: cap, ..no_kl() };
        check_case(&inputs, &variant.policy, &config, name);
        let metrics = inputs.evaluate(config).metrics();
        close(metrics.importance_weight_mean, variant.mean_weight, name);
        close(metrics.importance_weight_largest, variant.max_uncapped_weight, name);
        close(metrics.importance_above_cap, variant.fraction_above_cap, name);
        close(-metrics.behaviour_log_ratio_mean, file["mismatch_kl_k1"].as_f64().unwrap(), name);
    }
}

#[test]
fn parity_group_advantages() {
    #[derive(Deserialize)]
    struct Groups {
        name: String,
        scores: Vec<f64>,
        groups: Vec<u32>,
        normalised: Vec<f64>,
        unnormalised: Vec<f64>,
        atol: f64,
    }
    let cases: Vec<Groups> = json("losses/advantages.json");
    assert_eq!(cases.len(), 8);
    for case in &cases {
        for (normalize, expected) in [(Normalize::Mean, &case.unnormalised), (Normalize::Std, &case.normalised)] {
            for group in &case.groups {
                let members: Vec<usize> = (0..case.groups.len()).filter(|&i| case.groups[i] == *group).collect();
                let rewards: Vec<f64> = members.iter().map(|&i| case.scores[i]).collect();
                let found = group_advantages(&rewards, normalize).unwrap();
                for (found, &member) in found.iter().zip(&members) {
                    assert_close(*found, expected[member], 0.0, case.atol, &case.name);
                }
            }
        }
    }
}

#[test]
fn parity_entropy_and_its_gradient() {
    #[derive(Deserialize)]
    struct File {
        norm_len: f64,
        logits: Vec<Vec<Vec<f32>>>,
        mask: Rows,
        cases: Vec<EntropyCase>,
    }
    #[derive(Deserialize)]
    struct EntropyCase {
        temperature: f64,
        per_token: Rows,
        modes: BTreeMap<String, f64>,
        grad_logits_token_mean: Vec<Vec<Vec<f64>>>,
    }
    let file: File = json("losses/entropy.json");
    assert_eq!(file.cases.len(), 2);
    let lengths: Vec<usize> = file.mask.iter().map(|row| row.iter().sum::<f64>() as usize).collect();
    let batch = Batch::of(lengths.iter().copied());
    let counted = |row: usize, token: usize| file.mask[row][token] == 1.0;
    for case in &file.cases {
        for (mode, expected) in &case.modes {
            let mut found = 0.0;
            for (row, logits) in file.logits.iter().enumerate() {
                let weight = batch.weight(spelled(mode), lengths[row], file.norm_len);
                for (token, logits) in logits.iter().enumerate().filter(|(token, _)| counted(row, *token)) {
                    let value = entropy(logits, case.temperature);
                    assert_close(value, case.per_token[row][token], 0.0, 1e-5, "entropy of a token");
                    found += weight * value;
                }
            }
            assert_close(found, *expected, 0.0, 1e-5, mode);
        }
        for (row, logits) in file.logits.iter().enumerate() {
            for (token, logits) in logits.iter().enumerate().filter(|(token, _)| counted(row, *token)) {
                let found = entropy_gradient(logits, case.temperature);
                for (found, expected) in found.iter().zip(&case.grad_logits_token_mean[row][token]) {
                    assert_close(found / batch.tokens as f64, *expected, 0.0, 1e-5, "gradient of the entropy");
                }
            }
        }
    }
}
