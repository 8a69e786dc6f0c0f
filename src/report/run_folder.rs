//! The folder of a run: made only where nothing is lost by it, with the configuration and the results of the run.
//!
//! Steps, rollouts, evaluations and checkpoints are written into it by the run itself
//! ([`Pipeline::folder`](addendum_actors::Pipeline::folder)).

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::ReportError;

const README: &str = "\
# A run of Addendum

| file | what is in it |
|:--|:--|
| `config.toml` | every setting, defaults included |
| `skipped.jsonl` | entries of the dataset that `data.skip_bad` left out, if any, with file, line and reasons |
| `metrics.jsonl` | one line per training step |
| `sampled.jsonl` | every sampled report with its tokens, if `run.record_sampled` is on; `train --replay` reads it |
| `rollouts.jsonl` | some rollouts of each step: reports, edits, rewards |
| `evaluations.jsonl` | scores on held-out studies by policy version |
| `events.jsonl` | what happened besides: restarts, checkpoints, evaluations, faults, with step and time |
| `timeline.json` | what the actors did in the first steps; ui.perfetto.dev opens it too |
| `status.json` | how the run stands, or how it ended |
| `tensorboard/` | event files, if `telemetry.tensorboard` is on |
| `adapters-published/` | policy versions for vLLM servers, unless `sampler.vllm.adapters_folder` names another place |
| `checkpoints/` | what is needed to resume |
| `dead_letters/` | studies that were given up, with the reason, as a dataset folder |
| `adapter/` | the trained adapter in PEFT's format |
| `best/` | the adapter with the best held-out score, if `evaluation.keep_best` names one |
| `plots/` | curves, drawn from `metrics.jsonl` |
| `results.md` | the scores before and after, as tables |
| `summary.json` | the same scores, and further ones |
| `tests.jsonl` | one line per test study: its reference, the reports before and after, their scores |
| `report.html` | all of this as one page; `addendum report` makes it again |
";

const README_FILE: &str = "README.md";

/// A folder that belongs to one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// Makes the folder and those above it.
    ///
    /// # Errors
    /// There is a file of that name, the folder holds something already (other than the README of a run that could not
    /// start), or it cannot be written to.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self, ReportError> {
        let path = path.into();
        make(&path)?;
        free(&path)?;
        probe(&path)?;
        let folder = Self { path };
        folder.write(README_FILE, README.as_bytes())?;
        Ok(folder)
    }

    /// Whether [`RunFolder::create`] would make this folder: the folder itself if it is there, or the one above that it
    /// would be made in. Nothing is made.
    ///
    /// # Errors
    /// As [`RunFolder::create`].
    pub fn check(path: &Path) -> Result<PathBuf, ReportError> {
        let whole = std::path::absolute(path).map_err(ReportError::io(path))?;
        let there = whole.ancestors().find(|above| above.exists()).unwrap_or(&whole);
        if whole.is_file() {
            return Err(ReportError::NotAFolder { path: path.into() });
        }
        if whole.exists() {
            free(path)?;
        }
        probe(there)?;
        Ok(there.into())
    }

    /// The folder of an earlier run, to go on with it.
    ///
    /// # Errors
    /// There is no such folder, or it cannot be written to.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, ReportError> {
        let path = path.into();
        if path.is_file() {
            return Err(ReportError::NotAFolder { path });
        }
        fs::read_dir(&path).map_err(ReportError::io(&path))?;
        probe(&path)?;
        Ok(Self { path })
    }

    /// Makes the first of `parent/name-1`, `parent/name-2`, … that is not there yet.
    ///
    /// # Errors
    /// As [`RunFolder::create`].
    pub fn numbered(parent: &Path, name: &str) -> Result<Self, ReportError> {
        make(parent)?;
        for path in numbered(parent, name) {
            // Making the last folder alone fails if somebody else was faster.
            match fs::create_dir(&path) {
                Ok(()) => return Self::create(path),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(reason) => return Err(ReportError::NotWritable { path, reason }),
            }
        }
        Err(ReportError::NotEmpty { path: parent.into(), found: name.into() })
    }

    /// The folder that [`RunFolder::numbered`] would make if it were called now.
    pub fn next(parent: &Path, name: &str) -> PathBuf {
        numbered(parent, name).find(|path| !path.exists()).unwrap_or_else(|| parent.into())
    }

    /// Where the run's files are.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes `config.json`.
    ///
    /// # Errors
    /// The value cannot be written as JSON, or not at all.
    pub fn config(&self, config: &impl Serialize) -> Result<PathBuf, ReportError> {
        self.json("config.json", config)
    }

    /// Writes `summary.json`.
    ///
    /// # Errors
    /// As [`RunFolder::config`].
    pub fn summary(&self, summary: &impl Serialize) -> Result<PathBuf, ReportError> {
        self.json("summary.json", summary)
    }

    /// Writes any value as JSON.
    ///
    /// # Errors
    /// As [`RunFolder::config`].
    pub fn json(&self, name: &str, value: &impl Serialize) -> Result<PathBuf, ReportError> {
        let mut text = serde_json::to_vec_pretty(value)
            .map_err(|reason| ReportError::Json { path: self.path.join(name), reason })?;
        text.push(b'\n');
        self.write(name, &text)
    }

    /// Writes a file, as a whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, ReportError> {
        let path = self.path.join(name);
        let unfinished = self.path.join(format!(".{name}.unfinished"));
        let written = File::create(&unfinished).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)
        });
        written.map_err(ReportError::io(&path))?;
        Ok(path)
    }
}

fn numbered(parent: &Path, name: &str) -> impl Iterator<Item = PathBuf> {
    (1u32..).map(move |number| parent.join(format!("{name}-{number}")))
}

/// Refuses a folder that holds anything but the README of a run that could not start.
fn free(path: &Path) -> Result<(), ReportError> {
    for entry in fs::read_dir(path).map_err(ReportError::io(path))? {
        let entry = entry.map_err(ReportError::io(path))?;
        let found = entry.file_name().to_string_lossy().into_owned();
        if found != README_FILE || fs::read(entry.path()).map_err(ReportError::io(entry.path()))? != README.as_bytes() {
            return Err(ReportError::NotEmpty { path: path.into(), found });
        }
    }
    Ok(())
}

fn make(path: &Path) -> Result<(), ReportError> {
    if path.is_file() {
        return Err(ReportError::NotAFolder { path: path.into() });
    }
    fs::create_dir_all(path).map_err(|reason| ReportError::NotWritable { path: path.into(), reason })
}

/// Finds out by writing: permissions alone do not tell of full or read-only disks.
fn probe(path: &Path) -> Result<(), ReportError> {
    let file = path.join(".writable");
    let written = File::create(&file).and_then(|mut probe| probe.write_all(b"?")).and_then(|()| fs::remove_file(&file));
    written.map_err(|reason| ReportError::NotWritable { path: path.into(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_anything_in_it_is_refused_and_left_alone() {
        let parent = tempfile::tempdir().unwrap();
        fs::write(parent.path().join("thesis.tex"), "").unwrap();
        let message = RunFolder::create(parent.path()).unwrap_err().to_string();
        assert!(message.contains("not empty (it holds thesis.tex)"), "{message}");
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_of_a_run_that_never_started_is_taken_and_a_foreign_readme_is_not() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("run");
        let folder = RunFolder::create(&path).unwrap();
        assert_eq!(RunFolder::create(&path).unwrap(), folder);
        fs::write(path.join("README.md"), "My notes").unwrap();
        assert!(RunFolder::create(&path).unwrap_err().to_string().contains("it holds README.md"));
        assert_eq!(fs::read_to_string(path.join("README.md")).unwrap(), "My notes");
    }

    #[test]
    fn a_check_says_what_making_a_folder_would_and_makes_nothing() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        assert_eq!(RunFolder::check(&path).unwrap(), parent.path());
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
        RunFolder::create(&path).unwrap();
        assert_eq!(RunFolder::check(&path).unwrap(), path);
        fs::write(path.join("thesis.tex"), "").unwrap();
        for taken in [path.clone(), path.join("thesis.tex"), path.join("thesis.tex/run")] {
            assert!(RunFolder::check(&taken).is_err() && RunFolder::create(&taken).is_err(), "{}", taken.display());
        }
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("taken");
        fs::write(&file, "").unwrap();
        for error in [RunFolder::create(&file), RunFolder::open(&file)] {
            assert!(error.unwrap_err().to_string().contains("taken is a file, expected a folder"));
        }
        let below = RunFolder::create(file.join("run")).unwrap_err().to_string();
        assert!(below.contains("taken/run is not writable"), "{below}");
    }

    #[test]
    fn numbers_continue_where_they_ended() {
        let parent = tempfile::tempdir().unwrap();
        let runs = parent.path().join("runs");
        for number in 1..=3 {
            assert_eq!(RunFolder::next(&runs, "editgrpo"), runs.join(format!("editgrpo-{number}")));
            let folder = RunFolder::numbered(&runs, "editgrpo").unwrap();
            assert_eq!(folder.path(), runs.join(format!("editgrpo-{number}")));
        }
    }

    #[test]
    fn what_is_written_can_be_read_and_nothing_else_remains() {
        let parent = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(parent.path().join("a/b")).unwrap();
        folder.config(&[1, 2]).unwrap();
        let path = folder.config(&[3]).unwrap();
        assert_eq!(serde_json::from_slice::<Vec<u8>>(&fs::read(path).unwrap()).unwrap(), [3]);
        let mut names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["README.md", "config.json"]);
        assert_eq!(RunFolder::open(folder.path()).unwrap(), folder);
        assert!(RunFolder::open(parent.path().join("missing")).is_err());
    }
}
