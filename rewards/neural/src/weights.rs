//! Tensors by name from a checkpoint: a PyTorch file (zip or legacy) or safetensors, told apart by content.
//!
//! Opening reads the description of the tensors and checks it against the file's length; each tensor is read when it
//! is asked for, so the optimiser state of a checkpoint costs nothing.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs::File,
    io::{BufReader, Cursor, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use candle_core::{DType, Device, Tensor};
use zip::ZipArchive;

use super::{
    pickle,
    view::{Place, View},
};
use addendum_rewards::{Error, Result};

/// The longest description of a safetensors file.
const LONGEST_HEADER: u64 = 100 << 20;

/// The shapes of the tensors of a checkpoint in memory, each of which was read. `name` stands for the file in messages.
///
/// # Errors
/// What is no checkpoint, and the first tensor that cannot be read.
pub fn shapes(name: &Path, bytes: Vec<u8>) -> Result<BTreeMap<String, Vec<usize>>> {
    let weights = Weights::of_bytes(name, bytes, &Device::Cpu)?;
    let shapes: BTreeMap<String, Vec<usize>> =
        weights.tensors.iter().map(|(name, view)| (name.clone(), view.shape.clone())).collect();
    for (name, shape) in &shapes {
        weights.get(name, shape)?;
    }
    Ok(shapes)
}

trait Bytes: Read + Seek + Send {}
impl<T: Read + Seek + Send> Bytes for T {}

enum Content {
    Zip(Box<ZipArchive<Box<dyn Bytes>>>),
    Flat(Box<dyn Bytes>),
}

/// An open checkpoint.
pub(super) struct Weights {
    file: PathBuf,
    device: Device,
    tensors: BTreeMap<String, View>,
    content: RefCell<Content>,
}

impl Weights {
    /// Opens a file; the tensors go to `device`. A prefix `module.` that all names share is dropped.
    ///
    /// # Errors
    /// Unreadable, truncated or foreign files, and files without any tensor.
    pub(super) fn open(file: &Path, device: &Device) -> Result<Self> {
        Self::read(file, Box::new(BufReader::new(regular(file)?)), device)
    }

    /// Opens the `model.safetensors` or else the `pytorch_model.bin` of a folder.
    pub(super) fn in_folder(folder: &Path, device: &Device) -> Result<Self> {
        let [first, second] = ["model.safetensors", "pytorch_model.bin"].map(|name| folder.join(name));
        Self::open(if !first.exists() && second.exists() { &second } else { &first }, device)
    }

    /// Like [`Weights::open`], of bytes in memory; `name` stands for the file in messages.
    pub(super) fn of_bytes(name: &Path, bytes: Vec<u8>, device: &Device) -> Result<Self> {
        Self::read(name, Box::new(Cursor::new(bytes)), device)
    }

    fn read(file: &Path, mut bytes: Box<dyn Bytes>, device: &Device) -> Result<Self> {
        let fail = |reason: String| refuse(file, reason);
        let length = bytes.seek(SeekFrom::End(0)).map_err(|error| refuse(file, error))?;
        let mut magic = [0; 4];
        bytes.rewind().and_then(|()| bytes.read_exact(&mut magic)).map_err(|error| refuse(file, error))?;
        let (tensors, content) = match magic {
            [b'P', b'K', ..] => {
                let mut archive = ZipArchive::new(bytes).map_err(|error| refuse(file, error))?;
                (pickle::zipped(&mut archive).map_err(fail)?, Content::Zip(Box::new(archive)))
            }
            [0x80, 0..=5, 0x8a, _] => (pickle::legacy(&mut bytes, length).map_err(fail)?, Content::Flat(bytes)),
            _ => (safetensors(&mut bytes, length).map_err(fail)?, Content::Flat(bytes)),
        };
        if tensors.is_empty() {
            return Err(fail("it holds no tensor".into()));
        }
        let tensors = if tensors.keys().all(|name| name.starts_with(PARALLEL)) {
            tensors.into_iter().map(|(name, view)| (name[PARALLEL.len()..].to_owned(), view)).collect()
        } else {
            tensors
        };
        Ok(Self { file: file.to_owned(), device: device.clone(), tensors, content: RefCell::new(content) })
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The shape of a tensor.
    ///
    /// # Errors
    /// A missing tensor.
    pub(super) fn shape(&self, name: &str) -> Result<&[usize]> {
        Ok(&self.view(name)?.shape)
    }

    /// # Errors
    /// A missing tensor, another shape than expected.
    pub(super) fn holds(&self, name: &str, shape: &[usize]) -> Result<()> {
        match self.shape(name)? {
            found if found == shape => Ok(()),
            found => Err(refuse(&self.file, format!("tensor `{name}`: its shape is {found:?}; expected {shape:?}"))),
        }
    }

    /// A tensor as f32.
    ///
    /// # Errors
    /// A missing tensor, another shape than expected, a view that leaves its storage, values that are not finite.
    pub(super) fn get(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        self.holds(name, shape)?;
        let view = self.view(name)?;
        let fail = |reason: String| refuse(&self.file, format!("tensor `{name}`: {reason}"));
        let bytes = self.storage(view).and_then(|storage| gather(view, storage)).map_err(fail)?;
        let tensor = Tensor::from_raw_buffer(&bytes, view.dtype, shape, &Device::Cpu)
            .and_then(|tensor| tensor.to_dtype(DType::F32))
            .map_err(|error| fail(error.to_string()))?;
        let values = tensor.flatten_all().and_then(|flat| flat.to_vec1::<f32>()).map_err(|e| fail(e.to_string()))?;
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            return Err(fail(format!("element {at} is {}; expected finite numbers", values[at])));
        }
        tensor.to_device(&self.device).map_err(|error| fail(error.to_string()))
    }

    fn view(&self, name: &str) -> Result<&View> {
        self.tensors.get(name).ok_or_else(|| refuse(&self.file, format!("tensor `{name}` is missing")))
    }

    fn storage(&self, view: &View) -> Result<Vec<u8>, String> {
        let length = view.elements.checked_mul(view.dtype.size_in_bytes()).ok_or("its storage is too large")?;
        match (&mut *self.content.borrow_mut(), &view.place) {
            (Content::Zip(archive), Place::Entry(entry)) => {
                let bytes = pickle::entry(archive, entry, length as u64)?;
                if bytes.len() != length {
                    return Err(format!("entry `{entry}` has {} bytes; expected {length}", bytes.len()));
                }
                Ok(bytes)
            }
            (Content::Flat(file), &Place::At(at)) => {
                let mut bytes = Vec::new();
                let read =
                    file.seek(SeekFrom::Start(at)).and_then(|_| file.take(length as u64).read_to_end(&mut bytes));
                read.map_err(|error| error.to_string())?;
                if bytes.len() == length { Ok(bytes) } else { Err("the file ends before it".into()) }
            }
            _ => Err("it is not in this file".into()),
        }
    }
}

/// What data-parallel training puts before every name.
const PARALLEL: &str = "module.";

/// Opens a regular file. Opening a pipe would wait for its other end.
pub(super) fn regular(file: &Path) -> Result<File> {
    if !std::fs::metadata(file).map_err(|error| refuse(file, error))?.is_file() {
        return Err(refuse(file, "is no regular file"));
    }
    File::open(file).map_err(|error| refuse(file, error))
}

pub(super) fn refuse(file: &Path, reason: impl ToString) -> Error {
    Error::Model { file: file.to_owned(), reason: reason.to_string() }
}

/// The view's elements in row-major order.
fn gather(view: &View, storage: Vec<u8>) -> Result<Vec<u8>, String> {
    const OUTSIDE: &str = "it reaches beyond its storage";
    if view.stride.len() != view.shape.len() {
        return Err("size and stride have different lengths".into());
    }
    let count = view.shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).ok_or(OUTSIDE)?;
    if count == 0 || count > view.elements {
        return Err(if count == 0 { "it is empty".into() } else { OUTSIDE.into() });
    }
    let last = view
        .shape
        .iter()
        .zip(&view.stride)
        .try_fold(view.offset, |at, (&d, &s)| at.checked_add((d - 1).checked_mul(s)?));
    if last.is_none_or(|last| last >= view.elements) {
        return Err(OUTSIDE.into());
    }
    let width = view.dtype.size_in_bytes();
    let mut dense = 1;
    let contiguous = view.shape.iter().zip(&view.stride).rev().all(|(&d, &s)| {
        let fits = d == 1 || s == dense;
        dense *= d;
        fits
    });
    if contiguous {
        return Ok(if view.elements == count {
            storage
        } else {
            storage[view.offset * width..][..count * width].to_vec()
        });
    }
    let mut bytes = Vec::with_capacity(count * width);
    let mut index = vec![0; view.shape.len()];
    for _ in 0..count {
        let at = view.offset + index.iter().zip(&view.stride).map(|(i, s)| i * s).sum::<usize>();
        bytes.extend_from_slice(&storage[at * width..][..width]);
        for (i, &d) in index.iter_mut().zip(&view.shape).rev() {
            *i += 1;
            if *i < d {
                break;
            }
            *i = 0;
        }
    }
    Ok(bytes)
}

#[derive(serde::Deserialize)]
struct Described {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [u64; 2],
}

/// The tensors of a safetensors file.
fn safetensors<R: Read + Seek>(file: &mut R, length: u64) -> Result<BTreeMap<String, View>, String> {
    const FOREIGN: &str = "it is neither a PyTorch checkpoint nor a safetensors file";
    let mut size = [0; 8];
    file.rewind().and_then(|()| file.read_exact(&mut size)).map_err(|_| FOREIGN)?;
    let size = u64::from_le_bytes(size);
    let start = size.checked_add(8).filter(|&start| size <= LONGEST_HEADER && start <= length).ok_or(FOREIGN)?;
    let mut header = Vec::new();
    file.take(size).read_to_end(&mut header).map_err(|error| error.to_string())?;
    let header: BTreeMap<String, serde_json::Value> = serde_json::from_slice(&header).map_err(|_| FOREIGN)?;
    let mut tensors = BTreeMap::new();
    for (name, value) in header {
        if name == "__metadata__" {
            continue;
        }
        let fail = |reason: &str| format!("tensor `{name}`: {reason}");
        let described: Described = serde_json::from_value(value).map_err(|error| fail(&error.to_string()))?;
        let dtype = match described.dtype.as_str() {
            "F32" => DType::F32,
            "F64" => DType::F64,
            "F16" => DType::F16,
            "BF16" => DType::BF16,
            "I64" => DType::I64,
            "I32" => DType::I32,
            "U8" | "BOOL" => DType::U8,
            other => return Err(fail(&format!("type `{other}` is unknown"))),
        };
        let [from, to] = described.data_offsets;
        let bytes =
            to.checked_sub(from).filter(|_| to <= length - start).ok_or_else(|| fail("it lies outside the file"))?;
        let elements = described.shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        let elements = elements
            .filter(|n| n.checked_mul(dtype.size_in_bytes()).map(|b| b as u64) == Some(bytes))
            .ok_or_else(|| fail(&format!("{bytes} bytes do not hold shape {:?}", described.shape)))?;
        let mut stride = vec![1; described.shape.len()];
        for i in (1..stride.len()).rev() {
            stride[i - 1] = stride[i] * described.shape[i];
        }
        let place = Place::At(start + from);
        tensors.insert(name, View { dtype, shape: described.shape, stride, offset: 0, elements, place });
    }
    Ok(tensors)
}
