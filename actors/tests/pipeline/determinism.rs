//! Law 3: in fixed-lag mode the same seed gives the same weights, bit for bit, whatever happens on the way.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::common::{Heard, Trouble, calm, config, finish, pipeline, run};
use addendum_actors::{RolloutSample, RunConfig, Stage, StageError, Variant};
use addendum_replay::{Mode, RolloutGroup};
use ractor::ActorCell;

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_samplers_and_the_timing_change_nothing() {
    for staleness in [0, 1, 4] {
        let config = RunConfig { staleness, ..config() };
        let expected = calm(config.clone()).await;
        for samplers in [1, 2, 4] {
            let trouble = Trouble { delay: Duration::from_millis(2), ..Trouble::default() };
            let config = RunConfig { samplers, ..config.clone() };
            let summary = run(pipeline(config, trouble)).await.unwrap();
            assert_eq!(summary.snapshot.bytes(), expected, "{samplers} samplers, staleness {staleness}");
            assert!(summary.finished && summary.dead_letters.is_empty());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn seed_staleness_and_variant_change_the_weights() {
    let base = calm(config()).await;
    for other in [
        RunConfig { seed: 12, ..config() },
        RunConfig { staleness: 0, ..config() },
        RunConfig { variant: Variant::Grpo, ..config() },
        RunConfig { variant: Variant::EditGrpoPara, ..config() },
    ] {
        assert_ne!(calm(other.clone()).await, base, "{other:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn panics_in_every_kind_of_actor_change_nothing_but_the_number_of_restarts() {
    let trouble = Trouble {
        sampler_panics: vec![0, 5, 9],
        editor_panics: vec![2, 7],
        reward_panics: vec![1, 11],
        learner_panics: vec![3],
        delay: Duration::from_millis(1),
        ..Trouble::default()
    };
    let config = RunConfig { samplers: 2, max_attempts: 9, ..config() };
    let expected = calm(config.clone()).await;
    let heard = Heard::default();
    let summary = run(pipeline(config, trouble).observer(heard.listen())).await.unwrap();
    assert_eq!(summary.snapshot.bytes(), expected);
    assert!(summary.dead_letters.is_empty());
    assert_eq!(summary.restarts, 8);
    assert!(heard.steps().last().unwrap().retries >= 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_actors_of_every_kind_change_nothing() {
    let config = RunConfig { samplers: 2, steps: 12, ..config() };
    let expected = calm(config.clone()).await;
    let trouble = Trouble { delay: Duration::from_millis(4), ..Trouble::default() };
    let running = pipeline(config, trouble).start().await.unwrap();
    let children = |name: &str| running.actor(name).map(|pool| pool.get_children()).unwrap_or_default();
    let mut kills = 0;
    for round in 0.. {
        if running.gate().version().0 >= 11 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
        let victim: Option<ActorCell> = match round % 7 {
            0 => running.actor("sampler-0"),
            1 => running.actor("sampler-1"),
            2 => children("editor").pop(),
            3 => children("reward").pop(),
            4 => running.actor("learner"),
            5 => running.actor("editor"),
            _ => running.actor("recorder"),
        };
        if let Some(victim) = victim {
            victim.kill();
            kills += 1;
        }
    }
    let summary = finish(running).await.unwrap();
    assert_eq!(summary.snapshot.bytes(), expected);
    assert!(summary.dead_letters.is_empty(), "{:?}", summary.dead_letters);
    assert!(kills >= 7, "only {kills} kills: the run was over too soon");
    assert!(summary.restarts >= 5, "only {} restarts of {kills} kills", summary.restarts);
}

/// Holds every group until it is opened.
struct Dam(Arc<AtomicBool>);

impl Stage for Dam {
    fn process(&mut self, _: &mut RolloutGroup) -> Result<(), StageError> {
        while !self.0.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_a_stage_again_and_again_costs_the_groups_that_queue_there_no_attempt() {
    let config = RunConfig { max_attempts: 1, ..config() };
    let expected = calm(config.clone()).await;
    let (open, heard) = (Arc::new(AtomicBool::new(false)), Heard::default());
    let held = open.clone();
    let chain = pipeline(config, Trouble::default()).stage("dam", 1, move || Ok(Dam(held.clone())));
    let running = chain.observer(heard.listen()).start().await.unwrap();
    for _ in 0..5 {
        // Every ticket that may be out is in the dam's queue.
        tokio::time::sleep(Duration::from_millis(60)).await;
        running.actor("dam").unwrap().kill();
    }
    tokio::time::sleep(Duration::from_millis(60)).await;
    let (state, retries) = (running.gate().state(), running.gate().stats().retries);
    open.store(true, Ordering::SeqCst);
    let summary = finish(running).await.unwrap();
    assert!(retries >= 5, "only {retries} groups were lost");
    assert!(state.open.values().all(|open| open.attempts == 0), "{:?}", state.open);
    assert!(summary.dead_letters.is_empty(), "{:?}", summary.dead_letters);
    assert_eq!(summary.snapshot.bytes(), expected);
    assert_eq!(heard.restarts(), vec![("dam".to_string(), "killed".to_string()); 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_removes_rollouts_falsifies_no_gain() {
    /// Removes a random sample, and notes what the edited reports gained whose source stays.
    struct Thin(Arc<Mutex<BTreeMap<u64, f64>>>);
    impl Stage for Thin {
        fn process(&mut self, group: &mut RolloutGroup) -> Result<(), StageError> {
            let total = |i: usize| group.rollouts[i].reward.as_ref().map(|reward| reward.total).ok_or("not scored");
            // Two samples, then a copy of each.
            let removed = group.ticket.id().0 as usize % 2;
            let stays = 1 - removed;
            let gain = total(2 + stays)? - total(stays)?;
            self.0.lock().map_err(|_| "poisoned")?.insert(group.ticket.id().0, gain);
            group.rollouts.remove(removed);
            Ok(())
        }
    }
    let (gains, heard) = (Arc::new(Mutex::new(BTreeMap::new())), Heard::default());
    let (noted, folder) = (gains.clone(), tempfile::tempdir().unwrap());
    let chain = pipeline(RunConfig { recorded_groups: 3, ..config() }, Trouble::default());
    let chain = chain.stage("thin", 2, move || Ok(Thin(noted.clone())));
    run(chain.observer(heard.listen()).folder(folder.path())).await.unwrap();
    let gains = gains.lock().unwrap();
    for record in heard.steps() {
        let expected = (3 * record.step..3 * record.step + 3).map(|ticket| gains[&ticket]).sum::<f64>() / 3.0;
        assert!(
            (record.edit_gain - expected).abs() < 1e-12,
            "step {}: {} and {expected}",
            record.step,
            record.edit_gain
        );
    }
    let text = std::fs::read_to_string(folder.path().join("rollouts.jsonl")).unwrap();
    let samples: Vec<RolloutSample> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for group in samples.chunks(3) {
        let removed = group[0].ticket as usize % 2;
        for sample in group.iter().filter(|sample| sample.edits.is_empty() && sample.source != Some(removed)) {
            let source = group.iter().find(|other| Some(other.rollout) == sample.source);
            assert!(sample.source.is_none() || source.is_some_and(|source| source.text == sample.text));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_rollout_is_older_than_the_bound_and_none_is_younger_in_fixed_lag() {
    for staleness in [0, 1, 4] {
        let heard = Heard::default();
        let config = RunConfig { staleness, samplers: 3, ..config() };
        run(pipeline(config, Trouble::default()).observer(heard.listen())).await.unwrap();
        let steps = heard.steps();
        assert_eq!(steps.len(), 8);
        for record in steps {
            assert_eq!(record.staleness_max, staleness.min(record.step));
            assert_eq!((record.groups, record.rollouts), (3, 12));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn latest_mode_ends_within_the_bound_and_resamples_what_grew_too_old() {
    let mut evictions = 0;
    for _ in 0..5 {
        let heard = Heard::default();
        let config =
            RunConfig { mode: Mode::Latest, staleness: 1, samplers: 4, batch_groups: 1, steps: 40, ..config() };
        let trouble = Trouble { delay: Duration::from_millis(3), ..Trouble::default() };
        let summary = run(pipeline(config, trouble).observer(heard.listen())).await.unwrap();
        assert!(summary.finished && summary.dead_letters.is_empty());
        assert!(heard.steps().iter().all(|record| record.staleness_max <= 1));
        evictions += heard.steps().last().unwrap().evictions;
    }
    assert!(evictions > 0, "no group ever grew too old: the test shows nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_are_made_of_what_the_variant_says() {
    for (variant, expected) in
        [(Variant::Grpo, [4, 0, 0]), (Variant::EditGrpo, [2, 2, 0]), (Variant::EditGrpoPara, [2, 1, 1])]
    {
        let folder = tempfile::tempdir().unwrap();
        let config = RunConfig { variant, recorded_groups: 3, ..config() };
        run(pipeline(config, Trouble::default()).folder(folder.path())).await.unwrap();
        let text = std::fs::read_to_string(folder.path().join("rollouts.jsonl")).unwrap();
        let samples: Vec<RolloutSample> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(samples.len(), 8 * 3 * 4);
        for group in samples.chunks(4) {
            let count = |origin: &str| group.iter().filter(|sample| sample.origin == origin).count();
            assert_eq!(["sampled", "edited", "reference"].map(count), expected, "{variant:?}");
            let edited = group.iter().filter(|sample| sample.origin == "edited");
            for sample in edited {
                let source = &group[sample.source.unwrap()];
                assert_eq!(source.origin, "sampled");
                assert_eq!(sample.edits.is_empty(), sample.text == source.text);
            }
        }
    }
}
