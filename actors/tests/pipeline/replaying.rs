//! What was recorded is trained on again: the same adapter, however the batches came about.

use std::{fs, path::Path, sync::Arc, time::Duration};

use crate::common::{Heard, Trouble, Weights, config, pipeline, replaying, resumed, run};
use addendum_actors::{Pipeline, RunConfig, RunError, SAMPLED, SelectConfig, Unedited, When};
use addendum_replay::{Mode, RolloutGroup};

fn recording(config: RunConfig) -> RunConfig {
    RunConfig { record_sampled: Some(true), ..config }
}

/// Slow, and with newer weights between two tokens where the run swaps.
fn slow() -> Trouble {
    let between_tokens = |request: &addendum_actors::Request<Weights>| {
        std::thread::sleep(Duration::from_micros(200));
        request.newest().version
    };
    Trouble { delay: Duration::from_millis(3), between_tokens, ..Trouble::default() }
}

fn odd(group: &RolloutGroup) -> bool {
    let letters: usize = group.rollouts.iter().map(|rollout| rollout.text.len()).sum();
    letters % 3 == 1
}

fn text(folder: &Path) -> String {
    fs::read_to_string(folder.join(SAMPLED)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_run_replays_to_its_own_adapter() {
    let base = RunConfig { samplers: 3, steps: 12, ..config() };
    let latest = RunConfig { mode: Mode::Latest, swap: true, batch_groups: 2, ..base.clone() };
    let select =
        SelectConfig { unedited: Unedited::Fresh, when: When::LowVariance, std_below: 0.2, ..SelectConfig::default() };
    let annealed = RunConfig { edited_share_end: Some(0.0), edited_share_steps: 6, ..latest.clone() };
    let unreadable = || Trouble { unreadable: vec!["study-3".into()], ..slow() };
    type Kind = (&'static str, RunConfig, fn() -> Trouble, bool);
    let kinds: [Kind; 7] = [
        ("fixed lag", base.clone(), Trouble::default, false),
        ("latest", latest.clone(), slow, false),
        ("redraws", base.clone(), slow, true),
        ("redraws in latest mode", latest.clone(), slow, true),
        ("selection", RunConfig { select, ..latest.clone() }, slow, false),
        ("another group from step to step", annealed, slow, false),
        ("studies that cannot be read", RunConfig { max_dead_in_a_row: 1000, ..latest }, unreadable, false),
    ];
    for (name, config, trouble, picky) in kinds {
        let folder = tempfile::tempdir().unwrap();
        let chain = pipeline(recording(config.clone()), trouble());
        let chain = if picky { chain.worth(Arc::new(odd)) } else { chain };
        let recorded = run(chain.folder(folder.path())).await.unwrap();
        let later = text(folder.path()).lines().any(|line| line.contains("\"draw\":") && !line.contains("\"draw\":0,"));
        assert_eq!(later, picky, "{name}: whether a later draw was trained on");
        assert_eq!(!recorded.dead_letters.is_empty(), name.contains("cannot"), "{name}");
        let again = RunConfig { mode: Mode::FixedLag, swap: false, samplers: 1, ..config };
        let heard = Heard::default();
        let replayed = replaying(again.clone(), folder.path()).unwrap().observer(heard.listen());
        let replayed = run(replayed).await.unwrap();
        assert_eq!(replayed.snapshot.bytes(), recorded.snapshot.bytes(), "{name}");
        assert_eq!(replayed.dead_letters.len(), recorded.dead_letters.len(), "{name}");
        let swapped = heard.steps().iter().map(|step| step.swapped_share).fold(0.0, f64::max);
        assert!(name != "latest" || swapped > 0.0, "no report had two versions: the test shows nothing");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_killed_and_resumed_records_what_it_trained_on_and_its_replay_may_be_killed_too() {
    let config = RunConfig { mode: Mode::Latest, samplers: 3, checkpoint_every: 1, ..config() };
    let folder = tempfile::tempdir().unwrap();
    let killed = |chain: Pipeline<Weights>| async {
        let running = chain.start().await.unwrap();
        while running.gate().version().0 < 4 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        drop(running);
    };
    killed(pipeline(config.clone(), slow()).folder(folder.path())).await;
    let recorded = run(resumed(pipeline(config.clone(), slow()).folder(folder.path())).await).await.unwrap();
    let steps = text(folder.path()).lines().filter(|line| line.contains("batch_groups")).count() as u64;
    assert_eq!(steps, config.steps, "a step is missing, or there twice");

    let (again, twice) = (RunConfig { mode: Mode::FixedLag, ..config }, tempfile::tempdir().unwrap());
    killed(replaying(again.clone(), folder.path()).unwrap().folder(twice.path())).await;
    let chain = replaying(again, folder.path()).unwrap().folder(twice.path());
    let replayed = run(resumed(chain).await).await.unwrap();
    assert_eq!(replayed.snapshot.bytes(), recorded.snapshot.bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_is_trusted_in_nothing() {
    let (config, folder) = (config(), tempfile::tempdir().unwrap());
    run(pipeline(recording(config.clone()), Trouble::default()).folder(folder.path())).await.unwrap();
    let whole = text(folder.path());
    let refused = |changed: String, config: &RunConfig| -> RunError {
        fs::write(folder.path().join(SAMPLED), changed).unwrap();
        let checked = replaying(config.clone(), folder.path()).and_then(|chain| chain.check());
        checked.expect_err("it was taken")
    };
    let lines: Vec<&str> = whole.lines().collect();
    let changed = |line: usize, from: &str, to: &str| {
        let mut lines: Vec<String> = lines.iter().map(|line| line.to_string()).collect();
        assert!(lines[line].contains(from), "{}", lines[line]);
        lines[line] = lines[line].replacen(from, to, 1);
        lines.join("\n") + "\n"
    };
    let wrong = [
        (String::new(), "no step is recorded"),
        (lines[..2].join("\n") + "\n", "no step is recorded"),
        (lines[4..].join("\n") + "\n", "line 1: step 1 stands where step 0 is expected"),
        (changed(0, "\"groups\":3", "\"groups\":4"), "line 1: 4 groups in batches of 3"),
        (changed(0, "\"groups\":3", "\"groups\":2"), "line 4: "),
        (changed(4, "\"batch_groups\":3", "\"batch_groups\":4"), "line 5: batches of 4 groups after those of 3"),
        (changed(1, "\"index\":", "\"index\":7"), "line 2: study 7"),
        (changed(1, "\"tokens\":[", "\"tokens\":[70000,"), "line 2: report 0: "),
        (changed(2, "\"logprobs\":[", "\"logprobs\":[0.0,"), "line 3: report 0: "),
        (changed(2, "\"logprobs\":[", "\"logprobs\":[null,"), "line 3: "),
        (
            changed(1, "\"versions\":[[0,", "\"versions\":[[9,"),
            "line 2: report 0: tokens of version 9, younger than step 0",
        ),
        (changed(1, "\"versions\":[[", "\"versions\":[[0,18446744073709551615],["), "too many policy versions"),
        (changed(1, "{\"step\":0", "{\"step\":1"), "line 2: a group of step 1 among those of step 0"),
        (changed(3, "\"draw\"", "\"drow\""), "line 4: unknown field"),
    ];
    for (text, expected) in wrong {
        let error = refused(text, &config).to_string();
        assert!(error.contains(SAMPLED) && error.contains(expected), "{error}, expected {expected}");
    }
    let unfit = [
        (RunConfig { batch_groups: 4, ..config.clone() }, "`run.batch_groups` is 4"),
        (RunConfig { group_size: 6, ..config.clone() }, "has 2 sampled reports, these settings ask for 3"),
        (RunConfig { steps: 9, ..config.clone() }, "8 steps are recorded, `run.steps` is 9"),
        (RunConfig { mode: Mode::Latest, ..config.clone() }, "expected fixed_lag"),
    ];
    for (config, expected) in unfit {
        let error = refused(whole.clone(), &config).to_string();
        assert!(error.contains(expected), "{error}, expected {expected}");
    }
    // What was being written when the run was killed is no step, and no error.
    let half = &whole[..whole.len() - 20];
    fs::write(folder.path().join(SAMPLED), half).unwrap();
    let fewer = RunConfig { steps: config.steps - 1, ..config };
    replaying(fewer, folder.path()).unwrap().check().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_of_studies_that_are_others_now_are_not_trained_on() {
    let (config, folder) = (config(), tempfile::tempdir().unwrap());
    run(pipeline(recording(config.clone()), Trouble::default()).folder(folder.path())).await.unwrap();
    let moved = text(folder.path()).replace("\"study\":\"study-", "\"study\":\"other-");
    fs::write(folder.path().join(SAMPLED), moved).unwrap();
    let error = run(replaying(config.clone(), folder.path()).unwrap()).await.unwrap_err().to_string();
    assert!(error.contains("was sampled for the study other-") && error.contains("it has changed"), "{error}");

    // Neither are others than those that were checked.
    let chain = replaying(config, folder.path()).unwrap();
    fs::write(folder.path().join(SAMPLED), text(folder.path()).replace("\"truncated\":false", "\"truncated\":true "))
        .unwrap();
    let error = run(chain).await.unwrap_err().to_string();
    assert!(error.contains("sampled.jsonl: it has changed since the run began"), "{error}");
}
