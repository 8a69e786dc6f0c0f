//! What commands print, and text that they are given.

use std::{fs, path::Path};

use addendum::report::terminal;
use anyhow::{Context, Result, ensure};

/// Prints text; a reader that has gone away is no error.
pub fn print(text: &str) -> Result<()> {
    terminal::print(text).context("standard output")
}

/// Refuses a file that cannot be written when its contents are there, as far as its folder tells.
pub fn writable(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    ensure!(!path.is_dir(), "{}: is a folder, expected a file", path.display());
    ensure!(folder.is_none_or(Path::is_dir), "{}: there is no such folder", path.display());
    Ok(())
}

/// Refuses a folder that is not there.
pub fn folder(option: &str, path: &Path) -> Result<()> {
    fs::read_dir(path).map(drop).with_context(|| format!("{option} {}: cannot be read", path.display()))
}

/// An argument of `option` that is text itself, or `@` and the name of a file with it.
pub fn text(option: &str, argument: &str) -> Result<String> {
    match argument.strip_prefix('@') {
        Some(path) => fs::read_to_string(path).with_context(|| format!("{option} @{path}: cannot be read")),
        None => Ok(argument.to_owned()),
    }
}
