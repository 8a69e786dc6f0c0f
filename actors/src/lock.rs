//! One process per folder.

use std::{
    fs::{File, OpenOptions, TryLockError},
    path::Path,
};

use crate::RunError;

/// The right to write into a folder of runs. The operating system takes it back when the process ends, however it ends.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// # Errors
    /// Another process holds it, or the folder cannot be written.
    pub fn take(folder: &Path) -> Result<Self, RunError> {
        let path = folder.join(".lock");
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(RunError::io(&path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(RunError::Locked { path: folder.into() }),
            Err(TryLockError::Error(error)) => Err(RunError::io(path)(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_holder_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = FolderLock::take(folder.path()).unwrap();
        let second = FolderLock::take(folder.path()).err().unwrap();
        assert!(matches!(second, RunError::Locked { .. }), "{second}");
        drop(first);
        FolderLock::take(folder.path()).unwrap();
    }
}
