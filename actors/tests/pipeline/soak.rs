//! A long run in which everything breaks now and then: nothing grows, nothing is lost, and no bit is another.

use std::{
    fs,
    sync::{Arc, Mutex},
};

use addendum_actors::{Event, Faults, RunConfig};

use crate::common::{Trouble, calm, config, pipeline};

const STEPS: u64 = 2000;
const FAULTS: &str = "dataset=error@0.005,dataset=slow@0.002,sampler=panic@0.002,editor=panic@0.005,editor=error@0.005,\
                      reward=panic@0.005,reward=error@0.01,reward=slow@0.005,learner=panic@0.01,evaluator=panic@0.1";

/// What the process holds, and what was seen of the run until then. A record of each step would be megabytes by itself.
#[derive(Clone, Debug, Default)]
struct Held {
    steps: u64,
    groups: usize,
    staleness: u64,
    restarts: u64,
    retries: u64,
    megabytes: f64,
    threads: usize,
    descriptors: usize,
}

impl Held {
    fn measure(&mut self) {
        let count = |folder: &str| fs::read_dir(folder).unwrap().count();
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kilobytes: f64 = resident.trim().trim_end_matches(" kB").parse().unwrap();
        self.megabytes = kilobytes / 1024.0;
        (self.threads, self.descriptors) = (count("/proc/self/task"), count("/proc/self/fd"));
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: cargo test -p addendum-actors --test pipeline -- --ignored soak --nocapture"]
async fn two_thousand_steps_with_random_faults_hold_no_more_at_the_end_than_at_the_beginning_and_lose_nothing() {
    let config =
        RunConfig { steps: STEPS, samplers: 2, max_attempts: 50, checkpoint_every: 20, evaluate_every: 50, ..config() };
    let expected = calm(config.clone()).await;
    let held = Arc::new(Mutex::new(Vec::new()));
    let (samples, mut now) = (held.clone(), Held::default());
    let observer = move |event: &Event| {
        let Event::Step(record) = event else { return };
        now.steps += 1;
        now.groups += record.groups;
        now.staleness = now.staleness.max(record.staleness_max);
        (now.restarts, now.retries) = (record.restarts, record.retries);
        if now.steps.is_multiple_of(100) {
            now.measure();
            samples.lock().unwrap().push(now.clone());
        }
    };
    let folder = tempfile::tempdir().unwrap();
    let evaluator = || Ok(crate::common::First);
    let chain = pipeline(config, Trouble::default()).faults(Faults::parse(FAULTS, 3).unwrap());
    let summary = chain.evaluator(evaluator).folder(folder.path()).observer(observer).run().await.unwrap();

    assert!(summary.finished && summary.dead_letters.is_empty());
    assert_eq!(summary.snapshot.bytes(), expected, "a fault changed the result");
    let held = held.lock().unwrap();
    held.iter().for_each(|held| println!("{held:?}"));
    println!("{:?}", summary.duration);
    let last = held.last().unwrap();
    assert_eq!((last.steps, last.groups as u64), (STEPS, 3 * STEPS), "a step or a ticket was lost");
    assert_eq!(last.staleness, 1, "a group was too old");
    let (early, late) = held.split_at(held.len() / 2);
    let most = |half: &[Held], of: fn(&Held) -> f64| half.iter().map(of).fold(0.0, f64::max);
    assert!(most(late, |held| held.megabytes) <= most(early, |held| held.megabytes) + 1.0, "memory grows");
    assert!(most(late, |held| held.threads as f64) <= most(early, |held| held.threads as f64) + 2.0, "threads grow");
    let descriptors: fn(&Held) -> f64 = |held| held.descriptors as f64;
    assert!(most(late, descriptors) <= most(early, descriptors) + 2.0, "descriptors grow");
}
