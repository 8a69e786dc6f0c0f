//! Groups that are not worth a step give their places to others, and the run is as reproducible as ever.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::common::{Heard, Trouble, Weights, calm, config, pipeline, resumed, run};
use addendum_actors::{Pipeline, RolloutSample, RunConfig};
use addendum_replay::{Mode, RolloutGroup};

/// Two thirds of all groups are worth no step, depending on nothing but their texts.
fn worth(group: &RolloutGroup) -> bool {
    let letters: usize = group.rollouts.iter().map(|rollout| rollout.text.len()).sum();
    letters.is_multiple_of(3)
}

fn picky(config: RunConfig, trouble: Trouble) -> Pipeline<Weights> {
    pipeline(config, trouble).worth(Arc::new(worth))
}

fn slow() -> Trouble {
    Trouble { delay: Duration::from_millis(2), ..Trouble::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn redraws_are_the_same_with_any_number_of_samplers_and_after_a_kill() {
    let config = RunConfig { checkpoint_every: 1, ..config() };
    let heard = Heard::default();
    let expected = run(picky(config.clone(), Trouble::default()).observer(heard.listen())).await.unwrap();
    let expected = expected.snapshot.bytes();
    assert_ne!(expected, calm(config.clone()).await, "the judge changed nothing");
    assert!(heard.steps().last().unwrap().redraws > 10);
    for samplers in [1, 3] {
        let config = RunConfig { samplers, ..config.clone() };
        let summary = run(picky(config.clone(), slow())).await.unwrap();
        assert_eq!(summary.snapshot.bytes(), expected, "{samplers} samplers");

        let folder = tempfile::tempdir().unwrap();
        let running = picky(config.clone(), slow()).folder(folder.path()).start().await.unwrap();
        while running.gate().version().0 < 4 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        drop(running);
        let resumed = run(resumed(picky(config, slow()).folder(folder.path())).await).await.unwrap();
        assert_eq!(resumed.snapshot.bytes(), expected, "{samplers} samplers, killed and resumed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_trained_on_is_worth_it_or_the_last_draw_of_its_place() {
    for mode in [Mode::FixedLag, Mode::Latest] {
        let (folder, heard) = (tempfile::tempdir().unwrap(), Heard::default());
        let config = RunConfig { mode, max_draws: 3, recorded_groups: 3, samplers: 2, ..config() };
        let chain = picky(config.clone(), slow()).folder(folder.path()).observer(heard.listen());
        assert!(run(chain).await.unwrap().finished);
        assert!(heard.steps().iter().all(|step| step.groups == 3 && step.staleness_max <= config.staleness));
        let text = fs::read_to_string(folder.path().join("rollouts.jsonl")).unwrap();
        let samples: Vec<RolloutSample> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let mut last = 0;
        for group in samples.chunks(4) {
            let letters: usize = group.iter().map(|sample| sample.text.len()).sum();
            last += usize::from(group[0].draw == 2);
            assert!(letters.is_multiple_of(3) || group[0].draw == 2, "draw {} of {mode:?}", group[0].draw);
        }
        assert!((1..24).contains(&last), "{last} last draws");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_draw_trains_on_everything_as_if_there_were_no_judge() {
    let config = RunConfig { max_draws: 1, ..config() };
    let expected = calm(config.clone()).await;
    assert_eq!(run(picky(config, Trouble::default())).await.unwrap().snapshot.bytes(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_judge_that_panics_costs_the_group_an_attempt_and_nothing_else() {
    let expected = run(picky(config(), Trouble::default())).await.unwrap().snapshot.bytes();
    let asked = AtomicU64::new(0);
    let shaken = move |group: &RolloutGroup| {
        assert!(!asked.fetch_add(1, Ordering::SeqCst).is_multiple_of(5), "undecided");
        worth(group)
    };
    let config = RunConfig { max_attempts: 50, ..config() };
    let summary = run(pipeline(config, Trouble::default()).worth(Arc::new(shaken))).await.unwrap();
    assert_eq!(summary.snapshot.bytes(), expected);

    let never = |_: &RolloutGroup| -> bool { panic!("no opinion") };
    let patient = RunConfig { max_dead_in_a_row: 1000, ..self::config() };
    let summary = run(pipeline(patient, Trouble::default()).worth(Arc::new(never))).await.unwrap();
    assert!(summary.finished);
    assert_eq!(summary.dead_letters.len(), 24);
    assert!(summary.dead_letters.values().all(|letter| letter.error == "panicked: no opinion"));
}
