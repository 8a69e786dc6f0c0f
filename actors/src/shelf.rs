//! The checkpoints of a run folder, in the order of their versions.
//!
//! What is called `step-<number>` and is no whole checkpoint is passed over, said, and left alone.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    Faults, RunError,
    checkpoint::Checkpoint,
    disk::{remove, sync},
};

/// The newest checkpoint that reads whole, if there is any, and what was passed over to get to it.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub newest: Option<(PathBuf, Checkpoint)>,
    /// Newer entries, each with what is wrong with it.
    pub skipped: Vec<(PathBuf, String)>,
}

/// # Errors
/// There are entries, and none of them is a whole checkpoint.
pub(crate) fn newest(folder: &Path) -> Result<Found, RunError> {
    let mut skipped = Vec::new();
    for (_, path) in entries(folder)?.into_iter().rev() {
        match Checkpoint::read(&path) {
            Ok(checkpoint) => return Ok(Found { newest: Some((path, checkpoint)), skipped }),
            Err(RunError::Checkpoint { reason, .. }) => skipped.push((path, reason)),
            Err(error) => return Err(error),
        }
    }
    match skipped.is_empty() {
        true => Ok(Found::default()),
        false => Err(RunError::NoWholeCheckpoint { damaged: skipped }),
    }
}

/// Whether anything in the folder is called like a checkpoint.
pub(crate) fn is_empty(folder: &Path) -> Result<bool, RunError> {
    Ok(entries(folder)?.is_empty())
}

/// Writes a checkpoint and removes all but the newest `keep`.
pub(crate) fn add(folder: &Path, checkpoint: &Checkpoint, keep: usize, faults: &Faults) -> Result<PathBuf, RunError> {
    let place = checkpoint.write(folder, faults)?;
    faults.strike_file("checkpoint.prune").map_err(RunError::io(&place))?;
    let mut complete = entries(folder)?;
    complete.retain(|(_, path)| Checkpoint::looks_whole(path));
    for (_, old) in complete.iter().take(complete.len().saturating_sub(keep)) {
        remove(old)?;
    }
    Ok(place)
}

/// Puts aside, as `diverged-<name>`, what is newer than the newest whole checkpoint up to `version`, which it returns. If
/// there is none, everything stays where it is.
pub(crate) fn set_back(folder: &Path, version: u64) -> Result<Option<(u64, PathBuf)>, RunError> {
    let (before, after): (Vec<_>, Vec<_>) = entries(folder)?.into_iter().partition(|(of, _)| *of <= version);
    let Some(newest) = before.into_iter().rev().find(|(_, path)| Checkpoint::looks_whole(path)) else {
        return Ok(None);
    };
    for (_, path) in after {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let aside = path.with_file_name(format!("diverged-{name}"));
        remove(&aside)?;
        fs::rename(&path, aside).map_err(RunError::io(&path))?;
    }
    sync(folder)?;
    Ok(Some(newest))
}

/// Whatever is called like a checkpoint, oldest first.
fn entries(folder: &Path) -> Result<Vec<(u64, PathBuf)>, RunError> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::tests::checkpoint;

    fn names(folder: &Path) -> Vec<String> {
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(name).collect();
        names.sort();
        names
    }

    #[test]
    fn old_checkpoints_go_and_what_is_none_neither_counts_nor_goes() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("step-00000001")).unwrap();
        fs::write(folder.path().join("step-99999999"), "notes").unwrap();
        for version in [9, 10, 11] {
            add(folder.path(), &checkpoint(version), 2, &Faults::default()).unwrap();
        }
        assert_eq!(names(folder.path()), ["step-00000001", "step-00000010", "step-00000011", "step-99999999"]);
    }

    #[test]
    fn the_newest_one_that_reads_whole_is_taken_and_those_passed_over_are_said() {
        let folder = tempfile::tempdir().unwrap();
        assert!(newest(folder.path()).unwrap().newest.is_none());
        for version in [3, 4, 5] {
            add(folder.path(), &checkpoint(version), 3, &Faults::default()).unwrap();
        }
        fs::create_dir(folder.path().join("step-99999999")).unwrap();
        fs::write(folder.path().join("step-00000005/learner.bin"), "x").unwrap();
        let Found { newest: taken, skipped } = newest(folder.path()).unwrap();
        assert_eq!(taken.unwrap().1, checkpoint(4));
        let said: Vec<_> = skipped.iter().map(|(path, reason)| format!("{}: {reason}", path.display())).collect();
        assert!(said[0].contains("step-99999999: `manifest.json`"), "{said:?}");
        assert!(said[1].contains("step-00000005: `learner.bin` is damaged"), "{said:?}");
        assert_eq!(said.len(), 2);

        for version in [3, 4] {
            fs::remove_file(folder.path().join(format!("step-0000000{version}/gate.json"))).unwrap();
        }
        let error = newest(folder.path()).unwrap_err().to_string();
        for name in ["step-99999999", "step-00000005", "step-00000004", "step-00000003"] {
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn a_damaged_checkpoint_is_set_aside_by_a_whole_one_of_its_version() {
        let folder = tempfile::tempdir().unwrap();
        for round in 0..2 {
            add(folder.path(), &checkpoint(7), 2, &Faults::default()).unwrap();
            fs::write(folder.path().join("step-00000007/learner.bin"), format!("damage {round}")).unwrap();
        }
        add(folder.path(), &checkpoint(7), 2, &Faults::default()).unwrap();
        assert_eq!(newest(folder.path()).unwrap().newest.unwrap().1, checkpoint(7));
        assert_eq!(names(folder.path()), ["damaged-1-step-00000007", "damaged-2-step-00000007", "step-00000007"]);
    }

    #[test]
    fn checkpoints_from_after_a_version_are_put_aside_if_there_is_one_from_before() {
        let folder = tempfile::tempdir().unwrap();
        for version in [3, 5, 7] {
            add(folder.path(), &checkpoint(version), 9, &Faults::default()).unwrap();
        }
        assert!(set_back(folder.path(), 2).unwrap().is_none());
        assert_eq!(names(folder.path()).len(), 3);
        let (version, path) = set_back(folder.path(), 4).unwrap().unwrap();
        assert!(version == 3 && path.ends_with("step-00000003"));
        assert_eq!(names(folder.path()), ["diverged-step-00000005", "diverged-step-00000007", "step-00000003"]);
        assert_eq!(newest(folder.path()).unwrap().newest.unwrap().1, checkpoint(3));
    }
}
