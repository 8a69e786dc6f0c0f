//! The files of a run: what happened, line by line, and the checkpoints.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufRead, BufReader, ErrorKind, Read},
    path::{Path, PathBuf},
};

use addendum_replay::{DeadLetter, PolicyVersion, TicketId};
use addendum_studies::Dataset;
use serde::{Deserialize, Serialize};

use crate::{
    Faults, RolloutSample, RunError, Scores, StepRecord,
    checkpoint::Checkpoint,
    dead_letters,
    disk::UNFINISHED,
    lines::Lines,
    lock::FolderLock,
    recording::{RecordedStep, SAMPLED},
    shelf,
    status::{RunStatus, STATUS},
};

const METRICS: &str = "metrics.jsonl";

pub(crate) struct RunLog {
    folder: PathBuf,
    faults: Faults,
    metrics: Lines,
    rollouts: Lines,
    evaluations: Lines,
    /// Where a run records what it samples, or did before.
    sampled: Option<Lines>,
    checkpoints: PathBuf,
    keep: usize,
    /// How many dead letters the folder has; unknown after a resume.
    letters: Option<usize>,
    _lock: FolderLock,
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

/// How a line of metrics begins, as far as it was written.
const STEP: &[u8] = b"{\"step\":";

impl RunLog {
    /// Where the checkpoints of the run in `folder` are.
    pub fn checkpoints(folder: &Path) -> PathBuf {
        folder.join("checkpoints")
    }

    /// Whether a new run may begin in `folder`: there is none in it yet.
    ///
    /// # Errors
    /// There is one.
    pub fn is_free(folder: &Path) -> Result<(), RunError> {
        let metrics = folder.join(METRICS);
        let written = match fs::metadata(&metrics) {
            Ok(file) => file.len() > 0,
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => return Err(RunError::io(metrics)(error)),
        };
        if written || !shelf::is_empty(&Self::checkpoints(folder))? {
            return Err(RunError::NotEmpty { path: folder.into() });
        }
        Ok(())
    }

    /// Whether there is a run of ours in `folder` that can go on.
    ///
    /// # Errors
    /// There is none.
    pub fn is_ours(folder: &Path) -> Result<(), RunError> {
        let none = |reason| Err(RunError::NoRun { path: folder.into(), reason });
        let metrics = folder.join(METRICS);
        let file = match File::open(&metrics) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return match shelf::is_empty(&Self::checkpoints(folder))? {
                    true => none("it has neither `metrics.jsonl` nor checkpoints"),
                    false => Ok(()),
                };
            }
            Err(error) => return Err(RunError::io(metrics)(error)),
        };
        let mut first = Vec::new();
        // More than any first line of ours.
        let mut reader = BufReader::new(file.take(1 << 20));
        reader.read_until(b'\n', &mut first).map_err(RunError::io(&metrics))?;
        let unfinished = first.last() != Some(&b'\n') && (first.starts_with(STEP) || STEP.starts_with(&first));
        match unfinished || serde_json::from_slice::<Stepped>(&first).is_ok() {
            true => Ok(()),
            false => none("its `metrics.jsonl` is not that of a run"),
        }
    }

    /// Opens the run folder at `folder`, creating what is missing; `records` says whether what is sampled will be written too.
    pub fn open(folder: &Path, keep: usize, records: bool, lock: FolderLock, faults: Faults) -> Result<Self, RunError> {
        let checkpoints = Self::checkpoints(folder);
        fs::create_dir_all(&checkpoints).map_err(RunError::io(&checkpoints))?;
        let open = |name: &str| Lines::open(folder, name);
        Ok(Self {
            folder: folder.into(),
            faults,
            metrics: open(METRICS)?,
            rollouts: open("rollouts.jsonl")?,
            evaluations: open("evaluations.jsonl")?,
            sampled: (records || folder.join(SAMPLED).exists()).then(|| open(SAMPLED)).transpose()?,
            checkpoints,
            keep,
            letters: (!dead_letters::folder(folder).exists()).then_some(0),
            _lock: lock,
        })
    }

    /// Forgets what happened after the checkpoint that is about to be resumed, or everything if there is none; the
    /// evaluations that stay.
    pub fn cut_back(&mut self, checkpoint: Option<PolicyVersion>) -> Result<Vec<(PolicyVersion, Scores)>, RunError> {
        let done = checkpoint.map_or(0, |version| version.0);
        self.metrics.cut(|line: &Stepped| line.step < done)?;
        self.rollouts.cut(|line: &Stepped| line.step < done)?;
        if let Some(sampled) = &mut self.sampled {
            sampled.cut_off(|line: &Stepped| line.step < done)?;
        }
        let evaluations = self.evaluations.cut(|line: &Evaluated| checkpoint.is_some() && line.version <= done)?;
        Ok(evaluations.into_iter().map(|line| (PolicyVersion(line.version), line.scores)).collect())
    }

    /// The steps that are recorded.
    pub fn steps(&self) -> Result<Vec<StepRecord>, RunError> {
        let text = fs::read(&self.metrics.path).map_err(RunError::io(&self.metrics.path))?;
        Ok(text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
    }

    pub fn step(
        &mut self,
        record: &StepRecord,
        samples: &[RolloutSample],
        sampled: Option<&RecordedStep>,
    ) -> Result<(), RunError> {
        self.faults.strike_file("metrics").map_err(RunError::io(&self.metrics.path))?;
        // First of all: a step that is in the metrics can be trained on again.
        if let (Some(file), Some(step)) = (&mut self.sampled, sampled) {
            let lines = step.lines().map_err(|error| RunError::io(&file.path)(error.into()))?;
            file.append_text(&lines)?;
        }
        self.metrics.append([record])?;
        self.rollouts.append(samples)
    }

    pub fn evaluation(&mut self, version: PolicyVersion, scores: &Scores) -> Result<(), RunError> {
        self.evaluations.append([&Evaluated { version: version.0, scores: scores.clone() }])
    }

    pub fn checkpoint(&self, checkpoint: &Checkpoint) -> Result<PathBuf, RunError> {
        self.faults.strike_file("checkpoint").map_err(RunError::io(&self.checkpoints))?;
        // A recording with a hole, as a power cut may leave one, cannot be trained on.
        self.sampled.as_ref().map_or(Ok(()), Lines::sync)?;
        shelf::add(&self.checkpoints, checkpoint, self.keep, &self.faults)
    }

    /// Goes back to the newest checkpoint up to `version`; that one, if there is one.
    pub fn set_back(&self, version: PolicyVersion) -> Result<Option<(PolicyVersion, PathBuf)>, RunError> {
        let newest = shelf::set_back(&self.checkpoints, version.0)?;
        Ok(newest.map(|(version, path)| (PolicyVersion(version), path)))
    }

    /// Replaces the status. It is not worth an error: the next one follows in a second.
    pub fn status(&self, status: &RunStatus) {
        let beside = self.folder.join(format!("{UNFINISHED}{STATUS}"));
        let Ok(text) = serde_json::to_vec(status) else { return };
        if fs::write(&beside, text).is_ok() {
            let _ = fs::rename(beside, self.folder.join(STATUS));
        }
    }

    /// Has these be the dead letters. They only become more, so that as many are the same.
    pub fn dead_letters(
        &mut self,
        dataset: &dyn Dataset,
        letters: &BTreeMap<TicketId, DeadLetter>,
    ) -> Result<(), RunError> {
        if self.letters != Some(letters.len()) {
            dead_letters::write(&self.folder, dataset, letters)?;
            self.letters = Some(letters.len());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: &str = "{\"step\":0}\n{\"step\":1}\n{\"step\":2}\n";

    fn folder_with(metrics: &[u8]) -> (tempfile::TempDir, RunLog) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("metrics.jsonl"), metrics).unwrap();
        let open =
            RunLog::open(folder.path(), 1, false, FolderLock::take(folder.path()).unwrap(), Faults::default()).unwrap();
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

    #[test]
    fn a_line_that_is_none_of_ours_stays() {
        let strange = b"{\"step\":0}\n\xff\xfe notes\n{\"step\":1}\n{\"step\":2}\n";
        let (folder, mut run) = folder_with(strange);
        run.cut_back(Some(PolicyVersion(1))).unwrap();
        assert_eq!(fs::read(folder.path().join("metrics.jsonl")).unwrap(), strange[..20]);
    }

    #[test]
    fn evaluations_up_to_the_checkpoint_stay_and_are_known() {
        let (folder, mut run) = folder_with(STEPS.as_bytes());
        let scores = |score| Scores::from([("score".to_string(), score)]);
        for version in [0, 2, 3] {
            run.evaluation(PolicyVersion(version), &scores(version as f64)).unwrap();
        }
        let kept = run.cut_back(Some(PolicyVersion(2))).unwrap();
        assert_eq!(kept, [(PolicyVersion(0), scores(0.0)), (PolicyVersion(2), scores(2.0))]);
        assert_eq!(fs::read_to_string(folder.path().join("evaluations.jsonl")).unwrap().lines().count(), 2);
        assert_eq!(run.cut_back(None).unwrap(), []);
    }

    #[test]
    fn only_a_folder_that_holds_a_run_can_be_resumed_and_only_one_without_begun() {
        let folder = tempfile::tempdir().unwrap();
        let (path, metrics) = (folder.path(), folder.path().join("metrics.jsonl"));
        let refused = || RunLog::is_ours(path).unwrap_err().to_string();
        assert!(refused().contains("neither"), "{}", refused());
        RunLog::is_free(path).unwrap();
        for foreign in ["epoch,loss\n", "{\"epoch\": 1}\n", "notes"] {
            fs::write(&metrics, foreign).unwrap();
            assert!(refused().contains("not that of a run"), "{foreign}");
            assert!(RunLog::is_free(path).is_err());
        }
        for ours in ["", "{\"st", "{\"step\":0,\"ver", "{\"step\":0}\n{\"step\":"] {
            fs::write(&metrics, ours).unwrap();
            RunLog::is_ours(path).unwrap();
        }
        fs::remove_file(&metrics).unwrap();
        fs::create_dir_all(path.join("checkpoints/step-00000003")).unwrap();
        RunLog::is_ours(path).unwrap();
        assert!(RunLog::is_free(path).is_err());
    }
}
