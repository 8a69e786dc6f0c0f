//! PyTorch checkpoints: where each tensor of a `torch.save` file lies.
//!
//! Both layouts are read, the zip archive of PyTorch 1.6 and later and the stream of pickles before it. Only tensors
//! are looked at; nothing a file names is ever called.

mod machine;

use std::{
    collections::BTreeMap,
    io::{Read, Seek},
};

use candle_core::DType;
use machine::{Id, Pickle, Value};
use zip::{CompressionMethod, ZipArchive};

use super::view::{Place, View};

/// The longest object description that is read; those of published models are far below a megabyte.
const LONGEST_PICKLE: u64 = 64 << 20;

/// The first object of a file before PyTorch 1.6.
const LEGACY_MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// Where the values of a dictionary of tensors usually lie in a checkpoint.
const STATE_KEYS: [&str; 2] = ["model_state_dict", "state_dict"];

/// The tensors of a zip checkpoint; each lies in an entry of the archive.
pub(super) fn zipped<R: Read + Seek>(archive: &mut ZipArchive<R>) -> Result<BTreeMap<String, View>, String> {
    let names: Vec<String> = archive.file_names().flatten().map(|name| name.into_owned()).collect();
    let mut pickles = names.iter().filter_map(|name| name.strip_suffix("data.pkl"));
    let (Some(root), None) = (pickles.next(), pickles.next()) else {
        return Err("a checkpoint holds exactly one `data.pkl`".into());
    };
    if let Ok(order) = entry(archive, &format!("{root}byteorder"), 16)
        && order != b"little"
    {
        return Err("its numbers are not little endian; save it again on a little-endian machine".into());
    }
    let bytes = entry(archive, &format!("{root}data.pkl"), LONGEST_PICKLE)?;
    let pickle = Pickle::read(&mut bytes.as_slice())?;
    tensors(&pickle, |key| Ok(Place::Entry(format!("{root}data/{key}"))))
}

/// The bytes of an archive's entry, of at most `limit` bytes, its checksum checked.
pub(super) fn entry<R: Read + Seek>(archive: &mut ZipArchive<R>, name: &str, limit: u64) -> Result<Vec<u8>, String> {
    let mut file = archive.by_name(name).map_err(|error| format!("entry `{name}`: {error}"))?;
    if file.compression() != CompressionMethod::Stored {
        return Err(format!("entry `{name}` is compressed, which torch.save never does"));
    }
    if file.size() > limit {
        return Err(format!("entry `{name}` has {} bytes; expected at most {limit}", file.size()));
    }
    let mut bytes = Vec::new();
    file.by_ref().take(limit).read_to_end(&mut bytes).map_err(|error| format!("entry `{name}`: {error}"))?;
    // Reading on to the end makes the archive check its sum.
    match file.read(&mut [0]) {
        Ok(0) => Ok(bytes),
        Ok(_) => Err(format!("entry `{name}` is longer than it says")),
        Err(error) => Err(format!("entry `{name}`: {error}")),
    }
}

/// The tensors of a legacy checkpoint, whose numbers follow its five pickles.
pub(super) fn legacy<R: Read + Seek>(file: &mut R, length: u64) -> Result<BTreeMap<String, View>, String> {
    let mut head = Vec::new();
    file.rewind().and_then(|()| file.take(LONGEST_PICKLE).read_to_end(&mut head)).map_err(|error| error.to_string())?;
    let mut rest = head.as_slice();
    let magic = Pickle::read(&mut rest)?;
    if *magic.root() != Value::Long(LEGACY_MAGIC.to_vec()) {
        return Err("it is a pickle, but not one that torch.save wrote; save the state dict with torch.save".into());
    }
    for _ in ["protocol version", "system information"] {
        Pickle::read(&mut rest)?;
    }
    let pickle = Pickle::read(&mut rest)?;
    let keys = Pickle::read(&mut rest)?;
    let Value::List(ids) = keys.root() else { return Err("its list of storages is missing".into()) };
    let mut at = (head.len() - rest.len()) as u64;
    let sizes = storages(&pickle)?;
    let mut places = BTreeMap::new();
    for &id in ids {
        let key = keys.text(id).ok_or("a storage's key is not a string")?;
        let bytes = *sizes.get(key).ok_or_else(|| format!("storage `{key}` is not described"))?;
        // Eight bytes say how many numbers follow.
        at += 8;
        places.insert(key.to_owned(), at);
        at = at.checked_add(bytes).filter(|&end| end <= length).ok_or("the file ends before its last tensor")?;
    }
    tensors(&pickle, |key| {
        places.get(key).map(|&at| Place::At(at)).ok_or_else(|| format!("storage `{key}` is not in the file"))
    })
}

/// The dictionary of tensors, wherever it lies in the object, with those of its values that are tensors.
fn tensors(pickle: &Pickle, place: impl Fn(&str) -> Result<Place, String>) -> Result<BTreeMap<String, View>, String> {
    let Value::Dict(mut entries) = pickle.root().clone() else {
        return Err("it is not a dictionary; expected a state dict or a checkpoint that holds one".into());
    };
    let inner = STATE_KEYS.iter().find_map(|key| {
        entries.iter().rev().find(|(name, _)| pickle.text(*name) == Some(key)).map(|(_, value)| pickle.get(*value))
    });
    if let Some(inner) = inner {
        let Value::Dict(inner) = inner else { return Err("its state dict is not a dictionary".into()) };
        entries = inner.clone();
    }
    let mut tensors = BTreeMap::new();
    for (name, value) in entries {
        let Some(name) = pickle.text(name) else { continue };
        if let Some((view, key)) = tensor(pickle, value).map_err(|reason| format!("tensor `{name}`: {reason}"))? {
            tensors.insert(name.to_owned(), View { place: place(&key)?, ..view });
        }
    }
    Ok(tensors)
}

/// Reads `torch._utils._rebuild_tensor_v2(storage, offset, size, stride, …)`, bare or as a parameter; other values
/// are no tensors.
fn tensor(pickle: &Pickle, id: Id) -> Result<Option<(View, String)>, String> {
    match call(pickle, id) {
        Some(("_rebuild_tensor_v2" | "_rebuild_tensor", args)) => rebuild(pickle, args).map(Some),
        Some(("_rebuild_parameter", args)) => {
            let inner = pickle.items(args).and_then(<[Id]>::first).and_then(|&inner| call(pickle, inner));
            match inner {
                Some(("_rebuild_tensor_v2", args)) => rebuild(pickle, args).map(Some),
                _ => Err("the parameter does not hold a tensor".into()),
            }
        }
        _ => Ok(None),
    }
}

/// Name and arguments of a call into `torch._utils`.
fn call(pickle: &Pickle, id: Id) -> Option<(&str, Id)> {
    let Value::Call { callable, args } = pickle.get(id) else { return None };
    match pickle.get(*callable) {
        Value::Global { module, name } if module == "torch._utils" => Some((name, *args)),
        _ => None,
    }
}

fn rebuild(pickle: &Pickle, args: Id) -> Result<(View, String), String> {
    let Some([storage, offset, shape, stride, ..]) = pickle.items(args) else {
        return Err("it is not described by storage, offset, size and stride".into());
    };
    let Value::Persistent(storage) = pickle.get(*storage) else { return Err("its storage is missing".into()) };
    let (key, dtype, elements) = storage_of(pickle, *storage)?;
    let sizes = |id: Id| -> Option<Vec<usize>> { pickle.items(id)?.iter().map(|&id| pickle.size(id)).collect() };
    let view = View {
        dtype,
        shape: sizes(*shape).ok_or("its size is not a tuple of numbers")?,
        stride: sizes(*stride).ok_or("its stride is not a tuple of numbers")?,
        offset: pickle.size(*offset).ok_or("its offset is not a number")?,
        elements,
        place: Place::At(0),
    };
    Ok((view, key))
}

/// Key, type and number of elements of the storage that `("storage", type, key, device, elements)` describes.
fn storage_of(pickle: &Pickle, id: Id) -> Result<(String, DType, usize), String> {
    let parts = pickle.items(id).unwrap_or_default();
    let [_, kind, key, _, elements, rest @ ..] = parts else { return Err("its storage is not described".into()) };
    if rest.iter().any(|&view| *pickle.get(view) != Value::None) {
        return Err("it views another storage; save it again with a current PyTorch".into());
    }
    let Value::Global { name, .. } = pickle.get(*kind) else { return Err("its storage has no type".into()) };
    let dtype = match name.as_str() {
        "FloatStorage" => DType::F32,
        "DoubleStorage" => DType::F64,
        "HalfStorage" => DType::F16,
        "BFloat16Storage" => DType::BF16,
        "LongStorage" => DType::I64,
        "IntStorage" => DType::I32,
        "ShortStorage" => DType::I16,
        "ByteStorage" | "BoolStorage" | "CharStorage" => DType::U8,
        other => return Err(format!("storage type `{other}` is unknown")),
    };
    let key = pickle.text(*key).ok_or("its storage has no key")?;
    let elements = pickle.size(*elements).ok_or("the size of its storage is not a number")?;
    Ok((key.to_owned(), dtype, elements))
}

/// The bytes of every storage that a pickle mentions, by key.
fn storages(pickle: &Pickle) -> Result<BTreeMap<String, u64>, String> {
    let mut sizes = BTreeMap::new();
    for id in pickle.persistent() {
        let (key, dtype, elements) = storage_of(pickle, id)?;
        let bytes = elements.checked_mul(dtype.size_in_bytes()).ok_or("a storage is too large")?;
        sizes.insert(key, bytes as u64);
    }
    Ok(sizes)
}

#[cfg(test)]
mod tests;
