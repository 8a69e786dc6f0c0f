//! What can go wrong with a dataset, always with the file, entry and field that caused it.

mod decode;
mod dicom;

use std::path::PathBuf;

pub use decode::DecodeError;
pub use dicom::DicomError;

/// The result of this crate's fallible functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A problem with a dataset or one of its images.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("study {index} asked of a dataset of {len} studies")]
    OutOfRange { index: usize, len: usize },
    #[error("phantom image size {size}: expected {min} to {max} pixels")]
    PhantomSize { size: u32, min: u32, max: u32 },
    /// A knob of a phantom world out of its range.
    #[error("phantom world: {field} is {value}, expected {expected}")]
    World { field: &'static str, value: String, expected: &'static str },
    #[error("{}: {reason}", path.display())]
    Io { path: PathBuf, reason: std::io::Error },
    #[error("{}: no {split} file in this dataset folder; expected one of {expected}", dir.display())]
    NoSplit { dir: PathBuf, split: &'static str, expected: String },
    #[error("{}: not valid JSON{}: {reason}", path.display(), entry.map_or_else(String::new, |entry| format!(" in entry {entry}")))]
    Json { path: PathBuf, entry: Option<usize>, reason: serde_json::Error },
    #[error("{}: expected a JSON array of studies at the top level, found {found}", path.display())]
    NotAnArray { path: PathBuf, found: &'static str },
    #[error("{}: entry {entry}: field `{field}`: {reason}", path.display())]
    Entry { path: PathBuf, entry: usize, field: String, reason: String },
    /// A folder that is not laid out as its dataset's owners say.
    #[error("{}: {reason}", dir.display())]
    Layout { dir: PathBuf, reason: String },
    /// A file of a public dataset that is not as its owners say, such as a table without a column.
    #[error("{}: {reason}", path.display())]
    Source { path: PathBuf, reason: String },
    #[error("{}: cannot decode the image: {reason}", path.display())]
    Image { path: PathBuf, reason: DecodeError },
    #[error("{}: cannot write the image: {reason}", path.display())]
    ImageWrite { path: PathBuf, reason: image::ImageError },
}

impl Error {
    /// Turns an I/O error into one that names `path`.
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |reason| Self::Io { path, reason }
    }
}
