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
    Faults, RunError,
    disk::{UNFINISHED, put_in_place, remove, set_aside, sync, write_synced},
    identity::Identity,
};

const FORMAT: u32 = 2;
const MANIFEST: &str = "manifest.json";
const GATE: &str = "gate.json";
const LEARNER: &str = "learner.bin";

/// Everything a run needs to continue bit for bit (in fixed-lag mode).
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// What binds the run.
    pub identity: Identity,
    /// Tickets and version, as they stood after the last step.
    pub gate: GateState,
    /// What [`Learner::save`](crate::Learner::save) gave.
    pub learner: Vec<u8>,
    /// What [`Learner::write_snapshot`](crate::Learner::write_snapshot) gave, by version.
    pub snapshots: BTreeMap<PolicyVersion, Vec<u8>>,
}

#[derive(Serialize, Deserialize)]
struct Manifest {
    format: u32,
    identity: Identity,
    files: BTreeMap<String, Entry>,
}

/// What the manifests of all formats have.
#[derive(Deserialize)]
struct Format {
    format: u32,
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
    /// Writes the checkpoint into `folder`. A whole one of the same version that is already there is left as it is;
    /// anything else of that name is set aside as `damaged-<n>-<name>`.
    ///
    /// # Errors
    /// Names the path that could not be written. What was there before is untouched, and nothing is left of what was begun.
    pub fn write(&self, folder: &Path, faults: &Faults) -> Result<PathBuf, RunError> {
        let name = format!("step-{:08}", self.gate.version.0);
        let (place, beside) = (folder.join(&name), folder.join(format!("{UNFINISHED}{name}")));
        if Self::read(&place).is_ok() {
            return Ok(place);
        }
        remove(&beside)?;
        let written = self.write_beside(&beside, faults).and_then(|()| {
            faults.strike_file("checkpoint.rename").map_err(RunError::io(&place))?;
            set_aside(&place)?;
            put_in_place(&beside, &place)
        });
        match written {
            Ok(()) => Ok(place),
            Err(error) => {
                // What fills a disk must not stay on it.
                let _ = remove(&beside);
                Err(error)
            }
        }
    }

    fn write_beside(&self, beside: &Path, faults: &Faults) -> Result<(), RunError> {
        fs::create_dir_all(beside).map_err(RunError::io(beside))?;
        let mut files = BTreeMap::new();
        let write = |name: &str, content: &[u8]| {
            let path = beside.join(name);
            faults.strike_file("checkpoint.file").map_err(RunError::io(&path))?;
            write_synced(&path, content)
        };
        for (name, content) in self.files(beside)? {
            write(&name, &content)?;
            files.insert(name, Entry::of(&content));
        }
        let manifest = Manifest { format: FORMAT, identity: self.identity.clone(), files };
        write(MANIFEST, &to_json(&manifest, beside)?)?;
        sync(beside)
    }

    fn files(&self, path: &Path) -> Result<Vec<(String, Vec<u8>)>, RunError> {
        let mut files =
            vec![(GATE.to_string(), to_json(&self.gate, path)?), (LEARNER.to_string(), self.learner.clone())];
        files.extend(self.snapshots.iter().map(|(version, bytes)| (snapshot_name(*version), bytes.clone())));
        Ok(files)
    }

    /// Reads the checkpoint at `path`, all of it.
    ///
    /// # Errors
    /// Names the checkpoint and the file in it that is missing, damaged or not understood.
    pub fn read(path: &Path) -> Result<Self, RunError> {
        let refuse = |reason: String| RunError::checkpoint(path, reason);
        let read = |name: &str| fs::read(path.join(name)).map_err(|error| refuse(format!("`{name}`: {error}")));
        let manifest = Manifest::parse(&read(MANIFEST)?).map_err(refuse)?;
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
        let gate: GateState =
            serde_json::from_slice(&take(GATE)?).map_err(|error| refuse(format!("`{GATE}`: {error}")))?;
        let learner = take(LEARNER)?;
        let mut snapshots = BTreeMap::new();
        for (name, content) in files {
            let version =
                snapshot_version(&name).ok_or_else(|| refuse(format!("`{MANIFEST}` names the unknown `{name}`")))?;
            snapshots.insert(version, content);
        }
        // Those that the open tickets will ask for.
        if let Some(missing) =
            (gate.oldest_needed().0..=gate.version.0).find(|version| !snapshots.contains_key(&PolicyVersion(*version)))
        {
            return Err(refuse(format!("the snapshot of version {missing} is missing")));
        }
        Ok(Self { identity: manifest.identity, gate, learner, snapshots })
    }

    /// Whether everything that the manifest names is there in full size; without reading it.
    pub(crate) fn looks_whole(path: &Path) -> bool {
        let manifest = fs::read(path.join(MANIFEST)).ok().and_then(|bytes| Manifest::parse(&bytes).ok());
        let there = |(name, entry): (&String, &Entry)| {
            fs::metadata(path.join(name)).is_ok_and(|file| file.is_file() && file.len() == entry.bytes)
        };
        manifest.is_some_and(|manifest| manifest.files.iter().all(there))
    }
}

impl Manifest {
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let damaged = |error| format!("`{MANIFEST}` is damaged: {error}");
        match serde_json::from_slice(bytes).map_err(damaged)? {
            Format { format: FORMAT } => serde_json::from_slice(bytes).map_err(damaged),
            Format { format } => Err(format!(
                "it was written by another version of Addendum (format {format}, this one reads {FORMAT}): resume it \
                 with that version, or start anew"
            )),
        }
    }
}

fn snapshot_name(version: PolicyVersion) -> String {
    format!("snapshot-{:08}.bin", version.0)
}

fn snapshot_version(name: &str) -> Option<PolicyVersion> {
    name.strip_prefix("snapshot-")?.strip_suffix(".bin")?.parse().ok().map(PolicyVersion)
}

fn to_json(value: &impl Serialize, path: &Path) -> Result<Vec<u8>, RunError> {
    serde_json::to_vec_pretty(value).map_err(|error| RunError::checkpoint(path, error))
}

#[cfg(test)]
pub(crate) mod tests {
    use addendum_replay::{FreshnessGate, GateConfig, Mode};

    use super::*;

    pub fn checkpoint(version: u64) -> Checkpoint {
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
            identity: Identity::from([("run.seed".into(), "1".into())]),
            snapshots: (gate.oldest_needed().0..=version).map(|v| (PolicyVersion(v), vec![4; 100])).collect(),
            gate,
            learner: vec![1, 2, 3],
        }
    }

    #[test]
    fn a_checkpoint_reads_back_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = checkpoint(11).write(folder.path(), &Faults::default()).unwrap();
        assert!(path.ends_with("step-00000011"));
        assert!(Checkpoint::looks_whole(&path));
        assert_eq!(Checkpoint::read(&path).unwrap(), checkpoint(11));
    }

    #[test]
    fn what_was_not_finished_goes_when_it_is_written_again() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(".unfinished-step-00000004")).unwrap();
        checkpoint(4).write(folder.path(), &Faults::default()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_checkpoint_that_finds_the_disk_full_leaves_the_one_before_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = checkpoint(3).write(folder.path(), &Faults::default()).unwrap();
        for fault in ["checkpoint.file=error#1", "checkpoint.file=error#3", "checkpoint.rename=error#1"] {
            let error = checkpoint(4).write(folder.path(), &Faults::parse(fault, 0).unwrap()).unwrap_err().to_string();
            assert!(error.contains("step-00000004"), "{error}");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "{fault}");
            assert_eq!(Checkpoint::read(&path).unwrap(), checkpoint(3));
        }
    }

    #[test]
    fn a_checkpoint_of_another_format_or_without_a_snapshot_that_will_be_asked_for_is_refused_in_plain_words() {
        let folder = tempfile::tempdir().unwrap();
        let path = checkpoint(3).write(folder.path(), &Faults::default()).unwrap();
        fs::write(path.join(MANIFEST), r#"{"format": 1, "config": {"steps": 9}, "files": {}}"#).unwrap();
        let error = Checkpoint::read(&path).unwrap_err().to_string();
        assert!(error.contains("another version of Addendum (format 1, this one reads 2)"), "{error}");

        let mut lacking = checkpoint(4);
        lacking.snapshots.remove(&lacking.gate.oldest_needed());
        let error =
            Checkpoint::read(&lacking.write(folder.path(), &Faults::default()).unwrap()).unwrap_err().to_string();
        assert!(error.contains("the snapshot of version 0 is missing"), "{error}");
    }

    #[test]
    fn any_damaged_or_missing_file_is_named_and_the_whole_checkpoint_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = checkpoint(3).write(folder.path(), &Faults::default()).unwrap();
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
