//! What a resume takes up, what it refuses, and what it says.

use std::{fs, path::Path, time::Duration};

use addendum_actors::{EngineError, Evaluate, Event, Identity, Pipeline, RunConfig, RunError, Scores};

use crate::common::{First, Heard, Trouble, Weights, calm, config, pipeline, run};

fn chain(config: RunConfig, folder: &Path) -> Pipeline<Weights> {
    pipeline(config, Trouble::default()).folder(folder)
}

fn named(pairs: &[(&str, &str)]) -> Identity {
    pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

/// From which version a run went on, and what it passed over.
fn resumed(heard: &Heard) -> (u64, Vec<String>) {
    match heard.events().remove(0) {
        Event::Resumed { version, skipped, .. } => {
            let said = skipped.iter().map(|(path, reason)| format!("{}: {reason}", path.display()));
            (version.0, said.collect())
        }
        other => panic!("expected news of the resume, got {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_setting_that_differs_is_named_with_both_values_and_nothing_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let told = named(&[("learner.schedule.learning_rate", "0.0005"), ("policy", "f00d")]);
    run(chain(config(), folder.path()).identity(told.clone())).await.unwrap();
    let written = || fs::read(folder.path().join("metrics.jsonl")).unwrap();
    let before = written();
    let other = RunConfig { steps: 12, seed: 5, group_size: 6, samplers: 2, max_attempts: 9, ..config() };
    let other =
        chain(other, folder.path()).identity(named(&[("learner.schedule.learning_rate", "0.001"), ("data", "cafe")]));
    let other = other.resume();
    assert!(matches!(other.check(), Err(RunError::OtherRun { .. })));
    let error = run(other).await.unwrap_err();
    let RunError::OtherRun { differences, .. } = &error else { panic!("{error}") };
    let said: Vec<String> = differences.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "data is cafe, the run was started without it",
            "learner.schedule.learning_rate is 0.001, the run was started with 0.0005",
            "policy is not given, the run was started with f00d",
            "run.group_size is 6, the run was started with 4",
            "run.seed is 5, the run was started with 11",
        ]
    );
    assert_eq!(written(), before);

    // What cannot change the result may change.
    let longer = RunConfig { steps: 12, ..config() };
    let free = RunConfig { samplers: 2, max_attempts: 9, checkpoint_every: 1, ..longer.clone() };
    let summary = run(chain(free, folder.path()).identity(told).resume()).await.unwrap();
    assert_eq!(summary.snapshot.bytes(), calm(longer).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resume_takes_the_newest_checkpoint_that_reads_whole_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = folder.path().join("checkpoints");
    run(chain(RunConfig { keep_checkpoints: 3, ..config() }, folder.path())).await.unwrap();
    fs::create_dir(checkpoints.join("step-99999999")).unwrap();
    fs::write(checkpoints.join("step-77777777"), "notes").unwrap();
    let learner = checkpoints.join("step-00000008/learner.bin");
    let whole = fs::read(&learner).unwrap();
    fs::write(&learner, &whole[1..]).unwrap();

    let longer = RunConfig { steps: 12, ..config() };
    let heard = Heard::default();
    let summary = run(chain(longer.clone(), folder.path()).resume().observer(heard.listen())).await.unwrap();
    assert_eq!(summary.snapshot.bytes(), calm(longer.clone()).await);
    let (version, skipped) = resumed(&heard);
    assert_eq!(version, 6);
    let expected = ["step-99999999: `manifest.json`", "step-77777777: `manifest.json`", "`learner.bin` is damaged"];
    assert!(
        skipped.len() == 3 && expected.iter().zip(&skipped).all(|(words, said)| said.contains(words)),
        "{skipped:?}"
    );
    // Two are kept, and what was passed over is none of them.
    for version in [9, 12] {
        assert!(checkpoints.join(format!("step-{version:08}/manifest.json")).exists());
    }
    assert!(checkpoints.join("step-99999999").is_dir() && checkpoints.join("step-77777777").is_file());

    for version in [9, 12] {
        fs::remove_file(checkpoints.join(format!("step-{version:08}/gate.json"))).unwrap();
    }
    fs::remove_dir_all(checkpoints.join("step-00000008")).unwrap();
    let error = run(chain(longer, folder.path()).resume()).await.unwrap_err().to_string();
    for name in ["step-00000009", "step-00000012", "step-77777777", "step-99999999", "`gate.json`"] {
        assert!(error.contains(name), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_without_a_run_is_not_resumed_and_a_run_without_a_checkpoint_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    let resume = || run(chain(config(), folder.path()).resume());
    let error = resume().await.unwrap_err();
    assert!(matches!(error, RunError::NoRun { .. }), "{error}");
    fs::write(folder.path().join("metrics.jsonl"), "epoch,loss\n").unwrap();
    let error = resume().await.unwrap_err();
    assert!(matches!(error, RunError::NoRun { .. }), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "something was written");

    fs::write(folder.path().join("metrics.jsonl"), "{\"step\":0}\n").unwrap();
    let heard = Heard::default();
    run(chain(config(), folder.path()).resume().observer(heard.listen())).await.unwrap();
    assert_eq!(resumed(&heard), (0, Vec::new()));
    assert_eq!(fs::read_to_string(folder.path().join("metrics.jsonl")).unwrap().lines().count(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_in_the_same_folder_is_refused_until_the_first_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let first = chain(config(), folder.path()).start().await.unwrap();
    for second in [chain(config(), folder.path()), chain(config(), folder.path()).resume()] {
        let error = run(second).await.unwrap_err();
        assert!(matches!(error, RunError::Locked { .. }), "{error}");
        assert!(error.to_string().contains(folder.path().to_str().unwrap()), "{error}");
    }
    crate::common::finish(first).await.unwrap();
    run(chain(RunConfig { steps: 9, ..config() }, folder.path()).resume()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn evaluations_are_made_once_each_over_all_lives_of_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let evaluated = |config: RunConfig| chain(config, folder.path()).evaluator(|| Ok(First));
    let config = RunConfig { evaluate_every: 3, evaluate_first: false, ..config() };
    run(evaluated(RunConfig { steps: 7, ..config.clone() })).await.unwrap();
    let lines = || fs::read_to_string(folder.path().join("evaluations.jsonl")).unwrap();
    // The version that the checkpoint holds was not evaluated yet when the run was killed.
    let all = lines();
    let cut: String =
        all.lines().filter(|line| !line.contains("\"version\":6")).map(|line| format!("{line}\n")).collect();
    fs::remove_dir_all(folder.path().join("checkpoints/step-00000007")).unwrap();
    fs::write(folder.path().join("evaluations.jsonl"), cut).unwrap();
    for _ in 0..2 {
        let summary = run(evaluated(RunConfig { steps: 8, ..config.clone() }).resume()).await.unwrap();
        let versions: Vec<u64> = summary.evaluations.iter().map(|(version, _)| version.0).collect();
        assert_eq!(versions, [3, 6, 8]);
        assert_eq!(lines().lines().count(), 3);
    }
}

/// Scores the first weight, and takes longer for it than a step does.
struct Slow;

impl Evaluate<Weights> for Slow {
    fn evaluate(&mut self, snapshot: &Weights) -> Result<Scores, EngineError> {
        std::thread::sleep(Duration::from_millis(40));
        First.evaluate(snapshot)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn evaluations_that_checkpoints_have_overtaken_are_made_after_a_kill() {
    let config = RunConfig { evaluate_every: 1, checkpoint_every: 1, ..config() };
    let whole = run(pipeline(config.clone(), Trouble::default()).evaluator(|| Ok(First))).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let slow = || chain(config.clone(), folder.path()).evaluator(|| Ok(Slow));
    let running = slow().start().await.unwrap();
    while running.gate().version().0 < 5 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(running);
    let text = fs::read_to_string(folder.path().join("evaluations.jsonl")).unwrap();
    assert!(text.lines().count() < 4, "no evaluation was overtaken: the test shows nothing");
    let resumed = run(crate::common::resumed(slow()).await).await.unwrap();
    assert_eq!(resumed.evaluations, whole.evaluations);
}
