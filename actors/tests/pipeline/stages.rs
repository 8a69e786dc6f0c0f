//! Stages of every kind: computing and asynchronous, in time and late, appended and inserted.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use addendum_actors::{AsyncStage, Pool, RunConfig, RunError, Stage, StageError};
use addendum_replay::{RolloutGroup, TicketId};
use tokio::sync::Barrier;

use crate::common::{Heard, Trouble, calm, config, pipeline, run};

/// Returns only once as many groups as it waits for are in it at the same time, and remembers the most there were.
struct Together {
    barrier: Barrier,
    now: AtomicUsize,
    most: Arc<AtomicUsize>,
}

impl AsyncStage for Together {
    async fn process(&self, group: &mut RolloutGroup) -> Result<(), StageError> {
        self.most.fetch_max(self.now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        self.barrier.wait().await;
        self.now.fetch_sub(1, Ordering::SeqCst);
        for rollout in &mut group.rollouts {
            rollout.reward.as_mut().ok_or("runs after the rewards")?.total *= 0.75;
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asynchronous_stage_holds_several_groups_at_a_time_and_the_result_does_not_depend_on_how_many() {
    let mut results = Vec::new();
    for in_flight in [1, 4] {
        // Four tickets may be out at once, and there are multiples of four.
        let config = RunConfig { batch_groups: 4, ..config() };
        let most = Arc::new(AtomicUsize::new(0));
        let seen = most.clone();
        let stage = Pool::asynchronous("together", in_flight, move || {
            Ok(Together { barrier: Barrier::new(in_flight), now: AtomicUsize::new(0), most: seen.clone() })
        });
        let summary = run(pipeline(config, Trouble::default()).append(stage)).await.unwrap();
        assert_eq!(most.load(Ordering::SeqCst), in_flight);
        results.push(summary.snapshot.bytes());
    }
    assert_eq!(results[0], results[1]);
}

const LIMIT: Duration = Duration::from_millis(80);

/// Is far too slow for every group whose ticket is a multiple of five: once, or always.
struct Slow {
    slowed: Arc<Mutex<Vec<u64>>>,
    always: bool,
}

impl Slow {
    fn takes(&self, group: &RolloutGroup) -> Duration {
        let ticket = group.ticket.id().0;
        let mut slowed = self.slowed.lock().unwrap();
        let fresh = !slowed.contains(&ticket);
        slowed.push(ticket);
        if ticket.is_multiple_of(5) && (fresh || self.always) { 3 * LIMIT } else { Duration::ZERO }
    }
}

impl Stage for Slow {
    fn process(&mut self, group: &mut RolloutGroup) -> Result<(), StageError> {
        std::thread::sleep(self.takes(group));
        Ok(())
    }
}

impl AsyncStage for Slow {
    async fn process(&self, group: &mut RolloutGroup) -> Result<(), StageError> {
        let time = self.takes(group);
        tokio::time::sleep(time).await;
        Ok(())
    }
}

fn slow(asynchronous: bool, always: bool) -> Pool {
    let slowed = Arc::new(Mutex::new(Vec::new()));
    let build = move || Ok(Slow { slowed: slowed.clone(), always });
    match asynchronous {
        true => Pool::asynchronous("slow", 2, build).timeout(LIMIT),
        false => Pool::computing("slow", 2, build).timeout(LIMIT),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_is_late_once_costs_an_attempt_and_no_bit_of_the_result() {
    let expected = calm(config()).await;
    for asynchronous in [false, true] {
        let heard = Heard::default();
        // A busy machine may be late by itself.
        let config = RunConfig { max_attempts: 50, ..config() };
        let chain = pipeline(config, Trouble::default()).append(slow(asynchronous, false));
        let summary = run(chain.observer(heard.listen())).await.unwrap();
        assert_eq!(summary.snapshot.bytes(), expected);
        assert!(summary.dead_letters.is_empty(), "{:?}", summary.dead_letters);
        let retries = heard.steps().last().unwrap().retries;
        assert!(retries >= 5, "only {retries} attempts failed");
        // A late thread cannot be used again; a cancelled future leaves its worker free.
        let replaced = heard.restarts();
        assert_eq!(replaced.is_empty(), asynchronous, "{replaced:?}");
        assert!(replaced.iter().all(|(actor, reason)| actor == "slow" && reason == "no answer within 80ms"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_is_always_late_for_a_study_ends_its_ticket_with_the_limit_and_the_run_all_the_same() {
    for asynchronous in [false, true] {
        let patient = RunConfig { max_dead_in_a_row: u64::MAX, ..config() };
        let summary = run(pipeline(patient, Trouble::default()).append(slow(asynchronous, true))).await.unwrap();
        assert!(summary.finished);
        for ticket in [0, 5, 10, 15, 20].map(TicketId) {
            let letter = &summary.dead_letters[&ticket];
            assert!(letter.attempts == 3 && letter.error.contains("within 80ms"), "{letter}");
        }
    }
}

/// Holds every group until the test is over, and counts those that it holds.
struct Hanging {
    held: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
}

impl Stage for Hanging {
    fn process(&mut self, _: &mut RolloutGroup) -> Result<(), StageError> {
        self.held.fetch_add(1, Ordering::SeqCst);
        while !self.over.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn threads_that_never_come_back_are_few_and_the_run_ends_all_the_same() {
    let (held, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (counter, end) = (held.clone(), over.clone());
    let build = move || Ok(Hanging { held: counter.clone(), over: end.clone() });
    let stage = Pool::computing("hanging", 2, build).timeout(LIMIT);
    let error = run(pipeline(config(), Trouble::default()).append(stage)).await.unwrap_err();
    over.store(true, Ordering::SeqCst);
    let RunError::NothingToTrainOn { last, .. } = &error else { panic!("{error}") };
    assert!(last.error.contains("too many earlier groups are still late"), "{error}");
    assert_eq!(held.load(Ordering::SeqCst), 4, "twice as many as there are workers");
}

/// Panics at its first group.
struct Fragile(Arc<AtomicUsize>);

impl AsyncStage for Fragile {
    async fn process(&self, _: &mut RolloutGroup) -> Result<(), StageError> {
        tokio::task::yield_now().await;
        assert!(self.0.fetch_add(1, Ordering::SeqCst) > 0, "too fragile");
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asynchronous_stage_that_panics_fails_the_attempt_and_is_built_anew() {
    let (calls, built, heard) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Heard::default());
    let count = built.clone();
    let stage = Pool::asynchronous("fragile", 3, move || {
        count.fetch_add(1, Ordering::SeqCst);
        Ok(Fragile(calls.clone()))
    });
    let summary = run(pipeline(config(), Trouble::default()).append(stage).observer(heard.listen())).await.unwrap();
    assert_eq!(summary.snapshot.bytes(), calm(config()).await);
    assert_eq!(heard.restarts(), [("fragile".to_string(), "panicked: too fragile".to_string())]);
    assert_eq!(built.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_constructor_that_fails_ends_the_start_with_its_reason() {
    let computing = Pool::computing("lexicon", 1, || Err::<Note, StageError>("no such file".into()));
    let asynchronous = Pool::asynchronous("service", 4, || Err::<Fragile, StageError>("no token".into()));
    for (stage, name, reason) in [(computing, "lexicon", "no such file"), (asynchronous, "service", "no token")] {
        let error = run(pipeline(config(), Trouble::default()).append(stage)).await.unwrap_err();
        assert_eq!(error.to_string(), format!("{name} could not be started: {reason}"));
    }
}

/// Writes its name down.
struct Note(&'static str, Arc<Mutex<Vec<&'static str>>>);

impl Stage for Note {
    fn process(&mut self, group: &mut RolloutGroup) -> Result<(), StageError> {
        if group.ticket.id().0 == 0 {
            self.1.lock().unwrap().push(self.0);
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn inserted_stages_run_where_they_were_put() {
    let notes = Arc::new(Mutex::new(Vec::new()));
    let note = |name: &'static str| {
        let notes = notes.clone();
        Pool::computing(name, 1, move || Ok(Note(name, notes.clone())))
    };
    let chain = pipeline(config(), Trouble::default()).append(note("last"));
    let chain = chain.before("editor", note("first")).unwrap().after("reward", note("scored")).unwrap();
    let chain = chain.before("reward", note("edited")).unwrap();
    run(chain).await.unwrap();
    assert_eq!(*notes.lock().unwrap(), ["first", "edited", "scored", "last"]);

    let unknown = pipeline(config(), Trouble::default()).after("rewards", note("nowhere")).err().unwrap();
    assert_eq!(unknown.to_string(), "no stage is called `rewards`; there are: editor, reward");
}
