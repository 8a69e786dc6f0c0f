//! Samplers that wait for what others compute: several requests at a time, answered in any order.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use crate::common::{Heard, Trouble, calm, config, finish, resumed, run, served};
use addendum_actors::RunConfig;

const LONGEST: Duration = Duration::from_millis(6);

#[tokio::test(flavor = "multi_thread")]
async fn answers_in_another_order_give_the_weights_and_steps_of_a_computing_sampler() {
    for staleness in [0, 1, 4] {
        let config = RunConfig { staleness, ..config() };
        let expected = calm(config.clone()).await;
        for samplers in [1, 3] {
            let (trouble, heard) = (Arc::new(Trouble::default()), Heard::default());
            let chain = served(RunConfig { samplers, ..config.clone() }, trouble.clone(), LONGEST);
            let summary = run(chain.observer(heard.listen())).await.unwrap();
            assert_eq!(summary.snapshot.bytes(), expected, "{samplers} samplers, staleness {staleness}");
            assert!(heard.steps().iter().all(|step| step.staleness_max == staleness.min(step.step)));
            let answered = trouble.answered.lock().unwrap();
            assert!(!answered.is_sorted(), "no request overtook another: {answered:?}");
            let most = trouble.most_under_way.load(Ordering::SeqCst);
            assert!((2..=4 * samplers as u64).contains(&most), "{most} requests at a time");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panicking_request_costs_its_ticket_an_attempt_and_the_others_none() {
    let config = RunConfig { staleness: 1, ..config() };
    let expected = calm(config.clone()).await;
    let trouble = Arc::new(Trouble { sampler_panics: vec![1, 6], ..Trouble::default() });
    let heard = Heard::default();
    let running = served(config, trouble, LONGEST).observer(heard.listen()).start().await.unwrap();
    let gate = running.gate().clone();
    let summary = finish(running).await.unwrap();
    assert_eq!(summary.snapshot.bytes(), expected);
    assert!(summary.dead_letters.is_empty());
    assert!(gate.state().open.is_empty());
    let restarts = heard.restarts();
    assert_eq!(restarts.len(), 2, "{restarts:?}");
    assert!(restarts.iter().all(|(who, why)| who == "sampler-0" && why.contains("the sampler broke at call")));
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_servers_and_resumed_runs_end_in_the_same_weights() {
    let config = RunConfig { samplers: 2, checkpoint_every: 1, ..config() };
    let expected = calm(config.clone()).await;
    let folder = tempfile::tempdir().unwrap();
    let chain = || served(config.clone(), Arc::default(), LONGEST).folder(folder.path());
    let running = chain().start().await.unwrap();
    while running.gate().version().0 < 3 {
        running.actor("sampler-0").unwrap().kill();
        tokio::time::sleep(2 * LONGEST).await;
    }
    drop(running);
    let resumed = run(resumed(chain()).await).await.unwrap();
    assert!(resumed.finished && resumed.dead_letters.is_empty());
    assert_eq!(resumed.snapshot.bytes(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_under_way_once_a_run_is_dropped() {
    let trouble = Arc::new(Trouble::default());
    let running = served(config(), trouble.clone(), Duration::from_secs(50)).start().await.unwrap();
    while trouble.under_way.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(running);
    for _ in 0..500 {
        if trouble.under_way.load(Ordering::SeqCst) == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{} requests are still under way", trouble.under_way.load(Ordering::SeqCst));
}
