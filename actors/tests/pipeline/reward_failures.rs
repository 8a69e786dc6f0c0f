//! A reward component that fails: retried, then the group's attempt fails. A failure never becomes a reward.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use crate::common::{Heard, SENTENCES, Trouble, Weights, config, pipeline, run};
use addendum_actors::{Pipeline, RunConfig, Stage, StageError, Threads, stages::RewardStage};
use addendum_replay::RolloutGroup;
use addendum_rewards::{
    Backends, Case, Components, Entity, EntityExtractor, Error, Labeller, Labels, Result, RewardConfig, ScoreError,
    Scorer,
};
use addendum_rewards_remote::{Backoff, Patience};

/// A labeller that fails the first time it sees a text, and always for texts that hold `never`.
struct Flaky {
    seen: Mutex<BTreeSet<String>>,
    never: &'static str,
}

impl Labeller for Flaky {
    fn label(&self, reports: &[&str]) -> Result<Vec<Labels>> {
        let fresh = self.seen.lock().unwrap().insert(reports.join("\n"));
        if fresh || reports.iter().any(|report| report.contains(self.never)) {
            return Err(Error::Component { component: "flaky", reason: "connection lost".into() });
        }
        Backends::lexicon().labeller.label(reports)
    }
}

/// The toy run without its toy reward: sums in another order would end in other bits.
fn unscored(config: RunConfig) -> Pipeline<Weights> {
    pipeline(config, Trouble::default()).stage("unscored", 1, || Ok(Unscored))
}

struct Unscored;

impl Stage for Unscored {
    fn process(&mut self, group: &mut RolloutGroup) -> std::result::Result<(), StageError> {
        group.rollouts.iter_mut().for_each(|rollout| rollout.reward = None);
        Ok(())
    }
}

/// The toy run with the clinical reward over `backends`.
fn clinical(config: RunConfig, backends: Backends) -> Pipeline<Weights> {
    let scorer = Arc::new(Scorer::new(backends, &RewardConfig::default()).unwrap());
    unscored(config).stage("clinical", 2, move || Ok(RewardStage::new(scorer.clone())))
}

/// The same with one stage for each back end.
fn parts(config: RunConfig, backends: Backends) -> Pipeline<Weights> {
    let parts = Scorer::new(backends, &RewardConfig::default()).unwrap().parts();
    parts.into_iter().zip([3, 1, 2]).fold(unscored(config), |chain, ((backend, part), workers)| {
        let part = Arc::new(part);
        chain.stage(backend.name(), workers, move || Ok(RewardStage::new(part.clone())))
    })
}

fn flaky(never: &'static str) -> Backends {
    let backoff =
        Backoff { attempts: 3, first_delay_seconds: 0.0005, longest_delay_seconds: 0.001, deadline_seconds: 30. };
    let flaky = Flaky { seen: Mutex::default(), never };
    let backends = Backends { labeller: Arc::new(flaky), ..Backends::lexicon() };
    Patience { backoff, limit_seconds: None }.with(backends).unwrap()
}

/// A component that fails twice for every text before it works: three attempts of a group see it well at last.
struct Reluctant(Mutex<BTreeMap<String, usize>>);

impl EntityExtractor for Reluctant {
    fn extract(&self, sentences: &[&str]) -> Result<Vec<Vec<Entity>>> {
        let mut seen = self.0.lock().unwrap();
        let calls = seen.entry(sentences.join("\n")).or_default();
        *calls += 1;
        match *calls {
            1 | 2 => Err(Error::Component { component: "reluctant", reason: "not yet".into() }),
            _ => Backends::lexicon().entities.extract(sentences),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_for_each_back_end_learns_what_one_stage_learns() {
    let (one, several) = (Heard::default(), Heard::default());
    let together = run(clinical(config(), Backends::lexicon()).observer(one.listen())).await.unwrap();
    let apart = run(parts(config(), Backends::lexicon()).observer(several.listen())).await.unwrap();
    assert_eq!(apart.snapshot.bytes(), together.snapshot.bytes());
    let rewards = |heard: &Heard| -> Vec<_> {
        heard.steps().into_iter().map(|step| (step.reward_mean, step.reward_components)).collect()
    };
    assert_eq!(rewards(&several), rewards(&one));
    let names: Vec<String> = rewards(&one).remove(0).1.into_keys().collect();
    assert_eq!(names, ["chexbert", "radgraph", "rate"]);
}

/// The clinical reward, then what is registered, each in a stage of its own.
fn with_registered(own: fn(&Case<'_>) -> std::result::Result<Vec<f64>, ScoreError>) -> Pipeline<Weights> {
    let mut components = Components::default();
    components.register("own", own).unwrap();
    let mut reward = RewardConfig::default();
    reward.weights.insert("own".into(), 0.25);
    let registered = Arc::new(reward.registered(&components).unwrap().remove(0));
    parts(config(), Backends::lexicon()).stage("own", 2, move || Ok(RewardStage::new(registered.clone())))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registered_component_sees_the_group_and_adds_its_weighed_value() {
    fn tokens(case: &Case<'_>) -> std::result::Result<Vec<f64>, ScoreError> {
        assert!(!case.reference().is_empty());
        Ok(case.reports.iter().map(|report| -(report.tokens.len() as f64)).collect())
    }
    let heard = Heard::default();
    let summary = run(with_registered(tokens).observer(heard.listen())).await.unwrap();
    assert!(summary.finished && summary.dead_letters.is_empty());
    for step in heard.steps() {
        let parts = &step.reward_components;
        let built_in: f64 = ["chexbert", "radgraph", "rate"].iter().map(|name| parts[*name]).sum();
        assert!(parts["own"] < 0., "{parts:?}");
        assert!((step.reward_mean - (built_in + 0.25 * parts["own"])).abs() < 1e-9, "{parts:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registered_component_that_fails_costs_the_group_and_is_named() {
    let error = run(with_registered(|_| Ok(vec![f64::INFINITY]))).await.unwrap_err().to_string();
    assert!(error.contains("reward component `own`: 1 values for"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_failed_half_way_adds_nothing_to_the_next() {
    let mut patient = config();
    patient.max_attempts = 1000;
    let calm = run(parts(config(), Backends::lexicon())).await.unwrap();
    let heard = Heard::default();
    // The last of the stages fails when the others have added their scores already, and nothing tries again within it.
    let backends = Backends { entities: Arc::new(Reluctant(Mutex::default())), ..Backends::lexicon() };
    let reluctant = run(parts(patient, backends).observer(heard.listen())).await.unwrap();
    assert!(reluctant.finished && reluctant.dead_letters.is_empty());
    assert!(heard.steps().last().unwrap().retries > 0, "nothing failed");
    assert_eq!(reluctant.snapshot.bytes(), calm.snapshot.bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_named_twice_is_an_error_of_the_group() {
    let scorer = Arc::new(Scorer::new(Backends::lexicon(), &RewardConfig::default()).unwrap());
    let patient = RunConfig { max_dead_in_a_row: u64::MAX, ..config() };
    let twice = clinical(patient, Backends::lexicon()).stage("again", 1, move || Ok(RewardStage::new(scorer.clone())));
    let summary = run(twice).await.unwrap();
    assert_eq!(summary.dead_letters.len(), 24);
    let letter = summary.dead_letters.values().next().unwrap();
    assert!(letter.error.contains("two reward stages give the component `chexbert`"), "{}", letter.error);
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_that_pass_leave_no_trace_in_the_weights() {
    let calm = run(clinical(config(), Backends::lexicon())).await.unwrap();
    let heard = Heard::default();
    let flaky = run(clinical(config(), flaky("no such words")).observer(heard.listen())).await.unwrap();
    assert!(flaky.finished && flaky.dead_letters.is_empty());
    assert_eq!(flaky.snapshot.bytes(), calm.snapshot.bytes());
    assert!(heard.steps().iter().all(|record| record.groups == 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_with_a_time_limit_computes_with_the_threads_that_it_was_given() {
    #[derive(Default)]
    struct Watching(Mutex<BTreeSet<(usize, String)>>);
    impl Labeller for Watching {
        fn label(&self, reports: &[&str]) -> Result<Vec<Labels>> {
            let name = std::thread::current().name().unwrap_or_default().to_string();
            self.0.lock().unwrap().insert((rayon::current_num_threads(), name));
            Backends::lexicon().labeller.label(reports)
        }
    }
    for stage in [1, 3] {
        let watching = Arc::new(Watching::default());
        let backends = Backends { labeller: watching.clone(), ..Backends::lexicon() };
        let patience = Patience { limit_seconds: Some(60.), ..Patience::default() };
        let config = RunConfig { threads: Threads { stage, ..Threads::default() }, ..config() };
        run(clinical(config, patience.with(backends).unwrap())).await.unwrap();
        let seen = watching.0.lock().unwrap();
        assert!(!seen.is_empty());
        assert!(seen.iter().all(|(threads, name)| *threads == stage && name.starts_with("clinical-")), "{seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_stays_broken_costs_the_group_and_not_its_reward() {
    // The reference of one study in seven holds this sentence, and so may some reports.
    let broken = SENTENCES[5];
    let heard = Heard::default();
    let patient = RunConfig { max_dead_in_a_row: u64::MAX, ..config() };
    let summary = run(clinical(patient, flaky(broken)).observer(heard.listen())).await.unwrap();
    assert!(summary.finished && !summary.dead_letters.is_empty());
    for letter in summary.dead_letters.values() {
        assert_eq!(letter.attempts, 3);
        assert!(letter.error.contains("labeller: flaky: connection lost (tried 3 times"), "{}", letter.error);
    }
    let trained: usize = heard.steps().iter().map(|record| record.groups).sum();
    assert_eq!(trained + summary.dead_letters.len(), 24);
}
