//! Reads a safetensors file tensor by tensor, each straight into memory of its final type.
//!
//! candle's CPU tensors own their memory, so mapping the file would only add its pages to those of the tensors. Loading
//! takes the size of the weights in the requested type and a buffer of 1 MiB.

use std::{
    fs::File,
    io::{BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};
use safetensors::{
    Dtype,
    tensor::{Metadata, TensorInfo},
};

use crate::{Error, Result, files};

/// The format's own limit.
const MAX_HEADER: u64 = 100_000_000;
const BUFFER: usize = 1 << 20;

/// An open safetensors file whose header has been checked against its length.
pub struct Reader {
    path: PathBuf,
    file: File,
    metadata: Metadata,
    data_start: u64,
}

impl Reader {
    /// # Errors
    /// A file that can't be read, a header that is no safetensors header, data of another length than the header says.
    pub fn open(path: &Path) -> Result<Self> {
        let refuse = |reason: String| Err(Error::file(path, reason));
        let mut file = files::open(path)?;
        let length = file.metadata().map_err(Error::io(path))?.len();
        let mut prefix = [0; 8];
        if length < 8 {
            return refuse(format!("{length} bytes are too few for a safetensors file"));
        }
        file.read_exact(&mut prefix).map_err(Error::io(path))?;
        let header = u64::from_le_bytes(prefix);
        if header > MAX_HEADER || header > length - 8 {
            return refuse(format!("a header of {header} bytes in a file of {length}: truncated, or not safetensors"));
        }
        let mut text = vec![0; header as usize];
        file.read_exact(&mut text).map_err(Error::io(path))?;
        let metadata: Metadata =
            serde_json::from_slice(&text).map_err(|e| Error::file(path, format!("safetensors header: {e}")))?;
        let data_start = 8 + header;
        let expected = metadata.tensors().values().map(|info| info.data_offsets.1 as u64).max().unwrap_or(0);
        if expected != length - data_start {
            return refuse(format!("{} bytes of tensors, expected {expected}", length - data_start));
        }
        Ok(Self { path: path.into(), file, metadata, data_start })
    }

    /// Names in the order of the file.
    pub fn names(&self) -> Vec<String> {
        self.metadata.offset_keys()
    }

    /// Type, shape and place of a tensor.
    pub fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.metadata.info(name)
    }

    /// Where the tensor's data starts in the file.
    pub fn offset(&self, info: &TensorInfo) -> u64 {
        self.data_start + info.data_offsets.0 as u64
    }

    /// The shape of a tensor that could be read, as far as the header tells.
    ///
    /// # Errors
    /// Another type than F32, BF16 and F16, a shape that does not fit the data.
    pub fn shape(&self, name: &str) -> Result<Vec<usize>> {
        self.checked(name).map(|(info, _)| info.shape.clone())
    }

    /// With the bytes of an element.
    fn checked(&self, name: &str) -> Result<(&TensorInfo, usize)> {
        let refuse = |reason: String| Err(Error::file(&self.path, format!("tensor {name} {reason}")));
        let Some(info) = self.metadata.info(name) else { return refuse("is missing".into()) };
        let (start, end) = info.data_offsets;
        let width = match info.dtype {
            Dtype::F32 => 4,
            Dtype::F16 | Dtype::BF16 => 2,
            other => return refuse(format!("has type {other:?}, expected F32, F16 or BF16")),
        };
        let count = info.shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).and_then(|n| n.checked_mul(width));
        if end.checked_sub(start).is_none() || count != Some(end - start) {
            return refuse(format!("has shape {:?} of {:?} in bytes {start}..{end}", info.shape, info.dtype));
        }
        Ok((info, width))
    }

    /// A tensor in `dtype` (F32, BF16 or F16), whichever of the three the file holds.
    ///
    /// # Errors
    /// As [`Reader::shape`]; a value that is not finite or becomes so in `dtype`.
    pub fn tensor(&mut self, name: &str, dtype: DType, device: &Device) -> Result<Tensor> {
        let (info, width) = self.checked(name)?;
        let (start, end) = info.data_offsets;
        let (shape, source, count) = (info.shape.clone(), info.dtype, (end - start) / width);
        self.file.seek(SeekFrom::Start(self.data_start + start as u64)).map_err(Error::io(&self.path))?;
        let tensor = match dtype {
            DType::F32 => self.values::<f32>(source, count).map(|v| Tensor::from_vec(v, shape, device)),
            DType::BF16 => self.values::<bf16>(source, count).map(|v| Tensor::from_vec(v, shape, device)),
            DType::F16 => self.values::<f16>(source, count).map(|v| Tensor::from_vec(v, shape, device)),
            other => return Err(Error::invalid("dtype", format!("{other:?}; expected F32, BF16 or F16"))),
        };
        let named = |e: Error| Error::file(&self.path, format!("tensor {name}: {e}"));
        Ok(tensor.map_err(named)??)
    }

    fn values<T: Element>(&self, source: Dtype, count: usize) -> Result<Vec<T>> {
        let mut reader = BufReader::with_capacity(BUFFER, &self.file);
        let width = if source == Dtype::F32 { 4 } else { 2 };
        let mut buffer = vec![0u8; BUFFER.min(count * width)];
        let mut values = Vec::with_capacity(count);
        while values.len() < count {
            let bytes = &mut buffer[..BUFFER.min((count - values.len()) * width)];
            reader.read_exact(bytes).map_err(Error::io(&self.path))?;
            let from = values.len();
            match source {
                own if own == T::DTYPE => values.extend(bytes.chunks_exact(width).map(T::of)),
                Dtype::F32 => values.extend(bytes.chunks_exact(4).map(|b| T::from_f32(f32::of(b)))),
                Dtype::BF16 => values.extend(bytes.chunks_exact(2).map(|b| T::from_f32(bf16::of(b).to_f32()))),
                _ => values.extend(bytes.chunks_exact(2).map(|b| T::from_f32(f16::of(b).to_f32()))),
            }
            // Without an early end, so that it vectorises.
            if !values[from..].iter().fold(true, |sound, value| sound & value.finite()) {
                let bad = values[from..].iter().position(|value| !value.finite()).unwrap_or(0);
                let reason = format!("value {} is not finite, or not in the requested type", from + bad);
                return Err(Error::invalid("weights", reason));
            }
        }
        Ok(values)
    }
}

/// A type weights are stored in.
trait Element: Copy {
    const DTYPE: Dtype;
    fn from_f32(value: f32) -> Self;
    fn finite(&self) -> bool;
    /// From little-endian bytes, as many as the type has.
    fn of(bytes: &[u8]) -> Self;
}

impl Element for f32 {
    const DTYPE: Dtype = Dtype::F32;

    fn from_f32(value: f32) -> Self {
        value
    }

    fn finite(&self) -> bool {
        self.is_finite()
    }

    fn of(bytes: &[u8]) -> Self {
        Self::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }
}

macro_rules! half_element {
    ($type:ty, $dtype:ident) => {
        impl Element for $type {
            const DTYPE: Dtype = Dtype::$dtype;

            fn from_f32(value: f32) -> Self {
                <$type>::from_f32(value)
            }

            fn finite(&self) -> bool {
                self.is_finite()
            }

            fn of(bytes: &[u8]) -> Self {
                Self::from_le_bytes([bytes[0], bytes[1]])
            }
        }
    };
}

half_element!(bf16, BF16);
half_element!(f16, F16);
