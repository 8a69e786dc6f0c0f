//! Law 7: a stopped or killed run resumes and ends in the same weights, bit for bit.

use std::{fs, io::Write, path::Path, time::Duration};

use crate::common::{Heard, Trouble, calm, config, finish, pipeline, resumed, run};
use addendum_actors::{Event, RolloutSample, RunConfig, RunError, StepRecord};
use tokio::sync::oneshot;

fn steps(folder: &Path) -> Vec<u64> {
    let text = fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str::<StepRecord>(line).unwrap().step).collect()
}

fn slow() -> Trouble {
    Trouble { delay: Duration::from_millis(3), ..Trouble::default() }
}

/// Completes when the step is heard, together with the ear that hears it.
fn at_step(step: u64) -> (impl FnMut(&Event) + Send, impl Future<Output = ()> + Send) {
    let (heard, signal) = oneshot::channel();
    let mut heard = Some(heard);
    let ear = move |event: &Event| {
        let reached = matches!(event, Event::Step(record) if record.step >= step);
        if let Some(heard) = heard.take_if(|_| reached) {
            let _ = heard.send(());
        }
    };
    (ear, async {
        let _ = signal.await;
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_run_writes_a_checkpoint_and_resumes_to_the_same_weights() {
    for staleness in [0, 1, 4] {
        let config = RunConfig { staleness, samplers: 2, checkpoint_every: 0, ..config() };
        let expected = calm(config.clone()).await;
        let folder = tempfile::tempdir().unwrap();
        let (ear, signal) = at_step(3);
        let chain = pipeline(config.clone(), slow()).folder(folder.path()).observer(ear).stop_when(signal);
        let stopped = run(chain).await.unwrap();
        assert!(!stopped.finished);
        assert!((4..8).contains(&stopped.version.0), "stopped at {}", stopped.version);

        let resumed = run(pipeline(config, slow()).folder(folder.path()).resume()).await.unwrap();
        assert!(resumed.finished);
        assert_eq!(resumed.snapshot.bytes(), expected, "staleness {staleness}");
        assert_eq!(steps(folder.path()), (0..8).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_killed_again_and_again_ends_in_the_same_weights() {
    let config = RunConfig { samplers: 2, checkpoint_every: 1, ..config() };
    let expected = calm(config.clone()).await;
    let folder = tempfile::tempdir().unwrap();
    for step in [0, 2, 5] {
        let (ear, signal) = at_step(step);
        let mut chain = pipeline(config.clone(), slow()).folder(folder.path()).observer(ear);
        if step > 0 {
            chain = resumed(chain).await;
        }
        let running = chain.start().await.unwrap();
        signal.await;
        drop(running);
    }
    let resumed = run(resumed(pipeline(config, slow()).folder(folder.path())).await).await.unwrap();
    assert_eq!(resumed.snapshot.bytes(), expected);
    assert_eq!(steps(folder.path()), (0..8).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_killed_while_it_wrote_a_character_resumes() {
    let folder = tempfile::tempdir().unwrap();
    let config = RunConfig { steps: 4, ..config() };
    run(pipeline(config.clone(), Trouble::default()).folder(folder.path())).await.unwrap();
    for name in ["metrics.jsonl", "rollouts.jsonl", "evaluations.jsonl"] {
        let mut file = fs::OpenOptions::new().append(true).open(folder.path().join(name)).unwrap();
        file.write_all(&"{\"step\": 4, \"text\": \"größer".as_bytes()[..24]).unwrap();
    }
    run(pipeline(RunConfig { steps: 8, ..config }, Trouble::default()).folder(folder.path()).resume()).await.unwrap();
    assert_eq!(steps(folder.path()), (0..8).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_of_a_run_whose_every_ticket_dies_at_once_resume() {
    let folder = tempfile::tempdir().unwrap();
    let unreadable = || Trouble { unreadable: (0..7).map(|i| format!("study-{i}")).collect(), ..slow() };
    let config = RunConfig {
        staleness: 0,
        max_attempts: 1,
        max_dead_in_a_row: u64::MAX,
        checkpoint_every: 1,
        samplers: 4,
        steps: 6,
        ..config()
    };
    let short = run(pipeline(config.clone(), unreadable()).folder(folder.path())).await.unwrap();
    assert_eq!(short.dead_letters.len(), 18);
    let longer = RunConfig { steps: 8, ..config };
    let resumed = run(pipeline(longer, unreadable()).folder(folder.path()).resume()).await.unwrap();
    assert!(resumed.finished);
    assert_eq!(resumed.dead_letters.len(), 24);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_run_folder_holds_metrics_sample_rollouts_with_their_edits_and_few_checkpoints() {
    let (folder, heard) = (tempfile::tempdir().unwrap(), Heard::default());
    let chain = pipeline(RunConfig { checkpoint_every: 1, ..config() }, Trouble::default());
    run(chain.folder(folder.path()).observer(heard.listen())).await.unwrap();
    assert_eq!(steps(folder.path()), (0..8).collect::<Vec<_>>());

    let text = fs::read_to_string(folder.path().join("rollouts.jsonl")).unwrap();
    let samples: Vec<RolloutSample> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(samples.len(), 8 * 4);
    let edited: Vec<_> = samples.iter().filter(|sample| sample.origin == "edited").collect();
    assert_eq!(edited.len(), 16);
    assert!(edited.iter().any(|sample| sample.edits.len() == 1 && sample.edits[0].operation == "replace"));

    let checkpoints: Vec<_> = fs::read_dir(folder.path().join("checkpoints")).unwrap().collect();
    assert_eq!(checkpoints.len(), 2);
    let written = heard.events().into_iter().filter(|event| matches!(event, Event::Checkpoint { .. }));
    assert_eq!(written.count(), 8);
    let gains: Vec<f64> = heard.steps().iter().map(|record| record.edit_gain).collect();
    assert!(gains.iter().sum::<f64>() > 0.0, "edits towards the reference gain nothing: {gains:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_holds_another_run_or_cannot_be_written_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    run(pipeline(config(), Trouble::default()).folder(folder.path())).await.unwrap();
    let again = run(pipeline(config(), Trouble::default()).folder(folder.path())).await.unwrap_err();
    assert!(matches!(again, RunError::NotEmpty { .. }), "{again}");

    let file = folder.path().join("a-file");
    fs::write(&file, "").unwrap();
    let error = run(pipeline(config(), Trouble::default()).folder(&file)).await.unwrap_err();
    assert!(error.to_string().contains("a-file"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_stopped_before_its_first_step_ends_at_once() {
    let chain = pipeline(config(), slow()).stop_when(async {});
    let running = chain.start().await.unwrap();
    let stopped = finish(running).await.unwrap();
    assert!(!stopped.finished);
}
