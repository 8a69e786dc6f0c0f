//! Latest mode: fresher weights, within the staleness bound, and every token says where it came from.

use std::{fs, time::Duration};

use crate::common::{Heard, Trouble, config, pipeline, run};
use addendum_actors::{RolloutSample, RunConfig};
use addendum_replay::Mode;

/// A slow run with frequent steps; its rollouts, step records and number of evictions.
async fn latest(swap: bool) -> (Vec<RolloutSample>, Heard) {
    let (folder, heard) = (tempfile::tempdir().unwrap(), Heard::default());
    let config = RunConfig { mode: Mode::Latest, swap, samplers: 4, batch_groups: 1, steps: 40, ..config() };
    let trouble = Trouble {
        delay: Duration::from_millis(3),
        between_tokens: |request| {
            std::thread::sleep(Duration::from_micros(200));
            request.newest().version
        },
        ..Trouble::default()
    };
    let summary = run(pipeline(config, trouble).folder(folder.path()).observer(heard.listen())).await.unwrap();
    assert!(summary.finished && summary.dead_letters.is_empty());
    let text = fs::read_to_string(folder.path().join("rollouts.jsonl")).unwrap();
    (text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), heard)
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_keep_their_versions_and_nothing_older_than_the_bound_is_trained_on() {
    for swap in [false, true] {
        let (mut swapped, mut evictions) = (0, 0);
        for _ in 0..5 {
            let (rollouts, heard) = latest(swap).await;
            assert_eq!(rollouts.len(), 40 * 4);
            for rollout in rollouts.iter().filter(|rollout| rollout.origin == "sampled") {
                let versions = &rollout.versions;
                let tokens: usize = versions.iter().map(|(_, tokens)| tokens).sum();
                assert_eq!(tokens, rollout.text.split_whitespace().count() + 1);
                assert!(versions.is_sorted_by(|a, b| a.0 < b.0), "{versions:?}");
                assert!(versions[0].0 + 1 >= rollout.step, "{versions:?} at step {}", rollout.step);
                swapped += versions.len() - 1;
            }
            assert!(rollouts.iter().all(|rollout| (rollout.origin == "sampled") != rollout.versions.is_empty()));
            let steps = heard.steps();
            assert!(steps.iter().all(|step| step.staleness_max <= 1));
            assert_eq!(
                steps.iter().any(|step| step.swapped_share > 0.0),
                rollouts.iter().any(|r| r.versions.len() > 1)
            );
            evictions += steps.last().unwrap().evictions;
        }
        assert_eq!(swapped > 0, swap);
        assert!(evictions > 0, "no group ever grew too old: the test shows nothing");
    }
}
