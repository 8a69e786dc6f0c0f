//! A reward component that fails: retried, then the group's attempt fails. A failure never becomes a reward.

mod common;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use addendum_actors::{Pipeline, RunConfig, stages::RewardStage};
use addendum_rewards::{
    Backends, Error, Labeller, Labels, Result, RewardConfig, Scorer,
    services::{Backoff, Patience},
};
use common::{Heard, SENTENCES, Trouble, Weights, config, pipeline, run};

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

/// The toy run with the clinical reward over `backends`.
fn clinical(config: RunConfig, backends: Backends) -> Pipeline<Weights> {
    let scorer = Arc::new(Scorer::new(backends, &RewardConfig::default()).unwrap());
    pipeline(config, Trouble::default()).stage("clinical", 2, move || RewardStage::new(scorer.clone()))
}

fn flaky(never: &'static str) -> Backends {
    let backoff =
        Backoff { attempts: 3, first_delay_seconds: 0.0005, longest_delay_seconds: 0.001, deadline_seconds: 30. };
    let flaky = Flaky { seen: Mutex::default(), never };
    let backends = Backends { labeller: Arc::new(flaky), ..Backends::lexicon() };
    Patience { backoff, limit_seconds: None }.with(backends).unwrap()
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
async fn a_component_that_stays_broken_costs_the_group_and_not_its_reward() {
    // The reference of one study in seven holds this sentence, and so may some reports.
    let broken = SENTENCES[5];
    let heard = Heard::default();
    let summary = run(clinical(config(), flaky(broken)).observer(heard.listen())).await.unwrap();
    assert!(summary.finished && !summary.dead_letters.is_empty());
    for letter in summary.dead_letters.values() {
        assert_eq!(letter.attempts, 3);
        assert!(letter.error.contains("labeller: flaky: connection lost (tried 3 times"), "{}", letter.error);
    }
    let trained: usize = heard.steps().iter().map(|record| record.groups).sum();
    assert_eq!(trained + summary.dead_letters.len(), 24);
}
