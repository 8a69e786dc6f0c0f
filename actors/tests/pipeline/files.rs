//! Files of a run that go, or are others, while it is under way: it recovers, or ends with the name of what it misses and
//! a checkpoint to go on from.

use std::{
    fs,
    path::{Path, PathBuf},
};

use addendum_actors::{Event, Pipeline, RunError, RunSummary};

use crate::common::{Trouble, Weights, calm, config, pipeline, run};

/// The chain in this folder, with what is done to it as soon as the first checkpoint, of step 3, is written.
fn disturbed(folder: &Path, disturb: impl Fn(&Path) + Send + 'static) -> Pipeline<Weights> {
    let place = folder.to_path_buf();
    let ear = move |event: &Event| {
        if matches!(event, Event::Checkpoint { version, .. } if version.0 == 3) {
            disturb(&place);
        }
    };
    pipeline(config(), Trouble::default()).folder(folder).observer(ear)
}

async fn resumed(folder: &Path) -> RunSummary<Weights> {
    run(pipeline(config(), Trouble::default()).folder(folder).resume()).await.unwrap()
}

fn newest(folder: &Path) -> PathBuf {
    folder.join("checkpoints/step-00000008/manifest.json")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_no_longer_be_written_ends_the_run_with_its_name_and_the_checkpoint_from_before_is_gone_on_from() {
    let expected = calm(config()).await;
    for name in ["checkpoints", "metrics.jsonl", "rollouts.jsonl"] {
        let dir = tempfile::tempdir().unwrap();
        let (folder, aside) = (dir.path(), dir.path().join("aside"));
        let there = aside.clone();
        let error = run(disturbed(folder, move |folder| {
            fs::rename(folder.join(name), &there).unwrap();
            fs::write(folder.join(name), "somebody else's").unwrap();
        }));
        let error = error.await.unwrap_err();
        assert!(matches!(error, RunError::Io { .. }) && error.to_string().contains(name), "{error}");
        assert_eq!(fs::read_to_string(folder.join(name)).unwrap(), "somebody else's");

        fs::rename(folder.join(name), folder.join("theirs")).unwrap();
        fs::rename(aside, folder.join(name)).unwrap();
        assert_eq!(resumed(folder).await.snapshot.bytes(), expected, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_folder_was_moved_ends_and_is_gone_on_with_where_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, moved) = (dir.path().join("run"), dir.path().join("moved"));
    let there = moved.clone();
    let error = run(disturbed(&folder, move |folder| fs::rename(folder, &there).unwrap())).await.unwrap_err();
    assert!(matches!(error, RunError::Io { .. }) && error.to_string().contains("run/metrics.jsonl"), "{error}");
    assert!(!folder.exists(), "it was made anew");
    assert_eq!(resumed(&moved).await.snapshot.bytes(), calm(config()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_folder_was_removed_ends_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("run");
    let error = run(disturbed(&folder, |folder| fs::remove_dir_all(folder).unwrap())).await.unwrap_err();
    assert!(matches!(error, RunError::Io { .. }) && error.to_string().contains("run/metrics.jsonl"), "{error}");
    assert!(!folder.exists(), "it was made anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_that_were_removed_are_missed_by_nobody_but_a_resume() {
    let folder = tempfile::tempdir().unwrap();
    let remove = |folder: &Path| fs::remove_dir_all(folder.join("checkpoints")).unwrap();
    let summary = run(disturbed(folder.path(), remove)).await.unwrap();
    assert!(summary.finished && newest(folder.path()).exists());
    assert_eq!(summary.snapshot.bytes(), calm(config()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_others_among_the_checkpoints_are_no_hindrance_and_stay() {
    let folder = tempfile::tempdir().unwrap();
    let others = ["notes.txt", "step-00000006", "step-x", "lost+found/file"];
    let add = move |folder: &Path| {
        let checkpoints = folder.join("checkpoints");
        fs::create_dir(checkpoints.join("lost+found")).unwrap();
        others.iter().for_each(|name| fs::write(checkpoints.join(name), "theirs").unwrap());
        // In the way of what is about to be written.
        fs::write(checkpoints.join(".unfinished-step-00000008"), "theirs").unwrap();
    };
    let summary = run(disturbed(folder.path(), add)).await.unwrap();
    assert!(summary.finished && newest(folder.path()).exists());
    assert!(folder.path().join("checkpoints/step-00000006/manifest.json").exists());
    for name in ["notes.txt", "damaged-1-step-00000006", "step-x", "lost+found/file"] {
        assert_eq!(fs::read_to_string(folder.path().join("checkpoints").join(name)).unwrap(), "theirs", "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_come_with_checkpoints_and_are_those_of_the_run_and_not_of_a_former_life() {
    let trouble = || Trouble { unreadable: vec!["study-3".into()], ..Trouble::default() };
    let folder = tempfile::tempdir().unwrap();
    let letters = folder.path().join("dead_letters/train.json");
    let seen = letters.clone();
    let (ear, heard) = std::sync::mpsc::channel();
    let listen = move |event: &Event| {
        if let Event::Checkpoint { version, .. } = event {
            ear.send((version.0, seen.exists())).unwrap();
        }
    };
    // Study 3 is among the seven of the first three steps.
    run(pipeline(config(), trouble()).folder(folder.path()).observer(listen)).await.unwrap();
    assert_eq!(heard.iter().collect::<Vec<_>>(), [(3, false), (6, true), (8, true)]);
    assert!(fs::read_to_string(&letters).unwrap().contains("study-3"));

    // Gone back to before it was given up, and it can be read now.
    fs::remove_dir_all(folder.path().join("checkpoints")).unwrap();
    assert!(resumed(folder.path()).await.dead_letters.is_empty());
    assert_eq!(fs::read_to_string(&letters).unwrap(), "[]");
}
