//! Reads fixtures for the parity tests.

use std::{collections::BTreeMap, path::PathBuf};

use candle_core::{DType, Device, Tensor};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use addendum_fixtures::{fixture, root};

/// A folder of the fixtures.
pub(super) fn folder(path: &str) -> PathBuf {
    let folder = root().join(path);
    assert!(folder.is_dir(), "{} is missing", folder.display());
    folder
}

/// Shape and values of every tensor of a safetensors file.
pub(super) fn tensors(path: &str) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let bytes = fixture(path);
    let loaded = SafeTensors::deserialize(&bytes).unwrap();
    let read = |view: &TensorView<'_>| -> Vec<f32> {
        let numbers = match view.dtype() {
            Dtype::F32 => DType::F32,
            Dtype::I64 => DType::I64,
            _ => DType::U8,
        };
        let tensor = Tensor::from_raw_buffer(view.data(), numbers, view.shape(), &Device::Cpu).unwrap();
        tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    };
    loaded.iter().map(|(name, view)| (name.to_owned(), (view.shape().to_vec(), read(&view)))).collect()
}

/// Fails when the values differ by more than a tolerance anywhere.
#[track_caller]
pub(super) fn close(got: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (i, (a, b)) in got.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= tolerance, "{what}: value {i} is {a}, expected {b}");
    }
}
