//! Why bytes are no image.

use super::dicom::DicomError;
use crate::limits::{MAX_FILE_BYTES, MAX_PIXELS, MAX_SIDE};

/// Why bytes are no image that can be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The file begins as no image that is read here. Convert it to PNG, JPEG or DICOM; its ending does not matter.
    #[error("expected a PNG, JPEG or DICOM file, found {found}")]
    Unrecognised {
        /// What the file begins as.
        found: String,
    },
    /// The file is larger than any radiograph. See what it is; convert a stack of images to single ones.
    #[error("more than {MAX_FILE_BYTES} bytes")]
    TooManyBytes,
    /// An image has no pixels, or too many. Reduce it.
    #[error(
        "height {height}, width {width}: expected sides of 1 to {MAX_SIDE} pixels and at most {MAX_PIXELS} pixels in all"
    )]
    Size {
        /// In pixels.
        height: usize,
        /// In pixels.
        width: usize,
    },
    /// A PNG or JPEG is damaged or of a kind that is not read. Fetch it again, or convert it.
    #[error(transparent)]
    Codec(#[from] image::ImageError),
    /// A JPEG is damaged or of a kind that is not read. Fetch it again, or convert it.
    #[error("JPEG: {0}")]
    Jpeg(&'static str),
    /// A DICOM file is no radiograph that can be shown; the reason names the attribute.
    #[error("DICOM: {0}")]
    Dicom(DicomError),
}

impl From<DicomError> for DecodeError {
    fn from(error: DicomError) -> Self {
        Self::Dicom(error)
    }
}
