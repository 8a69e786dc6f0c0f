//! Commands of the `addendum` binary, one file each.

pub mod check_device;
pub mod doctor;
pub mod edit;
pub mod green;
pub mod init;
pub mod merge;
pub mod phantoms;
pub mod score;
pub mod sft;

use std::{
    fs,
    io::{self, Write},
};

use anyhow::{Context, Result};

/// Prints text; a reader that has gone away is no error.
fn print(text: &str) -> Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("standard output"),
    }
}

/// An argument of `option` that is text itself, or `@` and the name of a file with it.
fn text(option: &str, argument: &str) -> Result<String> {
    match argument.strip_prefix('@') {
        Some(path) => fs::read_to_string(path).with_context(|| format!("{option} @{path}: cannot be read")),
        None => Ok(argument.to_owned()),
    }
}
