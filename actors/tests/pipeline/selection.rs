//! Selection after reward, and a share of edits that changes: whole groups, the same ones for the same seed.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use addendum_actors::{Keep, RolloutSample, RunConfig, SelectConfig, StepRecord, Unedited, When};

use crate::common::{Heard, Trouble, calm, config, mixed, pipeline, run};

fn selecting(unedited: Unedited, keep: Keep, when: When) -> RunConfig {
    RunConfig {
        select: SelectConfig { unedited, keep, when, std_below: 0.15 },
        recorded_groups: 3,
        steps: 6,
        ..config()
    }
}

fn every_selection() -> Vec<RunConfig> {
    let mut all = Vec::new();
    for unedited in [Unedited::Duplicate, Unedited::Fresh] {
        for keep in [Keep::All, Keep::Improving] {
            all.extend([When::Always, When::LowVariance].map(|when| selecting(unedited, keep, when)));
        }
    }
    all
}

fn lines(folder: &Path) -> Vec<RolloutSample> {
    let text = std::fs::read_to_string(folder.join("rollouts.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn recorded(config: RunConfig) -> (Vec<StepRecord>, Vec<RolloutSample>) {
    let (heard, folder) = (Heard::default(), tempfile::tempdir().unwrap());
    run(pipeline(config, Trouble::default()).observer(heard.listen()).folder(folder.path())).await.unwrap();
    (heard.steps(), lines(folder.path()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_selection_gives_the_same_weights_whatever_the_samplers_the_timing_and_the_deaths() {
    let annealed = RunConfig {
        edited_share_end: Some(0.0),
        edited_share_steps: 5,
        ..selecting(Unedited::Fresh, Keep::Improving, When::LowVariance)
    };
    let unspared = RunConfig { edited_share_end: Some(0.0), edited_share_steps: 5, ..config() };
    let mut results = vec![calm(config()).await];
    for config in every_selection().into_iter().chain([annealed, unspared]) {
        let expected = calm(config.clone()).await;
        let config = RunConfig { samplers: 3, max_attempts: 1000, ..config };
        let trouble = || Trouble {
            delay: Duration::from_millis(1),
            editor_panics: vec![2, 7],
            reward_panics: vec![4],
            sampler_panics: vec![3],
            ..Trouble::default()
        };
        let troubled = run(pipeline(config.clone(), trouble())).await.unwrap();
        assert_eq!(troubled.snapshot.bytes(), expected, "{config:?}");
        let once = run(mixed(config.clone(), Arc::new(Trouble::default()))).await.unwrap().snapshot.bytes();
        let again = run(mixed(RunConfig { samplers: 1, ..config.clone() }, Arc::default())).await.unwrap();
        assert_eq!(again.snapshot.bytes(), once, "{config:?}");
        results.push(expected);
    }
    results.sort();
    results.dedup();
    // Where every edit gains, keeping those that do is keeping all.
    assert!(results.len() >= 6, "only {} of 11 settings differ: the test shows little", results.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_group_is_whole_and_says_what_was_left_out_of_it() {
    let mut reasons = BTreeMap::new();
    for config in every_selection() {
        let select = config.select;
        let (steps, lines) = recorded(config).await;
        let dropped = |line: &&RolloutSample| line.dropped.is_some();
        for record in &steps {
            let of_step: Vec<_> = lines.iter().filter(|line| line.step == record.step).collect();
            assert_eq!(of_step.iter().filter(|line| !dropped(line)).count(), 12, "{select:?}");
            assert_eq!(record.rollouts, 12);
            let mut counts = BTreeMap::new();
            for reason in of_step.iter().filter_map(|line| line.dropped) {
                *counts.entry(reason.name().to_string()).or_insert(0) += 1;
                *reasons.entry(reason).or_insert(0) += 1;
            }
            assert_eq!(counts, record.dropped, "{select:?}");
            let sampled = of_step.iter().filter(|line| !dropped(line) && line.origin == "sampled").count();
            assert_eq!(sampled, 6 + record.fresh_samples, "{select:?}");
            assert!((0.0..=1.0).contains(&record.duplicate_share));
        }
        for line in lines.iter().filter(|line| !dropped(line) && line.origin == "edited") {
            let like = |other: &&RolloutSample| {
                (other.step, other.ticket, Some(other.rollout)) == (line.step, line.ticket, line.source)
            };
            let source = lines.iter().filter(|other| !dropped(other)).find(like).expect("a copy without its source");
            assert_eq!(line.edits.is_empty(), line.text == source.text);
            match line.edits.is_empty() {
                true => assert!(select.unedited == Unedited::Duplicate && line.reward == source.reward),
                false => assert!(select.keep == Keep::All || line.reward > source.reward),
            }
        }
    }
    assert_eq!(reasons.len(), 4, "{reasons:?}: the test does not show every reason");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_samples_and_their_edits_are_the_same_as_without_a_selection() {
    let (_, plain) = recorded(RunConfig { recorded_groups: 3, steps: 1, ..config() }).await;
    for select in every_selection() {
        let (_, selected) = recorded(RunConfig { steps: 1, ..select }).await;
        for line in plain.iter().filter(|line| line.origin == "sampled") {
            let same = |other: &&RolloutSample| (other.ticket, other.rollout) == (line.ticket, line.rollout);
            assert_eq!(selected.iter().find(same), Some(line));
        }
        for line in plain.iter().filter(|line| line.origin == "edited") {
            let same = |other: &&RolloutSample| {
                (other.ticket, other.source, &other.edits) == (line.ticket, line.source, &line.edits)
            };
            let found = selected.iter().find(same).map(|found| (&found.text, found.reward));
            assert_eq!(found, Some((&line.text, line.reward)));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_editor_is_judged_by_all_of_its_edits_whatever_becomes_of_them() {
    let (plain, _) = recorded(RunConfig { steps: 1, ..config() }).await;
    assert!(!plain[0].edit_gains.is_empty() && plain[0].dropped.is_empty() && plain[0].fresh_samples == 0);
    let none = *plain[0].edits.get("none").unwrap_or(&0) as f64;
    assert_eq!(plain[0].duplicate_share, none / 6.0);
    for select in every_selection() {
        let (steps, _) = recorded(RunConfig { steps: 1, ..select }).await;
        assert_eq!(steps[0].duplicate_share, plain[0].duplicate_share);
        assert_eq!(steps[0].edit_gains.keys().collect::<Vec<_>>(), plain[0].edit_gains.keys().collect::<Vec<_>>());
        for (operation, gain) in &steps[0].edit_gains {
            assert!((gain - plain[0].edit_gains[operation]).abs() < 1e-12, "{operation}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_share_of_edits_goes_from_half_to_none_and_the_size_of_groups_stays() {
    let annealed = RunConfig { edited_share_end: Some(0.0), edited_share_steps: 4, steps: 6, ..config() };
    let (steps, _) = recorded(RunConfig { recorded_groups: 3, ..annealed }).await;
    let edited: Vec<u64> = steps.iter().map(|record| record.edits.values().sum()).collect();
    // Of four reports 2, 1.5, 1, 0.5 and none, rounded.
    assert_eq!(edited, [6, 6, 3, 3, 0, 0]);
    assert!(steps.iter().all(|record| record.rollouts == 12));
}
