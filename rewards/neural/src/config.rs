//! Reads the `config.json` of a model.

use std::{io::Read, path::Path};

use serde::de::DeserializeOwned;

use super::weights::{refuse, regular};
use addendum_rewards::Result;

/// Parses a file and checks what was parsed; a complaint names the field and its value.
///
/// # Errors
/// Unreadable and malformed files, and whatever `check` complains of.
pub(super) fn read<T: DeserializeOwned>(file: &Path, check: impl Fn(&T) -> Result<(), String>) -> Result<T> {
    let mut bytes = Vec::new();
    regular(file)?.read_to_end(&mut bytes).map_err(|error| refuse(file, error))?;
    parse(file, &bytes, check)
}

/// Like [`read`], of bytes in memory; `file` stands in messages.
pub(super) fn parse<T: DeserializeOwned>(
    file: &Path,
    bytes: &[u8],
    check: impl Fn(&T) -> Result<(), String>,
) -> Result<T> {
    let config = serde_json::from_slice(bytes).map_err(|error| refuse(file, error))?;
    check(&config).map_err(|complaint| refuse(file, complaint))?;
    Ok(config)
}
