//! Tensors by name from a checkpoint of one file or of several with an index.

use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
};

use addendum_rewards::Result;
use candle_core::{Device, Tensor};
use serde::Deserialize;

use crate::{
    config::read,
    weights::{Weights, refuse},
};

/// An open checkpoint.
pub(super) enum Shards {
    One(Weights),
    Several { index: PathBuf, places: BTreeMap<String, String>, files: BTreeMap<String, Weights> },
}

/// `model.safetensors.index.json`.
#[derive(Deserialize)]
struct Index {
    /// Files by tensor.
    weight_map: BTreeMap<String, String>,
}

impl Index {
    /// Whether all files lie in the folder.
    fn check(&self) -> Result<(), String> {
        let plain = |file: &str| {
            let path = Path::new(file);
            matches!(path.components().collect::<Vec<_>>()[..], [Component::Normal(name)] if name == path.as_os_str())
        };
        match self.weight_map.iter().find(|(_, file)| !plain(file)) {
            None => Ok(()),
            Some((name, file)) => Err(format!("tensor `{name}` is in `{file}`; expected the name of a file beside")),
        }
    }
}

impl Shards {
    /// Opens the weights of a folder; the tensors go to `device`.
    ///
    /// # Errors
    /// Unreadable, truncated or foreign files, an index that leaves the folder.
    pub(super) fn open(folder: &Path, device: &Device) -> Result<Self> {
        let index = folder.join("model.safetensors.index.json");
        if folder.join("model.safetensors").exists() || !index.exists() {
            return Ok(Self::One(Weights::in_folder(folder, device)?));
        }
        let places = read(&index, Index::check)?.weight_map;
        let mut files = BTreeMap::new();
        for file in places.values() {
            if !files.contains_key(file) {
                files.insert(file.clone(), Weights::open(&folder.join(file), device)?);
            }
        }
        Ok(Self::Several { index, places, files })
    }

    /// As [`Weights::get`].
    ///
    /// # Errors
    /// As [`Weights::get`]; a tensor that the index lacks.
    pub(super) fn get(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        match self {
            Self::One(weights) => weights.get(name, shape),
            Self::Several { index, places, files } => places
                .get(name)
                .and_then(|file| files.get(file))
                .ok_or_else(|| refuse(index, format!("tensor `{name}` is missing")))?
                .get(name, shape),
        }
    }
}
