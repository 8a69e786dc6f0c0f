//! Work done ahead of need: early, bounded, and without influence.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use addendum_actors::{Pool, RunConfig, Stage, StageError};
use addendum_replay::{RolloutGroup, StudyOrder, TicketId};
use addendum_studies::{Dataset, Study};

use crate::common::{Heard, Trouble, calm, config, over, pipeline, run, studies};

/// Notes which thread reads which study; one of them cannot be read.
struct Watched {
    studies: Vec<Study>,
    reads: Arc<Mutex<Vec<(String, usize)>>>,
    damaged: Option<usize>,
}

impl Dataset for Watched {
    fn len(&self) -> usize {
        self.studies.len()
    }

    fn study(&self, index: usize) -> addendum_studies::Result<Study> {
        let thread = std::thread::current().name().unwrap_or_default().to_string();
        self.reads.lock().unwrap().push((thread, index));
        match self.damaged == Some(index) {
            true => Err(addendum_studies::Error::OutOfRange { index, len: 0 }),
            false => self.studies.study(index),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn how_far_ahead_it_works_changes_no_bit_of_the_result() {
    for samplers in [1, 3] {
        let config = RunConfig { samplers, ..config() };
        let expected = calm(RunConfig { prefetch: 0, ..config.clone() }).await;
        for prefetch in [1, 4, 64] {
            let trouble = Trouble { delay: Duration::from_millis(1), ..Trouble::default() };
            let summary = run(pipeline(RunConfig { prefetch, ..config.clone() }, trouble)).await.unwrap();
            assert_eq!(summary.snapshot.bytes(), expected, "{prefetch} ahead");
        }
    }
}

/// Keeps each group until as many studies were read as may have been by now.
struct UntilRead(Arc<Mutex<Vec<(String, usize)>>>);

impl Stage for UntilRead {
    fn process(&mut self, group: &mut RolloutGroup) -> Result<(), StageError> {
        let expected = (group.ticket.id().0 as usize + 1 + 4).min(24);
        let patience = Instant::now() + Duration::from_secs(30);
        loop {
            let read: BTreeSet<usize> = self.0.lock().unwrap().iter().map(|(_, index)| *index).collect();
            match read.len() >= expected {
                true => return Ok(()),
                false if Instant::now() > patience => return Err(format!("only {read:?} were read").into()),
                false => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn studies_are_read_ahead_in_the_order_of_tickets_and_not_again() {
    let reads = Arc::new(Mutex::new(Vec::new()));
    let dataset = Watched { studies: studies(24), reads: reads.clone(), damaged: None };
    let (config, seen) = (RunConfig { prefetch: 4, staleness: 0, ..config() }, reads.clone());
    let chain = over(dataset, config, Arc::default()).stage("until_read", 3, move || Ok(UntilRead(seen.clone())));
    let summary = run(chain).await.unwrap();
    assert!(summary.dead_letters.is_empty(), "{:?}", summary.dead_letters);
    let reads = reads.lock().unwrap();
    let by = |name: &str| reads.iter().filter(|(thread, _)| thread.starts_with(name)).map(|(_, i)| *i).collect();
    let (ahead, sampler): (Vec<usize>, Vec<usize>) = (by("ahead"), by("sampler"));
    // Those of the first step may be asked for before anything could be done, another one before it is put down.
    assert!(sampler.len() <= 5, "{sampler:?} were read by the sampler");
    let mut order = StudyOrder::new(11, 24);
    let expected: Vec<usize> = (0..24).map(|ticket| order.study_of(TicketId(ticket), 0)).collect();
    assert!(ahead.ends_with(&expected[3..]), "{ahead:?} do not end as {expected:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_done_further_ahead_than_it_may_be_nor_anything_at_all_without() {
    for prefetch in [0, 3] {
        let (seen, furthest) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let trouble = Arc::new(Trouble { delay: Duration::from_millis(3), ..Trouble::default() });
        let (hook, most, issued) = (seen.clone(), furthest.clone(), trouble.clone());
        let chain = over(studies(7), RunConfig { prefetch, ..config() }, trouble);
        let chain = chain.foresee(move |_| {
            // A ticket is issued before its sampling begins.
            let ahead = (hook.fetch_add(1, Ordering::SeqCst) + 1).saturating_sub(issued.sampled.load(Ordering::SeqCst));
            most.fetch_max(ahead, Ordering::SeqCst);
        });
        run(chain).await.unwrap();
        let (seen, furthest) = (seen.load(Ordering::SeqCst), furthest.load(Ordering::SeqCst));
        match prefetch {
            0 => assert_eq!(seen, 0),
            _ => assert!(seen > 0 && furthest <= prefetch + 1, "{seen} seen, up to {furthest} ahead"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_ahead_counts_only_where_it_is_needed() {
    let (config, trouble) = (RunConfig { prefetch: 4, ..config() }, Arc::new(Trouble::default()));
    let heard = Heard::default();
    let panicking = over(studies(7), config.clone(), trouble.clone()).foresee(|_| panic!("no images"));
    let summary = run(panicking.observer(heard.listen())).await.unwrap();
    assert_eq!(summary.snapshot.bytes(), calm(config.clone()).await);
    assert!(heard.restarts().is_empty() && summary.dead_letters.is_empty());

    let damaged = || Watched { studies: studies(7), reads: Arc::default(), damaged: Some(3) };
    let mut letters = Vec::new();
    for prefetch in [0, 4] {
        let config = RunConfig { prefetch, ..config.clone() };
        let summary = run(over(damaged(), config, Arc::new(Trouble::default()))).await.unwrap();
        assert!(summary.dead_letters.values().all(|letter| letter.attempts == 3 && letter.study == 3));
        letters.push((summary.dead_letters, summary.snapshot.bytes()));
    }
    assert!(!letters[0].0.is_empty());
    assert_eq!(letters[0], letters[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_may_get_ready_too() {
    struct Idle;
    impl Stage for Idle {
        fn process(&mut self, _: &mut RolloutGroup) -> Result<(), StageError> {
            Ok(())
        }
    }
    let seen = Arc::new(AtomicU64::new(0));
    let hook = seen.clone();
    let stage = Pool::computing("idle", 1, || Ok(Idle)).foresee(move |_| {
        hook.fetch_add(1, Ordering::SeqCst);
    });
    let trouble = Trouble { delay: Duration::from_millis(3), ..Trouble::default() };
    run(pipeline(config(), trouble).append(stage)).await.unwrap();
    assert!(seen.load(Ordering::SeqCst) > 0);
}
