//! Files that are whole, or as they were before.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    path::Path,
};

use crate::RunError;

/// How the name begins of what is being written and has not taken its place yet.
pub(crate) const UNFINISHED: &str = ".unfinished-";

/// Writes a file and has it on disk.
pub(crate) fn write_synced(path: &Path, content: &[u8]) -> Result<(), RunError> {
    let mut file = File::create(path).map_err(RunError::io(path))?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(RunError::io(path))
}

/// Moves what is complete at `beside` into its place in the same folder.
pub(crate) fn put_in_place(beside: &Path, place: &Path) -> Result<(), RunError> {
    fs::rename(beside, place).map_err(RunError::io(place))?;
    place.parent().map_or(Ok(()), sync)
}

pub(crate) fn sync(folder: &Path) -> Result<(), RunError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(RunError::io(folder))
}

/// Frees a place: whatever is there keeps its content under another name, `damaged-<n>-<name>`.
pub(crate) fn set_aside(place: &Path) -> Result<(), RunError> {
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    let free = (1..).map(|n| place.with_file_name(format!("damaged-{n}-{name}"))).find(|path| !path.exists());
    match free.map(|free| fs::rename(place, free)) {
        Some(Err(error)) if error.kind() != ErrorKind::NotFound => Err(RunError::io(place)(error)),
        _ => Ok(()),
    }
}

/// Removes a folder, or what stands in its place, if anything is there.
pub(crate) fn remove(folder: &Path) -> Result<(), RunError> {
    let removed = match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == ErrorKind::NotADirectory => fs::remove_file(folder),
        removed => removed,
    };
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(RunError::io(folder)(error)),
        _ => Ok(()),
    }
}
