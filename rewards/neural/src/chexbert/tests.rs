use std::collections::BTreeMap;

use serde::Deserialize;

use super::*;
use crate::testing::{close, folder, tensors};
use addendum_fixtures::fixture;
use addendum_rewards::labels::binary;

#[derive(Deserialize)]
struct Fixture {
    reports: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    text: String,
    input_ids: Vec<u32>,
    argmax: Vec<usize>,
    labels_rrg: Vec<u8>,
    labels_classification: Vec<serde_json::Value>,
}

fn cases() -> Vec<Case> {
    let fixture: Fixture = serde_json::from_slice(&fixture("rewards/chexbert/reports.json")).unwrap();
    assert!(!fixture.reports.is_empty());
    fixture.reports
}

fn model(weights: &str) -> Chexbert {
    let folder = folder("rewards/chexbert");
    Chexbert::load(&folder.join(weights), &folder, &Device::Cpu).unwrap()
}

#[test]
fn parity_chexbert_tokens_scores_and_labels() {
    let (model, cases) = (model("chexbert.pth"), cases());
    let texts: Vec<&str> = cases.iter().map(|case| case.text.as_str()).collect();
    let expected = tensors("rewards/chexbert/logits.safetensors");
    let scores = model.scores(&texts).unwrap();
    let labels = model.label(&texts).unwrap();
    for (i, case) in cases.iter().enumerate() {
        assert_eq!(model.ids(&case.text).unwrap(), case.input_ids, "{:?}", case.text);
        close(&scores[i], &expected[&format!("logits.{i:03}")].1, 1e-4, &case.text);
        let answers = Observation::ALL.map(answers);
        let argmax: Vec<usize> =
            (labels[i].iter().zip(answers)).map(|(label, all)| all.iter().position(|a| a == label).unwrap()).collect();
        assert_eq!(argmax, case.argmax, "{:?}", case.text);
        assert_eq!(binary(&labels[i]).map(u8::from).to_vec(), case.labels_rrg, "{:?}", case.text);
        let classes = labels[i].map(|label| match label {
            Label::Blank => serde_json::json!(""),
            Label::Positive => serde_json::json!(1),
            Label::Negative => serde_json::json!(0),
            Label::Uncertain => serde_json::json!(-1),
        });
        assert_eq!(classes.to_vec(), case.labels_classification, "{:?}", case.text);
    }
}

#[test]
fn parity_chexbert_reads_the_same_from_every_layout() {
    let cases = cases();
    let texts: Vec<&str> = cases.iter().map(|case| case.text.as_str()).collect();
    let expected = model("chexbert.pth").scores(&texts).unwrap();
    for layout in ["chexbert_legacy.pth", "chexbert.safetensors"] {
        assert_eq!(model(layout).scores(&texts).unwrap(), expected, "{layout}");
    }
}

#[test]
fn parity_chexbert_hidden_states_of_the_reference_s_padded_batch() {
    let (model, batch) = (model("chexbert.safetensors"), tensors("rewards/chexbert/padded_batch.safetensors"));
    let (shape, ids) = &batch["input_ids"];
    let (length, mask) = (shape[1], &batch["attention_mask"].1);
    let (hidden, logits) = (&batch["last_hidden_state"], &batch["logits"]);
    let sequences: Vec<Vec<u32>> = (0..shape[0])
        .map(|i| (0..length).map(|j| i * length + j).filter(|&at| mask[at] > 0.).map(|at| ids[at] as u32).collect())
        .collect();
    for pack in Pack::all(&sequences, 40) {
        let states: Vec<Vec<f32>> = model.bert.forward(&pack).unwrap().to_vec2().unwrap();
        let scores = model.forward(&pack).unwrap();
        for (k, (&member, (row, rows))) in pack.members.iter().zip(pack.spans()).enumerate() {
            let width = hidden.0[2];
            for j in 0..rows {
                close(&states[row + j], &hidden.1[(member * length + j) * width..][..width], 1e-4, "hidden state");
            }
            let classes = logits.0[1];
            close(&scores[k], &logits.1[member * classes..][..classes], 1e-4, "logits");
        }
    }
}

#[test]
fn labels_do_not_depend_on_the_other_reports() {
    let (model, cases) = (model("chexbert.safetensors"), cases());
    let texts: Vec<&str> = cases.iter().map(|case| case.text.as_str()).collect();
    let together = model.scores(&texts).unwrap();
    for (text, expected) in texts.iter().zip(&together) {
        close(&model.scores(&[text]).unwrap()[0], expected, 1e-5, text);
    }
    assert!(model.label(&[]).unwrap().is_empty());
}

#[test]
fn a_checkpoint_of_another_size_is_refused_by_tensor_and_shape() {
    let source = folder("rewards/chexbert");
    let other = tempfile::tempdir().unwrap();
    std::fs::copy(source.join("vocab.txt"), other.path().join("vocab.txt")).unwrap();
    let mut config: BTreeMap<String, serde_json::Value> =
        serde_json::from_slice(&std::fs::read(source.join("config.json")).unwrap()).unwrap();
    config.insert("intermediate_size".into(), 63.into());
    std::fs::write(other.path().join("config.json"), serde_json::to_vec(&config).unwrap()).unwrap();
    let error = Chexbert::load(&source.join("chexbert.pth"), other.path(), &Device::Cpu).err().unwrap().to_string();
    assert!(error.contains("chexbert.pth") && error.contains("intermediate.dense.weight"), "{error}");
    assert!(error.contains("expected [63, "), "{error}");
}
