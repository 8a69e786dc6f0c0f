//! Reading files of a folder that somebody else wrote.

use std::{fs::File, io::Read, path::Path};

use crate::{Error, Result};

/// Opens a regular file. Opening a pipe would wait for its other end.
///
/// # Errors
/// A file that cannot be opened, or that is something else.
pub fn open(path: &Path) -> Result<File> {
    if !std::fs::metadata(path).map_err(Error::io(path))?.is_file() {
        return Err(Error::file(path, "is no regular file"));
    }
    File::open(path).map_err(Error::io(path))
}

/// The bytes of a regular file.
pub fn bytes(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes).map_err(Error::io(path))?;
    Ok(bytes)
}

/// The text of a regular file in UTF-8.
pub fn text(path: &Path) -> Result<String> {
    let mut text = String::new();
    open(path)?.read_to_string(&mut text).map_err(Error::io(path))?;
    Ok(text)
}
