//! What a run tells of itself while it goes on and how it ended, in `status.json`.

use std::{fs, path::Path, time::Duration};

use addendum_actors::{
    RunConfig,
    status::{RunState, RunStatus, STATUS},
};

use crate::common::{First, Trouble, calm, config, finish, pipeline, run};

fn status(folder: &Path) -> Option<RunStatus> {
    let text = fs::read(folder.join(STATUS)).ok()?;
    Some(serde_json::from_slice(&text).expect("it is whole whenever one looks"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_run_says_so_and_no_ticket_is_out() {
    let folder = tempfile::tempdir().unwrap();
    let config = RunConfig { samplers: 2, ..config() };
    run(pipeline(config, Trouble::default()).folder(folder.path()).evaluator(|| Ok(First))).await.unwrap();
    let status = status(folder.path()).unwrap();
    assert_eq!((status.state, status.error, status.version, status.steps), (RunState::Finished, None, 8, 8));
    assert_eq!(status.tickets_at_most, 6);
    let places: Vec<_> = status.tickets.iter().map(|at| (at.place.as_str(), at.waiting, at.inside)).collect();
    assert_eq!(places, ["sampler", "editor", "reward", "replay", "learner"].map(|place| (place, 0, 0)));
    let actors: Vec<_> = status.actors.iter().map(|actor| actor.name.as_str()).collect();
    assert_eq!(actors, ["sampler-0", "sampler-1", "editor", "reward", "learner", "recorder", "evaluator"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_under_way_says_who_works_and_costs_no_bit() {
    let config = RunConfig { steps: 40, checkpoint_every: 0, ..config() };
    let expected = calm(config.clone()).await;
    let folder = tempfile::tempdir().unwrap();
    let trouble = Trouble { delay: Duration::from_millis(80), ..Trouble::default() };
    let running = pipeline(config, trouble).folder(folder.path()).start().await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..500 {
        let told = status(folder.path()).filter(|status| status.state == RunState::Running && status.version > 0);
        seen.extend(told.filter(|status| seen.iter().all(|earlier: &RunStatus| earlier.time < status.time)));
        if seen.len() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(seen.len(), 2, "it tells of itself every second");
    for status in seen {
        let out: usize = status.tickets.iter().map(|at| at.waiting + at.inside).sum();
        assert!(out as u64 <= status.tickets_at_most, "{status:?}");
        for actor in &status.actors {
            assert!((actor.busy + actor.starved + actor.blocked - 1.0).abs() < 1e-6, "{actor:?}");
        }
        assert!(status.actors.iter().any(|actor| actor.busy > 0.0), "{status:?}");
    }
    assert_eq!(finish(running).await.unwrap().snapshot.bytes(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_stopped_and_one_that_failed_say_so() {
    let folder = tempfile::tempdir().unwrap();
    run(pipeline(config(), Trouble::default()).folder(folder.path()).stop_when(async {})).await.unwrap();
    assert_eq!(status(folder.path()).unwrap().state, RunState::Stopped);

    let folder = tempfile::tempdir().unwrap();
    let trouble = Trouble { learner_error: Some(3), ..Trouble::default() };
    let error = run(pipeline(config(), trouble).folder(folder.path())).await.unwrap_err();
    let status = status(folder.path()).unwrap();
    assert_eq!((status.state, status.error), (RunState::Failed, Some(error.to_string())));
}
