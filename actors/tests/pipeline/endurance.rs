//! A run that trains on nothing, or learns nothing, ends and says so.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use addendum_actors::{
    EngineError, Evaluate, Event, Learner, Pipeline, RunConfig, RunError, Scores, Stage, StageError, StepRecord,
    StepStats,
};
use addendum_replay::{Mode, RolloutGroup};
use tokio::sync::Notify;

use crate::common::{Heard, Stepping, ToyLearner, Trouble, Weights, calm, config, pipeline, run, with_learner};

/// Fails for every ticket from one on, as long as the service behind it is dead.
struct Service {
    dead: Arc<AtomicBool>,
    from: u64,
}

impl Stage for Service {
    fn process(&mut self, group: &mut RolloutGroup) -> Result<(), StageError> {
        match self.dead.load(Ordering::SeqCst) && group.ticket.id().0 >= self.from {
            true => Err("connection refused".into()),
            false => Ok(()),
        }
    }
}

fn served(config: RunConfig, dead: &Arc<AtomicBool>, from: u64) -> Pipeline<Weights> {
    let dead = dead.clone();
    pipeline(config, Trouble::default()).stage("service", 1, move || Ok(Service { dead: dead.clone(), from }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_service_dies_ends_with_its_error_and_resumes_as_if_nothing_had_been() {
    for staleness in [0, 1, 3] {
        for (from, checkpoint_every) in [(0, 1), (9, 3), (9, 1), (12, 0)] {
            let config = RunConfig { staleness, checkpoint_every, samplers: 2, ..config() };
            let folder = tempfile::tempdir().unwrap();
            let dead = Arc::new(AtomicBool::new(true));
            let error = run(served(config.clone(), &dead, from).folder(folder.path())).await.unwrap_err();
            let RunError::NothingToTrainOn { tickets: 9, last } = &error else { panic!("{error}") };
            assert_eq!((last.attempts, last.error.as_str()), (3, "connection refused"));
            assert!(error.to_string().ends_with("at last with: connection refused"), "{error}");

            dead.store(false, Ordering::SeqCst);
            let heard = Heard::default();
            let resumed = served(config.clone(), &dead, from).folder(folder.path()).resume().observer(heard.listen());
            let summary = run(resumed).await.unwrap();
            let begun = heard.events().remove(0);
            assert!(matches!(begun, Event::Resumed { version, .. } if version.0 == from / 3), "{begun:?}");
            assert!(summary.dead_letters.is_empty());
            assert_eq!(summary.snapshot.bytes(), calm(config).await, "staleness {staleness}, from {from}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_latest_mode_too_the_studies_that_died_are_tried_again() {
    let config = RunConfig { mode: Mode::Latest, ..config() };
    let (folder, dead) = (tempfile::tempdir().unwrap(), Arc::new(AtomicBool::new(true)));
    let error = run(served(config.clone(), &dead, 9).folder(folder.path())).await.unwrap_err();
    assert!(matches!(error, RunError::NothingToTrainOn { .. }), "{error}");
    dead.store(false, Ordering::SeqCst);
    let heard = Heard::default();
    let summary = run(served(config, &dead, 9).folder(folder.path()).resume().observer(heard.listen())).await.unwrap();
    assert!(summary.finished);
    assert!(heard.steps().iter().all(|step| step.groups == 3) && summary.dead_letters.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_without_groups_have_no_means_and_a_trained_one_between_them_starts_the_count_anew() {
    // Two of three steps have no groups: 6 in a row are less than 8.
    let config = RunConfig { steps: 9, ..config() };
    struct Third;
    impl Stage for Third {
        fn process(&mut self, group: &mut RolloutGroup) -> Result<(), StageError> {
            match group.ticket.id().0 / 3 % 3 {
                2 => Ok(()),
                _ => Err("not now".into()),
            }
        }
    }
    let (folder, heard) = (tempfile::tempdir().unwrap(), Heard::default());
    let chain = pipeline(config, Trouble::default()).stage("third", 1, || Ok(Third));
    run(chain.folder(folder.path()).observer(heard.listen())).await.unwrap();
    let text = fs::read_to_string(folder.path().join("metrics.jsonl")).unwrap();
    for (line, told) in text.lines().zip(heard.steps()) {
        let read: StepRecord = serde_json::from_str(line).unwrap();
        let means = [read.reward_mean, read.reward_sampled, read.edit_gain, read.response_length, read.stats.loss];
        let empty = told.step % 3 != 2;
        assert!(means.iter().all(|mean| mean.is_nan() == empty), "{line}");
        assert_eq!(line.contains("\"reward_mean\":null"), empty, "{line}");
        assert_eq!(told.groups, if empty { 0 } else { 3 });
    }
    assert_eq!(text.lines().count(), 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_skips_step_after_step_ends_with_what_is_known_and_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let config = RunConfig { steps: 20, max_skipped_in_a_row: 4, ..config() };
    let mut steps = 0;
    let three = move |toy: &mut ToyLearner, groups: &[RolloutGroup]| {
        steps += 1;
        match steps {
            ..=3 => toy.step(groups),
            _ => Ok(StepStats { skipped: true, loss: f64::NAN, gradient_norm: f64::INFINITY, ..StepStats::default() }),
        }
    };
    let chain = with_learner(config, Trouble::default(), move |trouble| Stepping(ToyLearner::new(trouble), three));
    let error = run(chain.folder(folder.path())).await.unwrap_err().to_string();
    assert!(error.starts_with("4 steps in a row were skipped") && error.contains("step 6"), "{error}");
    assert!(error.contains("loss NaN") && error.contains("norm inf"), "{error}");
    assert!(folder.path().join("checkpoints/step-00000007").is_dir());
}

/// Never comes back once training is over, and tells when that begins.
struct Endless(Arc<Notify>);

impl Evaluate<Weights> for Endless {
    fn evaluate(&mut self, _: &Weights) -> Result<Scores, EngineError> {
        self.0.notify_one();
        std::thread::sleep(Duration::from_secs(10));
        Ok(Scores::new())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_during_the_last_evaluation_ends_at_once_with_the_checkpoint_written() {
    let (folder, begun) = (tempfile::tempdir().unwrap(), Arc::new(Notify::new()));
    let (evaluating, signal) = (begun.clone(), begun);
    let config = RunConfig { evaluate_first: false, ..config() };
    let chain = pipeline(config, Trouble::default()).folder(folder.path());
    let chain =
        chain.evaluator(move || Ok(Endless(evaluating.clone()))).stop_when(async move { signal.notified().await });
    let clock = std::time::Instant::now();
    let summary = run(chain).await.unwrap();
    assert!(clock.elapsed() < Duration::from_secs(8), "it waited for the evaluation");
    assert!(summary.finished && summary.evaluations.is_empty());
    assert!(folder.path().join("checkpoints/step-00000008/manifest.json").exists());
}
