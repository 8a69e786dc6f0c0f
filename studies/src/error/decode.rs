//! Why bytes are no image.

use super::dicom::DicomError;
use crate::limits::{MAX_FILE_BYTES, MAX_PIXELS, MAX_SIDE};

/// Why bytes are no image that can be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    #[error("expected a PNG, JPEG or DICOM file, found {found}")]
    Unrecognised { found: String },
    #[error("more than {MAX_FILE_BYTES} bytes")]
    TooManyBytes,
    #[error(
        "height {height}, width {width}: expected sides of 1 to {MAX_SIDE} pixels and at most {MAX_PIXELS} pixels in all"
    )]
    Size { height: usize, width: usize },
    #[error(transparent)]
    Codec(#[from] image::ImageError),
    #[error("JPEG: {0}")]
    Jpeg(&'static str),
    #[error("DICOM: {0}")]
    Dicom(DicomError),
}

impl From<DicomError> for DecodeError {
    fn from(error: DicomError) -> Self {
        Self::Dicom(error)
    }
}
