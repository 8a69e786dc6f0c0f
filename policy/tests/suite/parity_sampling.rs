//! Sampling distributions against the reference implementation.

use std::collections::BTreeMap;

use crate::common::{assert_close, json};
use addendum_policy::sampling::{SamplingConfig, TokenSampler};
use serde::Deserialize;

#[derive(Deserialize)]
struct File {
    logits: Vec<Vec<f32>>,
    history: Vec<Vec<u32>>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    config: SamplingConfig,
    probabilities: BTreeMap<usize, Vec<f64>>,
}

#[test]
fn parity_sampling_distributions_of_all_configurations() {
    let file: File = json("sampling/sampling.json");
    assert_eq!(file.cases.len(), 15);
    for case in &file.cases {
        let sampler = TokenSampler::new(case.config.clone()).unwrap();
        assert!(case.probabilities.len() >= 5);
        for (&row, expected) in &case.probabilities {
            let found = sampler.probabilities(&file.logits[row], &file.history[row]).unwrap();
            assert_eq!(found.len(), expected.len());
            for (token, (&found, &expected)) in found.iter().zip(expected).enumerate() {
                let what = format!("{:?}, row {row}, token {token}", case.config);
                assert_eq!(found == 0.0, expected == 0.0, "{what}: found {found}, expected {expected}");
                assert_close(found, expected, 0.0, 1e-6, &what);
            }
        }
    }
}
