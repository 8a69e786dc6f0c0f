//! Checkpoints on disk: whole, or not there.
//!
//! A checkpoint is a folder `step-<version>` that holds `gate.json`, `learner.bin`, one `snapshot-<version>.bin` per
//! policy version that may still be sampled with, and `manifest.json`, which names them all with size and checksum.
//! It is written beside its place, synced, and renamed into it; reading one checks everything before anything is used.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use addendum_replay::{GateState, PolicyVersion};
use serde::{Deserialize, Serialize};

use crate::{
    RunConfig, RunError,
    disk::{UNFINISHED, put_in_place, remove, sync, write_synced},
};

const FORMAT: u32 = 1;
const MANIFEST: &str = "manifest.json";
const GATE: &str = "gate.json";
const LEARNER: &str = "learner.bin";

/// Everything a run needs to continue bit for bit (in fixed-lag mode).
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    pub config: RunConfig,
    pub gate: GateState,
    /// What [`Learner::save`](crate::Learner::save) gave.
    pub learner: Vec<u8>,
    /// What [`Learner::write_snapshot`](crate::Learner::write_snapshot) gave, by version.
    pub snapshots: BTreeMap<PolicyVersion, Vec<u8>>,
}

#[derive(Serialize, Deserialize)]
struct Manifest {
    format: u32,
    config: RunConfig,
    files: BTreeMap<String, Entry>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Entry {
    bytes: u64,
    /// 64-bit FNV-1a, in hexadecimal. It finds damage, not malice.
    fnv1a: String,
}

impl Entry {
    fn of(content: &[u8]) -> Self {
        let hash = content
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
        Self { bytes: content.len() as u64, fnv1a: format!("{hash:016x}") }
    }
}

impl Checkpoint {
    /// Writes the checkpoint into `folder` and removes all but the newest `keep` ones. One of the same version that is
    /// already there is left as it is.
    ///
    /// # Errors
    /// Names the path that could not be written. What was there before is untouched.
    pub fn write(&self, folder: &Path, keep: usize) -> Result<PathBuf, RunError> {
        let name = format!("step-{:08}", self.gate.version.0);
        let (place, beside) = (folder.join(&name), folder.join(format!("{UNFINISHED}{name}")));
        if place.exists() {
            return Ok(place);
        }
        remove(&beside)?;
        fs::create_dir_all(&beside).map_err(RunError::io(&beside))?;
        let mut files = BTreeMap::new();
        for (name, content) in self.files(&beside)? {
            files.insert(name.clone(), Entry::of(&content));
            write_synced(&beside.join(name), &content)?;
        }
        let manifest = Manifest { format: FORMAT, config: self.config.clone(), files };
        let manifest = to_json(&manifest, &beside)?;
        write_synced(&beside.join(MANIFEST), &manifest)?;
        sync(&beside)?;
        put_in_place(&beside, &place)?;
        let complete = list(folder)?;
        for (_, old) in complete.iter().take(complete.len().saturating_sub(keep)) {
            remove(old)?;
        }
        Ok(place)
    }

    fn files(&self, path: &Path) -> Result<Vec<(String, Vec<u8>)>, RunError> {
        let mut files =
            vec![(GATE.to_string(), to_json(&self.gate, path)?), (LEARNER.to_string(), self.learner.clone())];
        files.extend(self.snapshots.iter().map(|(version, bytes)| (snapshot_name(*version), bytes.clone())));
        Ok(files)
    }

    /// The newest complete checkpoint in `folder`; `None` if there is none.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn newest(folder: &Path) -> Result<Option<PathBuf>, RunError> {
        if !folder.exists() {
            return Ok(None);
        }
        Ok(list(folder)?.pop().map(|(_, path)| path))
    }

    /// Reads the checkpoint at `path`, all of it.
    ///
    /// # Errors
    /// Names the checkpoint and the file in it that is missing, damaged or not understood.
    pub fn read(path: &Path) -> Result<Self, RunError> {
        let refuse = |reason: String| RunError::checkpoint(path, reason);
        let read = |name: &str| fs::read(path.join(name)).map_err(|error| refuse(format!("`{name}`: {error}")));
        let manifest: Manifest = serde_json::from_slice(&read(MANIFEST)?)
            .map_err(|error| refuse(format!("`{MANIFEST}` is damaged: {error}")))?;
        if manifest.format != FORMAT {
            return Err(refuse(format!("`{MANIFEST}` has format {}, expected {FORMAT}", manifest.format)));
        }
        let mut files = BTreeMap::new();
        for (name, expected) in &manifest.files {
            let content = read(name)?;
            let found = Entry::of(&content);
            if found != *expected {
                return Err(refuse(format!(
                    "`{name}` is damaged: {} bytes with checksum {}, expected {} bytes with {}",
                    found.bytes, found.fnv1a, expected.bytes, expected.fnv1a
                )));
            }
            files.insert(name.clone(), content);
        }
        let mut take = |name: &str| files.remove(name).ok_or_else(|| refuse(format!("`{MANIFEST}` lacks `{name}`")));
        let gate = serde_json::from_slice(&take(GATE)?).map_err(|error| refuse(format!("`{GATE}`: {error}")))?;
        let learner = take(LEARNER)?;
        let mut snapshots = BTreeMap::new();
        for (name, content) in files {
            let version =
                snapshot_version(&name).ok_or_else(|| refuse(format!("`{MANIFEST}` names the unknown `{name}`")))?;
            snapshots.insert(version, content);
        }
        Ok(Self { config: manifest.config, gate, learner, snapshots })
    }
}

fn snapshot_name(version: PolicyVersion) -> String {
    format!("snapshot-{:08}.bin", version.0)
}

fn snapshot_version(name: &str) -> Option<PolicyVersion> {
    name.strip_prefix("snapshot-")?.strip_suffix(".bin")?.parse().ok().map(PolicyVersion)
}

/// Complete checkpoints, oldest first.
fn list(folder: &Path) -> Result<Vec<(u64, PathBuf)>, RunError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(RunError::io(folder))? {
        let path = entry.map_err(RunError::io(folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(version) = name.strip_prefix("step-").and_then(|version| version.parse().ok()) {
            found.push((version, path));
        }
    }
    found.sort();
    Ok(found)
}

fn to_json(value: &impl Serialize, path: &Path) -> Result<Vec<u8>, RunError> {
    serde_json::to_vec_pretty(value).map_err(|error| RunError::checkpoint(path, error))
}

#[cfg(test)]
mod tests {
    use addendum_replay::{FreshnessGate, GateConfig, Mode};

    use super::*;

    fn checkpoint(version: u64) -> Checkpoint {
        let config = GateConfig {
            steps: 9,
            batch_groups: 1,
            staleness: 1,
            mode: Mode::FixedLag,
            studies: 3,
            seed: 1,
            max_attempts: 3,
            max_draws: 1,
        };
        let mut gate = FreshnessGate::new(config).unwrap().state();
        gate.version = PolicyVersion(version);
        Checkpoint {
            config: RunConfig::default(),
            gate,
            learner: vec![1, 2, 3],
            snapshots: BTreeMap::from([(PolicyVersion(version), vec![4; 100])]),
        }
    }

    #[test]
    fn a_checkpoint_reads_back_as_it_was_written_and_old_ones_go() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Checkpoint::newest(folder.path()).unwrap(), None);
        for version in [9, 10, 11] {
            checkpoint(version).write(folder.path(), 2).unwrap();
        }
        let newest = Checkpoint::newest(folder.path()).unwrap().unwrap();
        assert!(newest.ends_with("step-00000011"));
        assert_eq!(Checkpoint::read(&newest).unwrap(), checkpoint(11));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_was_not_finished_is_no_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(".unfinished-step-00000004")).unwrap();
        assert_eq!(Checkpoint::newest(folder.path()).unwrap(), None);
        checkpoint(4).write(folder.path(), 1).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn any_damaged_or_missing_file_is_named_and_the_whole_checkpoint_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = checkpoint(3).write(folder.path(), 1).unwrap();
        for name in [GATE, LEARNER, "snapshot-00000003.bin", MANIFEST] {
            let file = path.join(name);
            let whole = fs::read(&file).unwrap();
            fs::write(&file, &whole[..whole.len() - 1]).unwrap();
            let error = Checkpoint::read(&path).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("step-00000003"), "{error}");
            let mut flipped = whole.clone();
            flipped[0] ^= 1;
            fs::write(&file, flipped).unwrap();
            assert!(Checkpoint::read(&path).is_err());
            fs::remove_file(&file).unwrap();
            assert!(Checkpoint::read(&path).unwrap_err().to_string().contains(name));
            fs::write(&file, whole).unwrap();
        }
        assert_eq!(Checkpoint::read(&path).unwrap(), checkpoint(3));
    }
}
