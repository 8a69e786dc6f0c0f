//! Reads fixtures for the parity tests.

use std::{collections::BTreeMap, path::PathBuf};

use candle_core::{DType, Device};

use crate::testing::{fixture, root};

/// A folder of the fixtures.
pub(super) fn folder(path: &str) -> PathBuf {
    let folder = root().join(path);
    assert!(folder.is_dir(), "{} is missing", folder.display());
    folder
}

/// Shape and values of every tensor of a safetensors file.
pub(super) fn tensors(path: &str) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let loaded = candle_core::safetensors::load_buffer(&fixture(path), &Device::Cpu).unwrap();
    let read = |tensor: candle_core::Tensor| {
        let values = tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        (tensor.dims().to_vec(), values)
    };
    loaded.into_iter().map(|(name, tensor)| (name, read(tensor))).collect()
}

/// Fails when the values differ by more than a tolerance anywhere.
#[track_caller]
pub(super) fn close(got: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (i, (a, b)) in got.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= tolerance, "{what}: value {i} is {a}, expected {b}");
    }
}
