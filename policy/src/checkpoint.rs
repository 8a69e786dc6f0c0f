//! Files of weights: safetensors, whole or sharded, written so that a file is either whole or not there.

pub mod folder;
pub(crate) mod reader;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io::Write,
    path::{Component, Path, PathBuf},
};

use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;
use serde_json::Value;

use crate::{
    Error, Result, files,
    optim::all_finite,
    weights::{Weights, published_name, weight_dtype},
};
use reader::Reader;

/// The file of weights that are not sharded.
pub const SINGLE: &str = "model.safetensors";
/// The file that names the shards of weights, and what is in each.
pub const INDEX: &str = "model.safetensors.index.json";

/// The tensors of a safetensors buffer.
pub fn parse(bytes: &[u8], device: &Device) -> Result<BTreeMap<String, Tensor>> {
    let tensors = candle_core::safetensors::load_buffer(bytes, device)
        .map_err(|e| Error::invalid("safetensors", e.to_string()))?;
    Ok(tensors.into_iter().collect())
}

/// The tensor names of a safetensors buffer.
pub fn names(bytes: &[u8]) -> Result<BTreeSet<String>> {
    let parsed =
        safetensors::SafeTensors::deserialize(bytes).map_err(|e| Error::invalid("safetensors", e.to_string()))?;
    Ok(parsed.names().into_iter().map(str::to_string).collect())
}

/// The weights of a checkpoint folder, in `dtype`; norms and biases are small and always F32.
///
/// Takes the memory of the weights in `dtype`, whatever type the files hold.
pub fn load_weights(dir: &Path, dtype: DType, device: &Device) -> Result<Weights> {
    let tensors = each_weight(dir, |reader, name| reader.tensor(name, weight_dtype(name, dtype), device))?;
    Ok(Weights::new(tensors, dir))
}

/// The shapes of the weights of a checkpoint folder, by published name, from the headers of its files.
///
/// # Errors
/// As [`load_weights`], but of values.
pub fn weight_shapes(dir: &Path) -> Result<BTreeMap<String, Vec<usize>>> {
    let shapes = each_weight(dir, |reader, name| reader.shape(name))?;
    Ok(shapes.into_iter().map(|(name, shape)| (published_name(&name), shape)).collect())
}

/// Reads on all threads.
fn each_weight<T: Send>(
    dir: &Path,
    read: impl Fn(&mut Reader, &str) -> Result<T> + Sync,
) -> Result<BTreeMap<String, T>> {
    let mut found = BTreeMap::new();
    for file in weight_files(dir)? {
        let names = Reader::open(&file)?.names();
        let part = |names: &[String]| -> Result<Vec<(String, T)>> {
            let mut reader = Reader::open(&file)?;
            names.iter().map(|name| Ok((name.clone(), read(&mut reader, name)?))).collect()
        };
        let share = names.len().div_ceil(4 * rayon::current_num_threads()).max(1);
        let parts: Vec<Vec<_>> = names.par_chunks(share).map(part).collect::<Result<_>>()?;
        for (name, one) in parts.into_iter().flatten() {
            if found.insert(name.clone(), one).is_some() {
                return Err(Error::file(&file, format!("tensor {name} is in two shards")));
            }
        }
    }
    Ok(found)
}

/// The safetensors files of a checkpoint folder: the single one, or the shards its index names.
pub fn weight_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let single = dir.join(SINGLE);
    if single.exists() { Ok(vec![single]) } else { shards(dir) }
}

fn shards(dir: &Path) -> Result<Vec<PathBuf>> {
    let path = dir.join(INDEX);
    let text =
        files::text(&path).map_err(|e| Error::file(dir, format!("neither {SINGLE} nor a readable {INDEX}: {e}")))?;
    let json: Value = serde_json::from_str(&text).map_err(|e| Error::file(&path, e))?;
    let map = json["weight_map"].as_object().ok_or_else(|| Error::file(&path, "weight_map: expected an object"))?;
    let files: BTreeSet<&str> = map
        .iter()
        .map(|(name, file)| {
            file.as_str().ok_or_else(|| Error::file(&path, format!("weight_map.{name}: expected a file name")))
        })
        .collect::<Result<_>>()?;
    let plain = |file: &str| matches!(Path::new(file).components().collect::<Vec<_>>()[..], [Component::Normal(_)]);
    match files.iter().find(|file| !plain(file) || !file.ends_with(".safetensors")) {
        Some(bad) => Err(Error::file(&path, format!("{bad:?} is not the name of a safetensors file in this folder"))),
        None => Ok(files.into_iter().map(|file| dir.join(file)).collect()),
    }
}

/// The metadata that older Python libraries insist on: whose layout of tensors this is.
pub fn origin() -> HashMap<String, String> {
    HashMap::from([("format".into(), "pt".into())])
}

/// Writes weights as one safetensors file.
///
/// # Errors
/// A weight that is not finite, named; a file that cannot be written.
pub fn save_weights(weights: &Weights, path: &Path) -> Result<()> {
    for (name, tensor) in weights.tensors() {
        if !all_finite(tensor)? {
            return Err(Error::file(path, format!("not written, as tensor {name} holds a value that is not finite")));
        }
    }
    let tensors: BTreeMap<_, _> = weights.tensors().iter().collect();
    let bytes = safetensors::serialize(tensors, Some(origin())).map_err(|e| Error::file(path, e))?;
    write_whole(path, &bytes)
}

/// Writes a file so that it is never seen half-written: to a neighbour, synchronised, then renamed.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let part = path.with_extension("part");
    let mut file = std::fs::File::create(&part).map_err(Error::io(&part))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(Error::io(&part))?;
    std::fs::rename(&part, path).map_err(Error::io(path))
}
