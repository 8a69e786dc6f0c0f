//! How long prompts and reports may be, in tokens.

use std::{fs, path::Path};

use serde::Serialize;
use serde_json::Value;

#[derive(Clone, Copy, Debug, Serialize)]
pub struct Limits {
    /// A longer reference is one that no sampled report can be as long as.
    pub report: usize,
    pub prompt: Option<usize>,
}

/// The positions that a checkpoint has for a prompt beside the longest report, if its config tells.
pub fn prompt(checkpoint: &Path, report: usize) -> Option<usize> {
    let config: Value = serde_json::from_slice(&fs::read(checkpoint.join("config.json")).ok()?).ok()?;
    let text = config.get("text_config").unwrap_or(&config);
    let positions = text.get("max_position_embeddings").or(config.get("max_position_embeddings"))?.as_u64()?;
    Some(usize::try_from(positions).ok()?.saturating_sub(report))
}
