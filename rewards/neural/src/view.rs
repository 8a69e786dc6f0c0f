//! Where the values of a tensor are in a file.

use candle_core::DType;

/// Where a tensor's storage begins.
pub(super) enum Place {
    /// In an entry of the zip archive.
    Entry(String),
    /// At a byte of the file.
    At(u64),
}

/// A tensor of a file: a strided view of a storage. Sizes, strides and offset count elements.
pub(super) struct View {
    pub(super) dtype: DType,
    pub(super) shape: Vec<usize>,
    pub(super) stride: Vec<usize>,
    pub(super) offset: usize,
    /// Length of the storage.
    pub(super) elements: usize,
    pub(super) place: Place,
}
