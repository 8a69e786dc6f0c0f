//! A run's reports are trained on again.

use std::{fs, path::Path};

use crate::common::{adapter, addendum, bare, finished};

fn replay(recorded: &Path, out: &Path, more: &[&str]) -> std::process::Command {
    let mut command = addendum();
    command.args(["train", "--replay"]).arg(recorded).arg("--out").arg(out).args(more);
    command
}

#[test]
fn recorded_reports_make_the_same_adapter_and_under_other_settings_another() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let recorded = at("recorded");
    let latest = ["--set", "run.mode=latest", "--set", "run.swap=true", "--set", "run.samplers=2"];
    finished(&mut bare(&recorded, &latest));
    finished(&mut replay(&recorded, &at("same"), &[]));
    assert_eq!(adapter(&recorded), adapter(&at("same")));
    assert!(!at("same").join("sampled.jsonl").exists(), "what was recorded is recorded again");
    finished(&mut replay(&recorded, &at("other"), &["--set", "learner.objective.kl_coefficient=0.5"]));
    assert_ne!(adapter(&recorded), adapter(&at("other")));

    let refused = |recorded: &Path, more: &[&str]| {
        let output = replay(recorded, &at("refused"), more).output().unwrap();
        assert!(!output.status.success() && !at("refused").join("metrics.jsonl").exists());
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    let message = refused(&recorded, &["--set", "run.steps=7"]);
    assert!(message.contains("6 steps are recorded, `run.steps` is 7"), "{message}");
    let message = refused(&recorded, &["--set", "run.group_size=4"]);
    assert!(message.contains("sampled.jsonl") && message.contains("run.group_size"), "{message}");
    assert_eq!(
        refused(&recorded, &["--set", "run.batch_groups=3", "--dry-run"]).matches("`run.batch_groups` is 3").count(),
        1
    );
    let message = refused(&at("same"), &["--dry-run"]);
    assert!(message.contains("same/sampled.jsonl: not there: a run records"), "{message}");
    let message = refused(&at("nowhere"), &[]);
    assert!(message.contains("nowhere/config.toml"), "{message}");

    let lines = fs::read_to_string(recorded.join("sampled.jsonl")).unwrap();
    fs::write(recorded.join("sampled.jsonl"), lines.replacen("\"tokens\":[", "\"tokens\":[1000000,", 1)).unwrap();
    let message = refused(&recorded, &["--dry-run"]);
    assert!(
        message.contains("sampler.recording: ") && message.contains("sampled.jsonl: line 2: report 0"),
        "{message}"
    );
}
