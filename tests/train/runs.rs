//! The same adapter as the example's, after a kill too, and never under other settings.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use crate::common::{adapter, addendum, bare, checkpoints, finished, resumed, train, wait_for_checkpoints};

#[test]
fn the_command_and_the_example_give_the_same_adapter() {
    let dir = tempfile::tempdir().unwrap();
    let (command, example) = (dir.path().join("command"), dir.path().join("example"));
    finished(&mut train(&command, &[]));
    let program = Path::new(env!("CARGO_BIN_EXE_addendum")).with_file_name("examples").join("editgrpo_cxr");
    assert!(program.exists(), "{}: `cargo test` without a selection builds it", program.display());
    let mut run = Command::new(program);
    run.env("CANDLE_NUM_THREADS", "1").args(["--steps", "6", "--studies", "2", "--test-studies", "8", "--out"]);
    finished(run.arg(&example));
    assert_eq!(adapter(&command), adapter(&example));
    let config = fs::read_to_string(command.join("adapter/adapter_config.json")).unwrap();
    assert!(config.contains("phantom-2"), "{config}");
}

#[test]
fn a_killed_run_is_resumed_by_its_folder_alone_and_refuses_what_would_change_it() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, killed) = (dir.path().join("whole"), dir.path().join("killed"));
    // A model of the reward by a relative path, which a resumed run must take for the same.
    let longer = [
        "--set",
        "run.steps=12",
        "--set",
        "evaluation.tests=false",
        "--set",
        "reward_models.chexbert=tests/fixtures/rewards/chexbert/chexbert.pth",
        "--set",
        "reward_models.bert=tests/fixtures/rewards/chexbert",
    ];
    finished(&mut train(&whole, &longer));
    let mut child = train(&killed, &longer).stderr(Stdio::null()).spawn().unwrap();
    wait_for_checkpoints(1, &killed, &mut child);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!killed.join("adapter").exists(), "the run was over before it was killed");

    let settings = fs::read(killed.join("config.toml")).unwrap();
    let resume = |more: &[&str]| addendum().args(["train", "--resume"]).arg(&killed).args(more).output().unwrap();
    let refused = resume(&["--set", "learner.schedule.learning_rate=0.002"]);
    let message = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{message}");
    for part in ["learner.schedule.learning_rate", "is 0.002", "with 0.001"] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(fs::read(killed.join("config.toml")).unwrap(), settings, "the settings were overwritten");

    // One that was ended before its first step has its settings alone, and begins.
    let begun = dir.path().join("begun");
    fs::create_dir(&begun).unwrap();
    fs::copy(killed.join("config.toml"), begun.join("config.toml")).unwrap();
    finished(addendum().args(["train", "--resume"]).arg(&begun));
    assert_eq!(adapter(&begun), adapter(&whole));

    let resumed = resume(&["--set", "run.samplers=2"]);
    assert!(resumed.status.success(), "{}", String::from_utf8_lossy(&resumed.stderr));
    assert_eq!(adapter(&killed), adapter(&whole));
}

#[test]
fn evaluations_are_written_while_it_trains_and_the_best_adapter_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let best = "evaluation.keep_best=in-domain/average";
    finished(&mut train(&run, &["--set", "run.evaluate_every=2", "--set", best, "--set", "evaluation.tests=false"]));
    let text = fs::read_to_string(run.join("evaluations.jsonl")).unwrap();
    let versions: Vec<u64> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["version"].as_u64().unwrap())
        .collect();
    assert_eq!(versions, [0, 2, 4, 6]);
    assert!(text.contains("out-of-domain/"));
    assert!(run.join("best/adapter_model.safetensors").exists());
    assert!(run.join("best/adapter_config.json").exists());
}

#[test]
fn a_folder_without_a_run_is_not_resumed() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("thesis.tex"), "").unwrap();
    let output = addendum().args(["train", "--resume"]).arg(dir.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("holds no run"));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn newest_weights_and_swaps_are_within_reach_and_a_dry_run_computes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let latest = ["--set", "run.mode=latest", "--set", "run.swap=true", "--set", "evaluation.tests=false"];
    let plan = finished(train(&run, &latest).arg("--dry-run"));
    assert!(!plan.stdout.is_empty() && !run.exists());
    finished(&mut train(&run, &latest));
    let rollouts = fs::read_to_string(run.join("rollouts.jsonl")).unwrap();
    let sampled = rollouts.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let versions: Vec<_> =
        sampled.filter(|line| line["origin"] == "sampled").map(|line| line["versions"].clone()).collect();
    assert!(!versions.is_empty() && versions.iter().all(|runs| runs[0][1].as_u64().unwrap() > 0), "{versions:?}");
}

#[test]
fn a_run_killed_at_twenty_instants_some_of_them_in_a_checkpoint_ends_in_the_same_adapter() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, killed) = (dir.path().join("whole"), dir.path().join("killed"));
    let longer = ["--set", "run.steps=100"];
    finished(&mut bare(&whole, &longer));
    let places = ["checkpoint.file", "checkpoint.rename", "checkpoint.prune", "metrics", "publish"];
    let mut life = bare(&killed, &longer);
    for kill in 0..20 {
        life.stdout(Stdio::null()).stderr(Stdio::null());
        if kill % 4 == 0 {
            let fault = format!("{}=abort#1", places[kill / 4]);
            let status = life.args(["--fault", &fault]).status().unwrap();
            assert_eq!(status.code(), None, "{fault}: {status}");
        } else {
            // So slow that it is not over before the last kill.
            let mut child = life.args(["--fault", "learner=slow@1,publish=slow@1"]).spawn().unwrap();
            // From before it reads its settings to well within its steps; scattered, and the same in every run.
            std::thread::sleep(Duration::from_millis(kill as u64 * 7919 % 900));
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert!(!killed.join("adapter").exists(), "the run was over before kill {kill}");
        // One that was killed before it wrote its settings begins again.
        life = if killed.join("config.toml").exists() { resumed(&killed) } else { bare(&killed, &longer) };
    }
    finished(&mut life);
    assert_eq!(adapter(&killed), adapter(&whole));
}

#[cfg(unix)]
#[test]
fn a_signal_leaves_a_checkpoint_and_a_second_one_ends_at_once() {
    use addendum::train::interrupt::ignores_hangup;

    let dir = tempfile::tempdir().unwrap();
    let send = |signal: &str, child: &std::process::Child| {
        assert!(Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap().success());
    };
    let started = |run: &Path, more: &[&str]| {
        let mut child = bare(run, more).stderr(Stdio::null()).spawn().unwrap();
        wait_for_checkpoints(1, run, &mut child);
        child
    };
    for (signal, status) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        // Under `nohup` it goes on, and so do the tests.
        if signal == "HUP" && ignores_hangup() {
            continue;
        }
        let run = dir.path().join(signal);
        let mut child = started(&run, &["--set", "run.steps=200", "--set", "run.checkpoint_every=1"]);
        send(signal, &child);
        assert_eq!(child.wait().unwrap().code(), Some(status));
        let steps = fs::read_to_string(run.join("metrics.jsonl")).unwrap().lines().count();
        assert!(run.join(format!("checkpoints/step-{steps:08}/manifest.json")).exists(), "{steps} steps");
    }
    // The learner does not come back, so the first signal waits for it.
    let run = dir.path().join("twice");
    let mut child = started(&run, &["--fault", "learner=hang#3"]);
    wait_for_checkpoints(2, &run, &mut child);
    std::thread::sleep(Duration::from_secs(1));
    send("INT", &child);
    std::thread::sleep(Duration::from_secs(1));
    assert!(child.try_wait().unwrap().is_none());
    send("TERM", &child);
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert!(!checkpoints(&run).is_empty());
}

#[test]
fn a_run_that_stands_still_or_goes_wrong_ends_with_a_status_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let still = ["--set", "run.stall.end_seconds=20", "--set", "run.stall.warn_seconds=2", "--fault", "editor=hang#5"];
    let output = bare(&dir.path().join("still"), &still).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    for part in ["nothing has moved for 2", "in editor, for", "the learner waits for step", "--resume"] {
        assert!(said.contains(part), "{said}");
    }
    let wrong = ["stop=true", "window=1", "tokens_below=1000"].map(|set| format!("run.divergence.{set}"));
    let wrong: Vec<&str> = wrong.iter().flat_map(|set| ["--set", set]).collect();
    let output = bare(&dir.path().join("wrong"), &wrong).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("training went wrong by step 0: reports are empty"), "{said}");
}
