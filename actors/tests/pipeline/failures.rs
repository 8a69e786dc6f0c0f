//! What fails for good is named, and nothing waits forever.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::common::{Heard, ToyLearner, Trouble, Weights, calm, config, finish, pipeline, run, studies};
use addendum_actors::{EngineError, Evaluate, Event, Pipeline, RunConfig, Scores, Stage, StageError};
use addendum_replay::{Mode, RolloutGroup};

#[tokio::test(flavor = "multi_thread")]
async fn a_run_with_studies_that_always_fail_finishes_and_says_why() {
    for mode in [Mode::FixedLag, Mode::Latest] {
        for staleness in [0, 1] {
            let trouble = Trouble {
                unreadable: vec!["study-2".into()],
                unscorable: vec!["study-5".into()],
                ..Trouble::default()
            };
            let config = RunConfig { mode, staleness, samplers: 2, ..config() };
            let heard = Heard::default();
            let summary = run(pipeline(config, trouble).observer(heard.listen())).await.unwrap();
            assert!(summary.finished);
            let errors: Vec<&str> = summary.dead_letters.values().map(|letter| letter.error.as_str()).collect();
            assert!(errors.contains(&"study study-2: the image cannot be decoded"), "{errors:?}");
            assert!(errors.contains(&"panicked: cannot score study-5"), "{errors:?}");
            assert!(summary.dead_letters.values().all(|letter| letter.attempts == 3 && [2, 5].contains(&letter.study)));
            let trained: usize = heard.steps().iter().map(|record| record.groups).sum();
            assert_eq!(trained + summary.dead_letters.len(), 24);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_in_which_every_study_fails_finishes_with_the_weights_it_started_with() {
    let trouble = Trouble { unreadable: (0..7).map(|i| format!("study-{i}")).collect(), ..Trouble::default() };
    let patient = RunConfig { max_dead_in_a_row: u64::MAX, ..config() };
    let summary = run(pipeline(patient, trouble)).await.unwrap();
    assert!(summary.finished);
    assert_eq!(summary.dead_letters.len(), 24);
    assert_eq!(summary.snapshot.bytes(), ToyLearner::new(Arc::default()).weights.bytes());
}

/// Holds one study until its worker was killed.
struct Poisoned {
    bites: Arc<AtomicU64>,
    deaths: Arc<AtomicU64>,
}

impl Stage for Poisoned {
    fn process(&mut self, group: &mut RolloutGroup) -> Result<(), StageError> {
        if group.study.id == "study-3" {
            let bite = self.bites.fetch_add(1, Ordering::SeqCst);
            while self.deaths.load(Ordering::SeqCst) <= bite {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_study_that_takes_its_worker_with_it_every_time_ends_and_no_other_does() {
    let (bites, deaths) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (bitten, died, heard) = (bites.clone(), deaths.clone(), Heard::default());
    let config = RunConfig { max_attempts: 1, ..config() };
    let chain = pipeline(config, Trouble::default())
        .stage("poisoned", 1, move || Ok(Poisoned { bites: bitten.clone(), deaths: died.clone() }));
    let running = chain.observer(heard.listen()).start().await.unwrap();
    let pool = running.actor("poisoned").unwrap();
    let fate = async {
        loop {
            if bites.load(Ordering::SeqCst) > deaths.load(Ordering::SeqCst) {
                for worker in pool.get_children() {
                    worker.kill();
                    let _ = worker.wait(None).await;
                }
                deaths.fetch_add(1, Ordering::SeqCst);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let summary = tokio::select! {
        summary = finish(running) => summary.unwrap(),
        () = fate => unreachable!("fate does not end"),
    };
    assert!(summary.finished && !summary.dead_letters.is_empty());
    for letter in summary.dead_letters.values() {
        assert_eq!((letter.study, letter.attempts, letter.lost), (3, 0, 10), "{letter}");
    }
    let trained: usize = heard.steps().iter().map(|record| record.groups).sum();
    assert_eq!(trained + summary.dead_letters.len(), 24);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_learner_ends_the_run_with_it() {
    let trouble = Trouble { learner_error: Some(3), ..Trouble::default() };
    let error = run(pipeline(config(), trouble)).await.unwrap_err();
    assert_eq!(error.to_string(), "the learner failed at step 3: out of memory");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_learner_that_panics_at_every_step_ends_the_run_with_an_error() {
    let trouble = Trouble { learner_panics: (0..100).collect(), ..Trouble::default() };
    let error = run(pipeline(config(), trouble)).await.unwrap_err().to_string();
    assert!(error.starts_with("the learner failed at step 0: panicked: the learner broke at call"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_that_cannot_be_built_are_named() {
    let sampler = Pipeline::new(
        config(),
        Arc::new(studies(3)),
        |_| Err::<NoSampler, EngineError>("no such device".into()),
        || Ok(ToyLearner::new(Arc::default())),
    );
    let error = run(sampler.stage("reward", 1, || Ok(Panicking))).await.unwrap_err().to_string();
    assert!(error.contains("sampler-0") && error.contains("no such device"), "{error}");

    let learner = Pipeline::new(
        config(),
        Arc::new(studies(3)),
        |_| Ok(NoSampler),
        || Err::<ToyLearner, EngineError>("no such checkpoint".into()),
    );
    let error = run(learner.stage("reward", 1, || Ok(Panicking))).await.unwrap_err().to_string();
    assert_eq!(error, "learner could not be started: no such checkpoint");

    let stage = pipeline(config(), Trouble::default())
        .stage("broken", 1, || -> Result<Panicking, StageError> { panic!("no weights") });
    let error = run(stage).await.unwrap_err().to_string();
    assert!(error.contains("broken") && error.contains("no weights"), "{error}");
}

struct NoSampler;

impl addendum_actors::Sampler<Weights> for NoSampler {
    fn sample(&mut self, _: addendum_actors::Request<Weights>) -> Result<Vec<addendum_actors::Sampled>, EngineError> {
        Err("nothing to sample with".into())
    }
}

struct Panicking;

impl Stage for Panicking {
    fn process(&mut self, _: &mut RolloutGroup) -> Result<(), StageError> {
        panic!("always")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn impossible_runs_are_refused_before_anything_starts() {
    let refusal = |config: RunConfig| async move { run(pipeline(config, Trouble::default())).await.unwrap_err() };
    let odd = refusal(RunConfig { group_size: 5, ..config() }).await.to_string();
    assert!(odd.contains("`group_size` is 5"), "{odd}");
    let none = refusal(RunConfig { steps: 0, ..config() }).await.to_string();
    assert!(none.contains("`steps` is 0"), "{none}");
    let twice = run(pipeline(config(), Trouble::default()).stage("reward", 1, || Ok(Panicking))).await.unwrap_err();
    assert!(twice.to_string().contains("`name of a stage` is reward"), "{twice}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_of_ones_own_is_part_of_the_chain() {
    struct Zero(Arc<AtomicU64>);
    impl Stage for Zero {
        fn process(&mut self, group: &mut RolloutGroup) -> Result<(), StageError> {
            for rollout in &mut group.rollouts {
                rollout.reward.as_mut().ok_or("runs after the rewards")?.total = 0.0;
            }
            self.0.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
    }
    let (calls, heard) = (Arc::new(AtomicU64::new(0)), Heard::default());
    let counter = calls.clone();
    let chain = pipeline(config(), Trouble::default()).stage("zero", 2, move || Ok(Zero(counter.clone())));
    run(chain.observer(heard.listen())).await.unwrap();
    assert!(calls.load(Ordering::SeqCst) >= 24);
    for record in heard.steps() {
        assert_eq!((record.reward_mean, record.zero_variance_groups), (0.0, 3));
    }
    assert!(heard.steps().iter().any(|record| record.queue_wait.contains_key("zero")));
}

/// Fails, panics, or works, in turn.
struct Moody(Arc<AtomicU64>);

impl Evaluate<Weights> for Moody {
    fn evaluate(&mut self, snapshot: &Weights) -> Result<Scores, EngineError> {
        match self.0.fetch_add(1, Ordering::SeqCst) {
            1 => Err("not now".into()),
            2 => panic!("not ever"),
            _ => Ok(Scores::from([("first".into(), snapshot.0[0])])),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn evaluations_happen_at_start_every_k_steps_and_at_the_end_and_their_failures_harm_nobody() {
    let expected = calm(config()).await;
    let (calls, heard) = (Arc::new(AtomicU64::new(0)), Heard::default());
    let config = RunConfig { evaluate_every: 2, ..config() };
    // Slow steps let the evaluator keep up, so that a crash finds no other evaluation in its mailbox.
    let trouble = Trouble { delay: Duration::from_millis(100), ..Trouble::default() };
    let chain = pipeline(config, trouble).evaluator(move || Ok(Moody(calls.clone()))).observer(heard.listen());
    let summary = run(chain).await.unwrap();
    assert_eq!(summary.snapshot.bytes(), expected);
    let versions: Vec<u64> = summary.evaluations.iter().map(|(version, _)| version.0).collect();
    assert_eq!(versions, [0, 6, 8]);
    assert_eq!(summary.evaluations[2].1["first"], summary.snapshot.0[0]);
    let failed = heard.events().into_iter().filter(|event| matches!(event, Event::EvaluationFailed { .. }));
    assert_eq!(failed.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_supervisor_ends_the_run_with_an_error() {
    let trouble = Trouble { delay: Duration::from_millis(5), ..Trouble::default() };
    let running = pipeline(config(), trouble).start().await.unwrap();
    running.actor("learner").unwrap().try_get_supervisor().unwrap().kill();
    let error = finish(running).await.unwrap_err();
    assert_eq!(error.to_string(), "the supervisor of the run was killed");
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_a_run_frees_everything_it_held() {
    let held = Arc::new(Trouble::default());
    let (in_sampler, in_learner) = (held.clone(), held.clone());
    let chain = Pipeline::new(
        config(),
        Arc::new(studies(3)),
        move |_| Ok(Slow(in_sampler.clone())),
        move || Ok(ToyLearner::new(in_learner)),
    );
    let running = chain.stage("reward", 1, || Ok(Panicking)).start().await.unwrap();
    drop(running);
    for _ in 0..500 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        if Arc::strong_count(&held) == 1 {
            return;
        }
    }
    panic!("{} parts of the run are still alive", Arc::strong_count(&held) - 1);
}

struct Slow(#[allow(dead_code)] Arc<Trouble>);

impl addendum_actors::Sampler<Weights> for Slow {
    fn sample(&mut self, _: addendum_actors::Request<Weights>) -> Result<Vec<addendum_actors::Sampled>, EngineError> {
        std::thread::sleep(Duration::from_millis(50));
        Err("slow".into())
    }
}
