//! What happens once is written and told once, whoever panics or is killed meanwhile.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::common::{Heard, ToyLearner, Trouble, Weights, calm, config, finish, pipeline, run};
use addendum_actors::{EngineError, Evaluate, Event, RunConfig, Scores, StepRecord};

fn written(folder: &Path) -> Vec<u64> {
    let text = fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str::<StepRecord>(line).unwrap().step).collect()
}

fn told(heard: &Heard) -> Vec<u64> {
    heard.steps().iter().map(|record| record.step).collect()
}

const EVERY_STEP: [u64; 8] = [0, 1, 2, 3, 4, 5, 6, 7];

#[tokio::test(flavor = "multi_thread")]
async fn an_observer_that_panics_costs_no_metric_no_checkpoint_and_no_later_event() {
    let config = RunConfig { checkpoint_every: 1, ..config() };
    let expected = calm(config.clone()).await;
    let (folder, heard) = (tempfile::tempdir().unwrap(), Heard::default());
    let mut listen = heard.listen();
    let observer = move |event: &Event| {
        listen(event);
        assert!(!matches!(event, Event::Step(record) if record.step % 3 == 0), "the terminal is gone");
        assert!(!matches!(event, Event::Checkpoint { version, .. } if version.0 == 5), "the terminal is gone");
    };
    let summary = run(pipeline(config, Trouble::default()).folder(folder.path()).observer(observer)).await.unwrap();
    assert_eq!(summary.snapshot.bytes(), expected);
    assert_eq!(summary.restarts, 0);
    assert_eq!(written(folder.path()), EVERY_STEP);
    assert_eq!(told(&heard), EVERY_STEP);
    let checkpoints = heard.events().into_iter().filter(|event| matches!(event, Event::Checkpoint { .. }));
    assert_eq!(checkpoints.count(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_recorder_leaves_everything_to_its_successor_even_the_news_of_its_death() {
    let (folder, heard) = (tempfile::tempdir().unwrap(), Heard::default());
    let config = RunConfig { checkpoint_every: 1, ..config() };
    let mut listen = heard.listen();
    // A slow ear, so that there is always something unread.
    let observer = move |event: &Event| {
        std::thread::sleep(Duration::from_millis(4));
        listen(event);
    };
    let trouble = Trouble { delay: Duration::from_millis(4), ..Trouble::default() };
    let running = pipeline(config, trouble).folder(folder.path()).observer(observer).start().await.unwrap();
    while running.gate().version().0 < 8 {
        running.actor("recorder").unwrap().kill();
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let summary = finish(running).await.unwrap();
    assert_eq!(written(folder.path()), EVERY_STEP);
    assert_eq!(told(&heard), EVERY_STEP);
    let checkpoints = heard.events().into_iter().filter(|event| matches!(event, Event::Checkpoint { .. }));
    assert_eq!(checkpoints.count(), 8);
    let restarts = heard.restarts();
    assert!(restarts.iter().all(|restart| restart == &("recorder".into(), "killed".into())), "{restarts:?}");
    assert!(!restarts.is_empty() && restarts.len() as u64 == summary.restarts, "{restarts:?}, {}", summary.restarts);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_restart_is_told_with_its_reason_those_of_pool_workers_too() {
    let trouble = Trouble {
        sampler_panics: vec![4],
        editor_panics: vec![2],
        reward_panics: vec![1, 6],
        learner_panics: vec![3],
        ..Trouble::default()
    };
    let heard = Heard::default();
    let summary = run(pipeline(config(), trouble).observer(heard.listen())).await.unwrap();
    let mut restarts = heard.restarts();
    restarts.sort();
    let reason = |who: &str, call: u64| format!("panicked: {who} broke at call {call}");
    let expected = [
        ("editor", reason("the editor", 2)),
        ("learner", reason("the learner", 3)),
        ("reward", reason("the reward", 1)),
        ("reward", reason("the reward", 6)),
        ("sampler-0", reason("the sampler", 4)),
    ];
    assert_eq!(restarts, expected.map(|(actor, reason)| (actor.to_string(), reason)));
    assert_eq!(summary.restarts, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_of_a_pool_is_told() {
    let heard = Heard::default();
    let trouble = Trouble { delay: Duration::from_millis(4), ..Trouble::default() };
    let running = pipeline(config(), trouble).observer(heard.listen()).start().await.unwrap();
    running.actor("reward").unwrap().get_children().pop().unwrap().kill();
    finish(running).await.unwrap();
    assert_eq!(heard.restarts(), [("reward".to_string(), "killed".to_string())]);
}

/// Scores with the first weight; slow at its first call, broken at its second.
struct Shaken(Arc<AtomicU64>);

impl Evaluate<Weights> for Shaken {
    fn evaluate(&mut self, snapshot: &Weights) -> Result<Scores, EngineError> {
        match self.0.fetch_add(1, Ordering::SeqCst) {
            0 => std::thread::sleep(Duration::from_millis(300)),
            1 => panic!("never again"),
            _ => {}
        }
        Ok(Scores::from([("first".into(), snapshot.0[0])]))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_evaluation_that_panics_costs_none_of_those_that_wait() {
    let (calls, heard) = (Arc::new(AtomicU64::new(0)), Heard::default());
    let config = RunConfig { evaluate_every: 1, ..config() };
    let chain = pipeline(config, Trouble::default()).evaluator(move || Ok(Shaken(calls.clone())));
    let summary = run(chain.observer(heard.listen())).await.unwrap();
    let versions: Vec<u64> = summary.evaluations.iter().map(|(version, _)| version.0).collect();
    assert_eq!(versions, [0, 2, 3, 4, 5, 6, 7, 8], "all but the second");
    assert_eq!(summary.evaluations[7].1["first"], summary.snapshot.0[0]);
    assert_eq!(heard.restarts().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_evaluation_is_of_the_version_that_the_run_starts_with() {
    // The first sampler and the learner have long begun when the last sampler is ready.
    let trouble = Trouble { slow_start: Duration::from_millis(200), ..Trouble::default() };
    let config = RunConfig { samplers: 2, ..config() };
    let calls = Arc::new(AtomicU64::new(2));
    let summary = run(pipeline(config, trouble).evaluator(move || Ok(Shaken(calls.clone())))).await.unwrap();
    let (version, scores) = &summary.evaluations[0];
    assert_eq!(version.0, 0);
    assert_eq!(scores["first"], ToyLearner::new(Arc::default()).weights.0[0]);
}
