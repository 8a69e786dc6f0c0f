//! Short runs of the program.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

/// A short run of the built-in benchmark.
const SHORT: [&str; 12] = [
    "--set",
    "run.steps=6",
    "--set",
    "learner.schedule.warmup_steps=3",
    "--set",
    "run.batch_groups=2",
    "--set",
    "run.checkpoint_every=1",
    "--set",
    "data.phantoms.held_out=8",
    "--set",
    "evaluation.studies=8",
];

pub fn addendum() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_addendum"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
    command
}

pub fn train(out: &Path, more: &[&str]) -> Command {
    let mut command = addendum();
    command.args(["train", "--config", "configs/phantoms.toml", "--out"]).arg(out).args(SHORT).args(more);
    command
}

/// A short run without evaluations.
pub fn bare(out: &Path, more: &[&str]) -> Command {
    let mut command = train(out, &["--set", "evaluation.tests=false"]);
    command.args(more);
    command
}

pub fn resumed(run: &Path) -> Command {
    let mut command = addendum();
    command.args(["train", "--resume"]).arg(run);
    command
}

pub fn finished(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

pub fn adapter(run: &Path) -> Vec<u8> {
    fs::read(run.join("adapter/adapter_model.safetensors")).unwrap()
}

/// Whole checkpoints of a run.
pub fn checkpoints(run: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(run.join("checkpoints")).into_iter().flatten().flatten();
    let in_place = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("step-"));
    in_place.map(|entry| entry.path()).filter(|path| path.join("manifest.json").exists()).collect()
}

/// Waits until the run has so many checkpoints.
pub fn wait_for_checkpoints(count: usize, run: &Path, child: &mut Child) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while checkpoints(run).len() < count {
        assert!(Instant::now() < deadline, "no checkpoint was written");
        assert!(child.try_wait().unwrap().is_none(), "the run was over before it had {count} checkpoints");
        thread::sleep(Duration::from_millis(5));
    }
}
