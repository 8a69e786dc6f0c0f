//! A run that stands still, goes wrong, or loses an actor again and again notices it, says so, and can be gone on with.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use addendum_actors::{
    DivergenceConfig, EngineError, Event, Faults, Learner, Pipeline, RunConfig, RunError, Sign, StallConfig, StepStats,
};
use addendum_replay::RolloutGroup;

use crate::common::{
    Heard, Stepping, ToyLearner, ToySampler, Trouble, Weights, calm, config, pipeline, run, stages, studies,
    with_learner,
};

fn faulty(config: RunConfig, faults: &str) -> Pipeline<Weights> {
    pipeline(config, Trouble::default()).faults(Faults::parse(faults, 5).unwrap())
}

fn checkpoints(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder.join("checkpoints")).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_never_returns_is_replaced_within_the_limit_and_costs_no_bit() {
    let heard = Heard::default();
    // A busy machine may be late by itself.
    let config = RunConfig { stage_seconds: Some(0.4), max_attempts: 50, ..config() };
    let expected = calm(config.clone()).await;
    let summary = run(faulty(config, "reward=hang#4").observer(heard.listen())).await.unwrap();
    assert_eq!(summary.snapshot.bytes(), expected);
    assert!(summary.dead_letters.is_empty());
    let late = ("reward".to_string(), "no answer within 400ms".to_string());
    assert!(heard.restarts().contains(&late), "{:?}", heard.restarts());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_stands_still_says_who_waits_for_whom_and_ends_with_a_checkpoint() {
    let stall = StallConfig { warn_seconds: 1.5, end_seconds: 4.0 };
    let config = RunConfig { stall, checkpoint_every: 0, ..config() };
    for (fault, who) in [("reward=hang#8", "in reward, for"), ("sampler=hang#8", "at sampler-0, for")] {
        let (folder, heard) = (tempfile::tempdir().unwrap(), Heard::default());
        let chain = faulty(config.clone(), fault).folder(folder.path()).observer(heard.listen());
        let error = run(chain).await.unwrap_err();
        let RunError::Stalled { report, .. } = &error else { panic!("{error}") };
        assert!(report.contains(who) && report.contains("the learner waits for step "), "{fault}: {report}");
        let told = |event| matches!(event, Event::Stalled { report, .. } if report.contains(who));
        assert_eq!(heard.events().into_iter().filter(|event| told(event.clone())).count(), 1, "{fault}");
        assert_eq!(checkpoints(folder.path()).len(), 1, "{fault}");

        let resumed = run(pipeline(config.clone(), Trouble::default()).folder(folder.path()).resume()).await.unwrap();
        assert_eq!(resumed.snapshot.bytes(), calm(config.clone()).await, "{fault}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_learner_that_stands_still_ends_the_run_with_the_checkpoint_from_before() {
    let folder = tempfile::tempdir().unwrap();
    let stall = StallConfig { warn_seconds: 0.0, end_seconds: 3.0 };
    let config = RunConfig { stall, checkpoint_every: 1, ..config() };
    let error = run(faulty(config, "learner=hang#4").folder(folder.path())).await.unwrap_err();
    assert!(error.to_string().contains("learner: step 3, for"), "{error}");
    assert_eq!(checkpoints(folder.path()), ["step-00000002", "step-00000003"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_that_dies_again_and_again_without_a_step_ends_the_run_with_its_reason() {
    let config = RunConfig { max_restarts_in_a_row: 4, max_attempts: 99, samplers: 1, ..config() };
    for (fault, actor) in [("reward=panic@1", "reward"), ("sampler=panic@1", "sampler-0")] {
        let folder = tempfile::tempdir().unwrap();
        let error = run(faulty(config.clone(), fault).folder(folder.path())).await.unwrap_err();
        let RunError::Restarting { actor: who, deaths: 4, reason } = &error else { panic!("{error}") };
        assert!(who == actor && reason.contains("a fault was put at"), "{error}");
    }
    // Steps between them start the count anew.
    let heard = Heard::default();
    let patient = RunConfig { max_restarts_in_a_row: 12, ..config };
    let summary = run(faulty(patient, "reward=panic@0.3").observer(heard.listen())).await.unwrap();
    assert!(summary.finished && heard.restarts().len() >= 6, "{:?}", heard.restarts());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sampler_that_cannot_be_replaced_at_once_is_replaced_later() {
    let (built, trouble) =
        (Arc::new(AtomicUsize::new(0)), Arc::new(Trouble { sampler_panics: vec![2], ..Trouble::default() }));
    let (count, sampling, learning) = (built.clone(), trouble.clone(), trouble.clone());
    let build = move |_| match count.fetch_add(1, Ordering::SeqCst) {
        1 | 2 => Err(EngineError::from("the server is not up yet")),
        _ => Ok(ToySampler(sampling.clone())),
    };
    let chain = Pipeline::new(config(), Arc::new(studies(7)), build, move || Ok(ToyLearner::new(learning)));
    let heard = Heard::default();
    let summary = run(stages(chain, config(), trouble).observer(heard.listen())).await.unwrap();
    assert_eq!(summary.snapshot.bytes(), calm(config()).await);
    let reasons: Vec<_> = heard.restarts().into_iter().map(|(_, reason)| reason).collect();
    assert_eq!(reasons.len(), 3, "{reasons:?}");
    assert!(reasons[1].contains("not up yet") && reasons[2].contains("not up yet"), "{reasons:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sampler_that_is_never_replaced_keeps_no_run_from_ending() {
    let (built, trouble) = (AtomicUsize::new(0), Trouble { sampler_panics: vec![4], ..Trouble::default() });
    let (sampling, none) = (Arc::new(trouble), Arc::new(Trouble::default()));
    let learning = none.clone();
    let build = move |_| {
        if built.fetch_add(1, Ordering::SeqCst) > 0 {
            // Whoever wants to use its device waits for a machine that is gone.
            std::thread::sleep(Duration::from_secs(1000));
        }
        Ok(ToySampler(sampling.clone()))
    };
    let stall = StallConfig { warn_seconds: 0.0, end_seconds: 2.0 };
    let config = RunConfig { stall, checkpoint_every: 0, ..config() };
    let chain = Pipeline::new(config.clone(), Arc::new(studies(7)), build, move || Ok(ToyLearner::new(learning)));
    let folder = tempfile::tempdir().unwrap();
    let error = run(stages(chain, config.clone(), none).folder(folder.path())).await.unwrap_err();
    assert!(matches!(error, RunError::Stalled { .. }), "{error}");
    assert_eq!(checkpoints(folder.path()).len(), 1);
    let resumed = run(pipeline(config.clone(), Trouble::default()).folder(folder.path()).resume()).await.unwrap();
    assert_eq!(resumed.snapshot.bytes(), calm(config).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_is_written_when_its_time_has_come_and_at_no_other() {
    for (checkpoint_minutes, expected) in [(1e-9, 8), (60.0, 1), (0.0, 1)] {
        let folder = tempfile::tempdir().unwrap();
        let config = RunConfig { checkpoint_every: 0, checkpoint_minutes, keep_checkpoints: 99, ..config() };
        run(pipeline(config, Trouble::default()).folder(folder.path())).await.unwrap();
        assert_eq!(checkpoints(folder.path()).len(), expected, "{checkpoint_minutes} minutes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_written_as_studies_with_their_reasons() {
    let (folder, heard) = (tempfile::tempdir().unwrap(), Heard::default());
    let trouble = Trouble { unreadable: vec!["study-3".into()], ..Trouble::default() };
    run(pipeline(config(), trouble).folder(folder.path()).observer(heard.listen())).await.unwrap();
    let told = |event| match event {
        Event::Failed { reason, given_up, .. } => Some((reason, given_up)),
        _ => None,
    };
    let why = "study study-3: the image cannot be decoded";
    let attempts: Vec<_> = heard.events().into_iter().filter_map(told).collect();
    // Its tickets of all epochs fail alike.
    assert!(attempts.len() >= 3);
    for of_ticket in attempts.chunks(3) {
        assert_eq!(of_ticket, [(why.to_string(), false), (why.to_string(), false), (why.to_string(), true)]);
    }
    let text = fs::read_to_string(folder.path().join("dead_letters/train.json")).unwrap();
    let entries: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(entries.as_array().unwrap().len(), 1, "{text}");
    assert_eq!(entries[0]["id"], "study-3");
    assert_eq!(entries[0]["dead_letter"]["error"], "study study-3: the image cannot be decoded");
    assert_eq!(entries[0]["conversations"][1]["value"], studies(7)[3].reference.text());
}

/// Reports a KL of 99 from the sixth step on, and learns as ever.
fn straying(config: RunConfig) -> Pipeline<Weights> {
    let step = |toy: &mut ToyLearner, groups: &[RolloutGroup]| {
        let stats = toy.step(groups)?;
        let kl = if toy.steps > 5 { 99.0 } else { 0.1 };
        Ok(StepStats { kl, ..stats })
    };
    with_learner(config, Trouble::default(), move |trouble| Stepping(ToyLearner::new(trouble), step))
}

fn signs(heard: &Heard) -> Vec<(u64, Sign)> {
    let sign = |event| match event {
        Event::Diverging { step, found } => Some((step, found.sign)),
        _ => None,
    };
    heard.events().into_iter().filter_map(sign).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_goes_wrong_says_so_at_the_same_step_each_time_and_goes_on_unless_told_to_stop() {
    let divergence = DivergenceConfig { window: 2, reward_drop: 0.0, ..DivergenceConfig::default() };
    let config = RunConfig { divergence, checkpoint_every: 1, keep_checkpoints: 99, ..config() };
    let expected = calm(config.clone()).await;
    for samplers in [1, 3] {
        let (folder, heard) = (tempfile::tempdir().unwrap(), Heard::default());
        let chain = straying(RunConfig { samplers, ..config.clone() });
        let summary = run(chain.folder(folder.path()).observer(heard.listen())).await.unwrap();
        assert_eq!(signs(&heard), [(5, Sign::KlExplosion)]);
        assert_eq!(summary.snapshot.bytes(), expected);
    }

    let folder = tempfile::tempdir().unwrap();
    let stopping = RunConfig { divergence: DivergenceConfig { stop: true, ..divergence }, ..config.clone() };
    let error = run(straying(stopping).folder(folder.path())).await.unwrap_err();
    assert!(error.to_string().starts_with("training went wrong by step 5: the KL"), "{error}");
    // Steps 4 and 5 were judged.
    let kept = ["diverged-step-00000005", "step-00000001", "step-00000002", "step-00000003", "step-00000004"];
    assert_eq!(checkpoints(folder.path()), kept);
    let heard = Heard::default();
    let resumed = run(straying(config).folder(folder.path()).resume().observer(heard.listen())).await.unwrap();
    assert_eq!(signs(&heard), [(5, Sign::KlExplosion)]);
    assert_eq!(resumed.snapshot.bytes(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_ends_the_run_with_the_file_named_and_the_checkpoint_from_before() {
    let (before, both) = (&["step-00000003"][..], &["step-00000003", "step-00000006"][..]);
    for (fault, file, left) in [
        ("checkpoint=error#2", "checkpoints", before),
        ("checkpoint.file=error#8", "step-00000006", before),
        ("checkpoint.rename=error#2", "step-00000006", before),
        ("checkpoint.prune=error#2", "step-00000006", both),
        ("metrics=error#5", "metrics.jsonl", before),
    ] {
        let (folder, config) = (tempfile::tempdir().unwrap(), config());
        let error = run(faulty(config.clone(), fault).folder(folder.path())).await.unwrap_err();
        assert!(matches!(error, RunError::Io { .. }) && error.to_string().contains(file), "{fault}: {error}");
        assert_eq!(checkpoints(folder.path()), left, "{fault}");
        let resumed = run(pipeline(config.clone(), Trouble::default()).folder(folder.path()).resume()).await.unwrap();
        assert_eq!(resumed.snapshot.bytes(), calm(config).await, "{fault}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_at_any_other_place_is_recovered_from_or_told_and_leaves_a_valid_run() {
    let config = RunConfig { checkpoint_every: 1, max_attempts: 9, ..config() };
    let expected = calm(config.clone()).await;
    for place in ["dataset", "sampler", "editor", "reward", "learner", "publish"] {
        for action in ["error", "panic", "slow"] {
            let (folder, fault) = (tempfile::tempdir().unwrap(), format!("{place}={action}#5"));
            let summary = match run(faulty(config.clone(), &fault).folder(folder.path())).await {
                Ok(summary) => summary,
                // What the learner refuses, and what half happened, ends the run.
                Err(error) => {
                    assert!(["learner=error#5", "publish=error#5", "publish=panic#5"].contains(&&*fault), "{error}");
                    assert!(error.to_string().contains(&format!("a fault was put at `{place}`")), "{error}");
                    run(pipeline(config.clone(), Trouble::default()).folder(folder.path()).resume()).await.unwrap()
                }
            };
            assert_eq!(summary.snapshot.bytes(), expected, "{fault}");
        }
    }
    let unknown = run(faulty(config, "rewards=panic@1")).await.unwrap_err().to_string();
    assert!(unknown.contains("`rewards`") && unknown.contains("checkpoint.rename") && unknown.contains("editor"));
}
