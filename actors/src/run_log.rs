//! The files of a run: what happened, line by line, and the checkpoints.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
};

use addendum_replay::PolicyVersion;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    RolloutSample, RunError, Scores, StepRecord,
    checkpoint::Checkpoint,
    disk::{UNFINISHED, put_in_place, write_synced},
};

pub(crate) struct RunLog {
    metrics: Lines,
    rollouts: Lines,
    evaluations: Lines,
    checkpoints: PathBuf,
    keep: usize,
}

#[derive(Serialize, Deserialize)]
struct Evaluated {
    version: u64,
    scores: Scores,
}

#[derive(Deserialize)]
struct Stepped {
    step: u64,
}

impl RunLog {
    /// Where the checkpoints of the run in `folder` are.
    pub fn checkpoints(folder: &Path) -> PathBuf {
        folder.join("checkpoints")
    }

    /// Opens the run folder at `folder`, creating what is missing.
    pub fn open(folder: &Path, keep: usize) -> Result<Self, RunError> {
        let checkpoints = Self::checkpoints(folder);
        fs::create_dir_all(&checkpoints).map_err(RunError::io(&checkpoints))?;
        let open = |name: &str| Lines::open(folder, name);
        Ok(Self {
            metrics: open("metrics.jsonl")?,
            rollouts: open("rollouts.jsonl")?,
            evaluations: open("evaluations.jsonl")?,
            checkpoints,
            keep,
        })
    }

    /// Whether the folder holds no run yet.
    pub fn is_new(&self) -> Result<bool, RunError> {
        Ok(self.metrics.is_empty()? && Checkpoint::newest(&self.checkpoints)?.is_none())
    }

    /// Forgets what happened after the checkpoint that is about to be resumed, or everything if there is none.
    pub fn cut_back(&mut self, checkpoint: Option<PolicyVersion>) -> Result<(), RunError> {
        let done = checkpoint.map_or(0, |version| version.0);
        self.metrics.cut(|line: &Stepped| line.step < done)?;
        self.rollouts.cut(|line: &Stepped| line.step < done)?;
        self.evaluations.cut(|line: &Evaluated| checkpoint.is_some() && line.version <= done)
    }

    pub fn step(&mut self, record: &StepRecord, samples: &[RolloutSample]) -> Result<(), RunError> {
        self.metrics.append([record])?;
        self.rollouts.append(samples)
    }

    pub fn evaluation(&mut self, version: PolicyVersion, scores: &Scores) -> Result<(), RunError> {
        self.evaluations.append([&Evaluated { version: version.0, scores: scores.clone() }])
    }

    pub fn checkpoint(&self, checkpoint: &Checkpoint) -> Result<PathBuf, RunError> {
        checkpoint.write(&self.checkpoints, self.keep)
    }
}

/// A file of JSON objects, one per line, that only grows.
struct Lines {
    path: PathBuf,
    /// Where a shorter version of the file is written before it takes the file's place.
    beside: PathBuf,
    file: File,
}

impl Lines {
    fn open(folder: &Path, name: &str) -> Result<Self, RunError> {
        let (path, beside) = (folder.join(name), folder.join(format!("{UNFINISHED}{name}")));
        let file = append_to(&path)?;
        Ok(Self { path, beside, file })
    }

    fn is_empty(&self) -> Result<bool, RunError> {
        Ok(self.file.metadata().map_err(RunError::io(&self.path))?.len() == 0)
    }

    fn append<'a, T: Serialize + 'a>(&mut self, values: impl IntoIterator<Item = &'a T>) -> Result<(), RunError> {
        let mut text = Vec::new();
        for value in values {
            serde_json::to_writer(&mut text, value).map_err(|error| RunError::io(&self.path)(error.into()))?;
            text.push(b'\n');
        }
        self.file.write_all(&text).map_err(RunError::io(&self.path))
    }

    /// Keeps the lines that `keep` wants. A last line that was not finished goes too; it may end anywhere, even within
    /// a character.
    fn cut<T: DeserializeOwned>(&mut self, keep: impl Fn(&T) -> bool) -> Result<(), RunError> {
        let text = fs::read(&self.path).map_err(RunError::io(&self.path))?;
        let lines = text.split(|byte| *byte == b'\n');
        let kept = lines.filter(|line| serde_json::from_slice(line).is_ok_and(|value| keep(&value)));
        let kept: Vec<u8> = kept.flat_map(|line| [line, b"\n"].concat()).collect();
        if kept != text {
            write_synced(&self.beside, &kept)?;
            put_in_place(&self.beside, &self.path)?;
            self.file = append_to(&self.path)?;
        }
        Ok(())
    }
}

fn append_to(path: &Path) -> Result<File, RunError> {
    OpenOptions::new().create(true).append(true).open(path).map_err(RunError::io(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: &str = "{\"step\":0}\n{\"step\":1}\n{\"step\":2}\n";

    fn folder_with(metrics: &[u8]) -> (tempfile::TempDir, RunLog) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("metrics.jsonl"), metrics).unwrap();
        let open = RunLog::open(folder.path(), 1).unwrap();
        (folder, open)
    }

    #[test]
    fn a_last_line_that_ends_anywhere_goes_and_the_next_one_starts_afresh() {
        let unfinished = "{\"step\":2,\"actor\":\"größer\"}\n".as_bytes();
        for end in 0..unfinished.len() {
            let (folder, mut run) = folder_with(&[&STEPS.as_bytes()[..22], &unfinished[..end]].concat());
            run.cut_back(Some(PolicyVersion(2))).unwrap();
            run.metrics.append([&serde_json::json!({"step": 2})]).unwrap();
            let text = fs::read_to_string(folder.path().join("metrics.jsonl")).unwrap();
            assert_eq!(text, STEPS, "cut after {end} bytes");
        }
    }

    #[test]
    fn a_complete_last_line_without_its_end_is_kept_and_ended() {
        let (folder, mut run) = folder_with(STEPS.trim_end().as_bytes());
        run.cut_back(Some(PolicyVersion(3))).unwrap();
        run.metrics.append([&serde_json::json!({"step": 3})]).unwrap();
        let text = fs::read_to_string(folder.path().join("metrics.jsonl")).unwrap();
        assert_eq!(text, format!("{STEPS}{{\"step\":3}}\n"));
    }

    #[test]
    fn the_history_is_whole_on_disk_until_the_shorter_one_is() {
        let (folder, mut run) = folder_with(STEPS.as_bytes());
        // Another name of the same file shows whether it was written to.
        let witness = folder.path().join("witness");
        fs::hard_link(folder.path().join("metrics.jsonl"), &witness).unwrap();
        run.cut_back(Some(PolicyVersion(1))).unwrap();
        assert_eq!(fs::read_to_string(&witness).unwrap(), STEPS);
        assert_eq!(fs::read_to_string(folder.path().join("metrics.jsonl")).unwrap(), "{\"step\":0}\n");
        assert!(!folder.path().join(".unfinished-metrics.jsonl").exists());
    }

    #[test]
    fn a_cut_that_cannot_be_written_leaves_the_history_as_it_was() {
        let (folder, mut run) = folder_with(STEPS.as_bytes());
        fs::create_dir(folder.path().join(".unfinished-metrics.jsonl")).unwrap();
        let error = run.cut_back(Some(PolicyVersion(1))).unwrap_err().to_string();
        assert!(error.contains("metrics.jsonl"), "{error}");
        assert_eq!(fs::read_to_string(folder.path().join("metrics.jsonl")).unwrap(), STEPS);
    }
}
