//! Samplers that hold several requests, which join and leave at any time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::common::{
    Heard, ToyBatch, ToyLearner, ToySampler, Trouble, batched, batched_over, calm, config, finish, mixed, pipeline,
    resumed, run, stages, studies,
};
use addendum_actors::{Pipeline, RunConfig, StallConfig};
use addendum_studies::{Dataset, Study};

/// Steps of this length are computed one by one.
const SLOW: Duration = Duration::from_millis(3);

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_join_others_give_the_weights_of_a_sampler_that_takes_one_at_a_time() {
    for staleness in [0, 1, 4] {
        let config = RunConfig { staleness, ..config() };
        let expected = calm(config.clone()).await;
        for samplers in [1, 3] {
            let trouble = Arc::new(Trouble { delay: SLOW, overtaken: Some(0), ..Trouble::default() });
            let summary = run(batched(RunConfig { samplers, ..config.clone() }, trouble.clone())).await.unwrap();
            assert_eq!(summary.snapshot.bytes(), expected, "{samplers} samplers, staleness {staleness}");
            if samplers == 1 {
                assert!(trouble.most_under_way.load(Ordering::SeqCst) >= 2, "nothing was ever sampled together");
                let answered = trouble.answered.lock().unwrap();
                assert!(!answered.is_sorted(), "no request overtook another: {answered:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_breaks_is_lost_and_sampled_again() {
    let config = RunConfig { staleness: 2, ..config() };
    let expected = calm(config.clone()).await;
    let trouble = Arc::new(Trouble { sampler_panics: vec![1, 6, 9], delay: SLOW, ..Trouble::default() });
    let heard = Heard::default();
    let running = batched(config, trouble).observer(heard.listen()).start().await.unwrap();
    let gate = running.gate().clone();
    let summary = finish(running).await.unwrap();
    assert_eq!(summary.snapshot.bytes(), expected);
    assert!(summary.dead_letters.is_empty() && gate.state().open.is_empty());
    let restarts = heard.restarts();
    assert_eq!(restarts.len(), 3, "{restarts:?}");
    assert!(restarts.iter().all(|(who, why)| who == "sampler-0" && why.contains("the sampler broke at call")));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_study_that_breaks_every_batch_fails() {
    let config = RunConfig { staleness: 2, max_dead_in_a_row: 100, ..config() };
    let trouble = Arc::new(Trouble { breaking: vec!["study-3".into()], delay: SLOW, ..Trouble::default() });
    let unreadable = Trouble { unreadable: vec!["study-3".into()], ..Trouble::default() };
    let expected = run(pipeline(config.clone(), unreadable)).await.unwrap();
    let summary = run(batched(config, trouble.clone())).await.unwrap();
    assert!(trouble.most_under_way.load(Ordering::SeqCst) >= 2, "nothing was ever sampled together");
    assert!(!summary.dead_letters.is_empty());
    assert_eq!(summary.dead_letters.keys().collect::<Vec<_>>(), expected.dead_letters.keys().collect::<Vec<_>>());
    for letter in summary.dead_letters.values() {
        assert_eq!((letter.study, letter.attempts), (3, 3), "{letter:?}");
        assert!(letter.error.contains("the sampler broke over study-3"), "{letter:?}");
    }
    assert_eq!(summary.snapshot.bytes(), expected.snapshot.bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_fails_costs_those_beside_it_nothing() {
    let config = RunConfig { staleness: 2, max_dead_in_a_row: 100, ..config() };
    let trouble = Arc::new(Trouble { unreadable: vec!["study-5".into()], delay: SLOW, ..Trouble::default() });
    let heard = Heard::default();
    let summary = run(batched(config, trouble.clone()).observer(heard.listen())).await.unwrap();
    assert!(!summary.dead_letters.is_empty());
    assert!(summary.dead_letters.values().all(|letter| (letter.study, letter.attempts, letter.lost) == (5, 3, 0)));
    assert!(heard.restarts().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_batches_and_resumed_runs_end_in_the_same_weights() {
    let config = RunConfig { samplers: 2, checkpoint_every: 1, ..config() };
    let expected = calm(config.clone()).await;
    let folder = tempfile::tempdir().unwrap();
    let slow = || Arc::new(Trouble { delay: Duration::from_millis(2), ..Trouble::default() });
    let chain = || batched(config.clone(), slow()).folder(folder.path());
    let running = chain().start().await.unwrap();
    while running.gate().version().0 < 3 {
        running.actor("sampler-0").unwrap().kill();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(running);
    let resumed = run(resumed(chain()).await).await.unwrap();
    assert!(resumed.finished && resumed.dead_letters.is_empty());
    assert_eq!(resumed.snapshot.bytes(), expected);
}

/// Takes its time over every study, and counts the steps that were computed meanwhile.
struct Slow {
    inner: Vec<Study>,
    trouble: Arc<Trouble>,
    meanwhile: Arc<AtomicU64>,
}

impl Dataset for Slow {
    fn len(&self) -> usize {
        self.inner.len()
    }

    fn study(&self, index: usize) -> addendum_studies::Result<Study> {
        let before = self.trouble.calls.load(Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(4));
        self.meanwhile.fetch_add(self.trouble.calls.load(Ordering::SeqCst) - before, Ordering::SeqCst);
        Ok(self.inner[index].clone())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_a_study_stops_none_that_is_under_way() {
    let config = RunConfig { staleness: 2, ..config() };
    let expected = calm(config.clone()).await;
    let (trouble, meanwhile) = (Arc::new(Trouble { delay: SLOW, ..Trouble::default() }), Arc::default());
    let data = Slow { inner: studies(7), trouble: trouble.clone(), meanwhile: Arc::clone(&meanwhile) };
    let summary = run(batched_over(Arc::new(data), config, trouble, false)).await.unwrap();
    assert_eq!(summary.snapshot.bytes(), expected);
    assert!(meanwhile.load(Ordering::SeqCst) > 5, "{meanwhile:?} steps in the time of 24 studies");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_batch_is_not_nothing_to_a_report_the_same_ones_always_share_it() {
    for staleness in [0, 2] {
        // Blocks of two tickets, and one of the third of a step.
        let config = RunConfig { staleness, max_attempts: 1000, ..config() };
        let expected = run(mixed(config.clone(), Arc::default())).await.unwrap().snapshot.bytes();
        assert_ne!(expected, calm(config.clone()).await, "what shared a batch was nothing to a report");
        let delay = Duration::from_millis(1);
        for samplers in [1, 3] {
            let config = RunConfig { samplers, ..config.clone() };
            let slow = mixed(config.clone(), Arc::new(Trouble { delay, ..Trouble::default() }));
            assert_eq!(run(slow).await.unwrap().snapshot.bytes(), expected, "{samplers} samplers");

            // No ticket is lost to both of the sampler's panics, which would have it sampled alone: until one of those lost
            // to the first is there, at most two steps beyond its own are sampled, in fewer than 26 calls.
            let trouble =
                Trouble { editor_panics: vec![0, 4, 9], sampler_panics: vec![3, 26], delay, ..Trouble::default() };
            let summary = run(mixed(config.clone(), Arc::new(trouble))).await.unwrap();
            assert!(summary.restarts >= 5 && summary.dead_letters.is_empty());
            assert_eq!(summary.snapshot.bytes(), expected, "{samplers} samplers with failures");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fixed_batches_survive_kills_and_resumes() {
    let config = RunConfig { samplers: 2, checkpoint_every: 1, ..config() };
    let expected = run(mixed(config.clone(), Arc::default())).await.unwrap().snapshot.bytes();
    let folder = tempfile::tempdir().unwrap();
    let slow = || Arc::new(Trouble { delay: Duration::from_millis(2), ..Trouble::default() });
    let chain = || mixed(config.clone(), slow()).folder(folder.path());
    let running = chain().start().await.unwrap();
    while running.gate().version().0 < 3 {
        running.actor("sampler-0").unwrap().kill();
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    drop(running);
    let resumed = run(resumed(chain()).await).await.unwrap();
    assert!(resumed.finished && resumed.dead_letters.is_empty());
    assert_eq!(resumed.snapshot.bytes(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_study_that_breaks_every_fixed_batch_fails_alone() {
    let config = RunConfig { staleness: 2, max_dead_in_a_row: 100, ..config() };
    let breaking = || Arc::new(Trouble { breaking: vec!["study-3".into()], ..Trouble::default() });
    let first = run(mixed(config.clone(), breaking())).await.unwrap();
    assert!(!first.dead_letters.is_empty());
    assert!(first.dead_letters.values().all(|letter| (letter.study, letter.attempts) == (3, 3)));
    let second = run(mixed(RunConfig { samplers: 3, ..config }, breaking())).await.unwrap();
    assert_eq!(first.snapshot.bytes(), second.snapshot.bytes());
}

/// Its first reading fails; the one after the second takes its time.
struct Stumbling {
    inner: Vec<Study>,
    reads: Arc<AtomicU64>,
}

impl Dataset for Stumbling {
    fn len(&self) -> usize {
        self.inner.len()
    }

    fn study(&self, index: usize) -> addendum_studies::Result<Study> {
        match self.reads.fetch_add(1, Ordering::SeqCst) {
            0 => return Err(addendum_studies::Error::OutOfRange { index, len: 0 }),
            2 => std::thread::sleep(Duration::from_millis(300)),
            _ => {}
        }
        Ok(self.inner[index].clone())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_sampler_keeps_a_ticket_of_another_block_from_those_that_wait_for_one() {
    let stall = StallConfig { warn_seconds: 0.0, end_seconds: 10.0 };
    let config = RunConfig { steps: 2, staleness: 0, samplers: 2, prefetch: 0, recorded_groups: 0, stall, ..config() };
    let (reads, trouble) = (Arc::new(AtomicU64::new(0)), Arc::new(Trouble::default()));
    let (read, sampling, learning) = (reads.clone(), trouble.clone(), trouble.clone());
    let chain = Pipeline::with_batch_samplers(
        config.clone(),
        Arc::new(Stumbling { inner: studies(7), reads }),
        move |index| {
            // The other sampler begins when the first ticket is back and the second one read, so that of both samplers
            // one takes the first ticket and comes upon the third, of a block of its own; and one finds nothing.
            while index > 0 && read.load(Ordering::SeqCst) < 2 {
                std::thread::sleep(Duration::from_millis(1));
            }
            Ok(ToyBatch { sampler: ToySampler(sampling.clone()), requests: vec![], mixes: true })
        },
        move || Ok(ToyLearner::new(learning)),
    );
    let summary = run(stages(chain, config, trouble)).await.unwrap();
    assert!(summary.finished && summary.dead_letters.is_empty());
}
