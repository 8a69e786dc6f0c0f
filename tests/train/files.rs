//! Files that fail a run under way: it goes on without them, or ends with their name and is gone on with once they are
//! back.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;

use crate::common::{adapter, addendum, bare, checkpoints, finished, resumed, wait_for_checkpoints};

/// So slow that it is not over before it is disturbed.
const SLOW: [&str; 2] = ["--fault", "learner=slow@1,publish=slow@1"];
const STEPS: [&str; 2] = ["--set", "run.steps=12"];

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Starts the run, and disturbs it once it has two checkpoints.
fn disturbed(command: &mut Command, run: &Path, disturb: impl FnOnce()) -> Output {
    let mut child = command.args(SLOW).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for_checkpoints(2, run, &mut child);
    disturb();
    child.wait_with_output().unwrap()
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_folder_that_became_read_only_ends_the_run_with_its_name_and_it_is_gone_on_with() {
    const NOBODY: u32 = 65534;
    let dir = tempfile::tempdir().unwrap();
    let (whole, run) = (dir.path().join("whole"), dir.path().join("run"));
    finished(&mut bare(&whole, &STEPS));
    let mut command = bare(&run, &STEPS);
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        // The superuser may write everywhere.
        set_mode(dir.path(), 0o755);
        fs::create_dir(&run).unwrap();
        chown(&run, Some(NOBODY), Some(NOBODY)).unwrap();
        command.uid(NOBODY).gid(NOBODY);
    }
    let folder = run.join("checkpoints");
    let output = disturbed(&mut command, &run, || set_mode(&folder, 0o555));
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    for part in [&format!("{}/", folder.display()), "Permission denied"] {
        assert!(said(&output).contains(part), "{}", said(&output));
    }
    assert!(!checkpoints(&run).is_empty());

    set_mode(&folder, 0o755);
    finished(&mut resumed(&run));
    assert!(adapter(&run) == adapter(&whole), "another adapter");
}

#[test]
fn a_file_that_cannot_grow_ends_the_run_with_its_name_and_it_is_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, run) = (dir.path().join("whole"), dir.path().join("run"));
    finished(&mut bare(&whole, &STEPS));
    let mut child = bare(&run, &STEPS).args(SLOW).stderr(Stdio::null()).spawn().unwrap();
    wait_for_checkpoints(2, &run, &mut child);
    child.kill().unwrap();
    child.wait().unwrap();

    let learner = checkpoints(&run)[0].join("learner.bin");
    let half = fs::metadata(learner).unwrap().len() / 2;
    for (bytes, file, status) in [(half, "learner.bin", 1), (512, "config.toml", 2)] {
        // In place of a full disk; without the signal that a process would die of.
        let limited = format!("trap '' 25; ulimit -f {}; exec \"$0\" \"$@\"", bytes / 512);
        let mut command = Command::new("sh");
        command.args(["-c", &limited, env!("CARGO_BIN_EXE_addendum"), "train", "--resume"]).arg(&run);
        let output = command.args(["--set", "run.recorded_groups=0"]).current_dir(env!("CARGO_MANIFEST_DIR")).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(status), "{}", said(&output));
        assert!(said(&output).contains(file) && said(&output).contains("too large"), "{}", said(&output));
        assert!(!checkpoints(&run).is_empty());
    }
    finished(&mut resumed(&run));
    assert!(adapter(&run) == adapter(&whole), "another adapter");
}

/// Phantoms in a folder of their own, and the settings of a run on them.
fn folder_of_studies(dir: &Path) -> (PathBuf, PathBuf) {
    let (studies, settings) = (dir.join("studies"), dir.join("settings.toml"));
    finished(addendum().args(["phantoms", "--studies", "40", "--out"]).arg(&studies));
    let text = format!(
        "data.folder = {studies:?}\npolicy.path = \"examples/checkpoints/phantom-tiny\"\nsampling.max_new_tokens = 32\n\
         evaluation.tests = false\n\
         [run]\nsteps = 20\nbatch_groups = 2\ngroup_size = 4\ncheckpoint_every = 1\nprefetch = 0\n"
    );
    fs::write(&settings, text).unwrap();
    (studies, settings)
}

fn over(settings: &Path, run: &Path) -> Command {
    let mut command = addendum();
    command.args(["train", "--config"]).arg(settings).arg("--out").arg(run);
    command
}

#[test]
fn images_that_vanish_cost_their_studies_and_not_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let (studies, settings) = folder_of_studies(dir.path());
    let run = dir.path().join("run");
    let output = disturbed(&mut over(&settings, &run), &run, || {
        for study in (0..40).step_by(3) {
            fs::remove_file(studies.join(format!("images/train/{study:06}_0.png"))).unwrap();
        }
    });
    assert!(output.status.success(), "{}", said(&output));
    let read = |name: &str| fs::read_to_string(run.join(name)).unwrap();
    assert_eq!(read("metrics.jsonl").lines().count(), 20);
    let letters: Vec<Value> = serde_json::from_str(&read("dead_letters/unreadable.json")).unwrap();
    assert!(!letters.is_empty());
    for letter in &letters {
        let (index, error) = (&letter["dead_letter"]["index"], letter["dead_letter"]["error"].as_str().unwrap());
        assert_eq!(index.as_u64().unwrap() % 3, 0, "{letter}");
        assert!(error.contains(&format!("images/train/{:06}_0.png", index.as_u64().unwrap())), "{error}");
    }
    assert!(!adapter(&run).is_empty());
}

#[test]
fn a_list_of_studies_that_changes_ends_the_run_and_it_is_gone_on_with_once_the_list_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let (studies, settings) = folder_of_studies(dir.path());
    let (whole, run, list) = (dir.path().join("whole"), dir.path().join("run"), studies.join("train.json"));
    // No step has a study from before and one from after.
    let one = ["--set", "run.batch_groups=1"];
    finished(over(&settings, &whole).args(one));
    let text = fs::read_to_string(&list).unwrap();
    let other = text.replace("conversations", "conversations ");
    let output = disturbed(over(&settings, &run).args(one), &run, || fs::write(&list, &other).unwrap());
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    for part in ["train.json", "was changed since the studies were listed", "were given up one after the other"] {
        assert!(said(&output).contains(part), "{}", said(&output));
    }
    let refused = resumed(&run).output().unwrap();
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    assert!(said(&refused).contains("data"), "{}", said(&refused));

    fs::write(&list, text).unwrap();
    finished(&mut resumed(&run));
    assert!(adapter(&run) == adapter(&whole), "another adapter");
}
