//! Law 7 as it is meant: processes that are killed, at random instants and in the middle of writing a checkpoint.

use std::{
    env, fs,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, SystemTime},
};

use addendum_actors::{Faults, RunConfig};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::common::{Trouble, calm, config, pipeline, run};

const FOLDER: &str = "ADDENDUM_KILLED_RUN";
const FAULTS: &str = "ADDENDUM_KILLED_FAULTS";
const WEIGHTS: &str = "weights";
const KILLS: u32 = 20;
const ABORTED: i32 = 6;
/// Makes the writing of checkpoints about half of what a process does, so that kills fall into it.
const SLOW_CHECKPOINTS: &str = "checkpoint.file=slow@0.2";

fn settings() -> RunConfig {
    RunConfig { steps: 30, samplers: 2, checkpoint_every: 1, ..config() }
}

/// What the processes do that are killed: begin the run in the folder, or go on with it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a process of the tests beside it"]
async fn child() {
    let Some(folder) = env::var_os(FOLDER) else { return };
    let folder = Path::new(&folder);
    let trouble = Trouble { delay: Duration::from_millis(12), ..Trouble::default() };
    let faults = Faults::parse(&env::var(FAULTS).unwrap_or_default(), 0).unwrap();
    let chain = pipeline(settings(), trouble).folder(folder).faults(faults);
    let begun = folder.join("metrics.jsonl").exists();
    let summary = run(if begun { chain.resume() } else { chain }).await.unwrap();
    fs::write(folder.join(WEIGHTS), summary.snapshot.bytes()).unwrap();
}

fn start(folder: &Path, faults: &str) -> Child {
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["killing::child", "--exact", "--ignored"]).env(FOLDER, folder).env(FAULTS, faults);
    child.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Whether a process that began at this time left a checkpoint that it was writing.
fn left_a_checkpoint_unfinished(folder: &Path, begun: SystemTime) -> bool {
    let unfinished = |entry: fs::DirEntry| {
        let written = entry.metadata().and_then(|entry| entry.modified());
        entry.file_name().to_string_lossy().starts_with(".unfinished") && written.is_ok_and(|at| at >= begun)
    };
    fs::read_dir(folder.join("checkpoints")).into_iter().flatten().flatten().any(unfinished)
}

/// Lets the run end; whether its weights are the expected ones.
fn ends_in(expected: &[u8], folder: &Path) -> bool {
    assert!(start(folder, "").wait().unwrap().success(), "{} does not end", folder.display());
    fs::read(folder.join(WEIGHTS)).unwrap() == expected
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_killed_at_twenty_random_instants_ends_in_the_same_weights() {
    let expected = calm(settings()).await;
    let mut rng = ChaCha8Rng::seed_from_u64(20);
    let (mut kills, mut in_a_checkpoint, mut lives) = (0, 0, 0);
    while kills < KILLS {
        let folder = tempfile::tempdir().unwrap();
        while kills < KILLS {
            lives += 1;
            assert!(lives < 20 * KILLS, "processes end before they are killed");
            let (begun, mut child) = (SystemTime::now(), start(folder.path(), SLOW_CHECKPOINTS));
            thread::sleep(Duration::from_millis(rng.random_range(20..700)));
            if child.try_wait().unwrap().is_some() {
                // It was over before: another run.
                break;
            }
            child.kill().unwrap();
            child.wait().unwrap();
            kills += 1;
            in_a_checkpoint += u32::from(left_a_checkpoint_unfinished(folder.path(), begun));
        }
        assert!(ends_in(&expected, folder.path()), "after {kills} kills, {in_a_checkpoint} of them in a checkpoint");
    }
    assert!(in_a_checkpoint > 0, "none of {kills} kills fell into a checkpoint");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_in_the_middle_of_a_checkpoint_ends_in_the_same_weights() {
    let (expected, folder) = (calm(settings()).await, tempfile::tempdir().unwrap());
    for fault in [
        "checkpoint=abort#2",
        "checkpoint.file=abort#1",
        "checkpoint.file=abort#2",
        "checkpoint.file=abort#8",
        "checkpoint.rename=abort#1",
        "checkpoint.rename=abort#3",
        "checkpoint.prune=abort#1",
        "checkpoint.prune=abort#3",
        "metrics=abort#2",
        "learner=abort#2",
        "publish=abort#2",
    ] {
        let status = start(folder.path(), fault).wait().unwrap();
        assert_eq!(status.signal(), Some(ABORTED), "{fault}: {status}");
    }
    assert!(ends_in(&expected, folder.path()));
}
