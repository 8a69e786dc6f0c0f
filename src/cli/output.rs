//! What commands print, and text that they are given.

use std::{
    fs,
    io::{self, Write},
};

use anyhow::{Context, Result};

/// Prints text; a reader that has gone away is no error.
pub fn print(text: &str) -> Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("standard output"),
    }
}

/// An argument of `option` that is text itself, or `@` and the name of a file with it.
pub fn text(option: &str, argument: &str) -> Result<String> {
    match argument.strip_prefix('@') {
        Some(path) => fs::read_to_string(path).with_context(|| format!("{option} @{path}: cannot be read")),
        None => Ok(argument.to_owned()),
    }
}
