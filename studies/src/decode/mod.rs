//! From the bytes of an image file to [`Pixels`]: PNG, JPEG and DICOM, told apart by content, within limits that hold
//! before memory is taken. Resizing and normalising belong to the model.

mod common;
pub mod dicom;
mod jpeg;

use std::{fs, io::Read, path::Path};

pub use dicom::DicomError;

use crate::{Error, ImageSource, Pixels, Result, View};

/// Longest side of an image that is decoded, in pixels.
pub const MAX_SIDE: usize = 1 << 14;
/// Most pixels of an image that is decoded: height × width. Detectors deliver about 20 million.
pub const MAX_PIXELS: usize = 1 << 26;
/// Most bytes of an image file, and of what a compressed DICOM data set inflates to.
pub const MAX_FILE_BYTES: u64 = 1 << 28;

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
    Codec(#[from] ::image::ImageError),
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

impl View {
    /// The radiograph, see [`decode`].
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Image`], which name the file.
    pub fn load(&self) -> Result<Pixels> {
        match &self.image {
            ImageSource::Pixels(image) => Ok(Pixels::from(&**image)),
            ImageSource::File(path) => load(path),
        }
    }
}

/// Reads and decodes an image file, see [`decode`].
///
/// # Errors
/// [`Error::Io`] and [`Error::Image`], which name the file.
pub fn load(path: &Path) -> Result<Pixels> {
    let file = fs::File::open(path).map_err(Error::io(path))?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(Error::io(path))?;
    decode(path, &bytes)
}

/// Decodes a PNG, JPEG or DICOM file held in memory. `path` only names it in errors.
///
/// PNG and JPEG keep gray gray and colour RGB, see [`Pixels::from_image`]; colour profiles and orientation tags are
/// ignored, as by Pillow. What becomes of DICOM is said in [`dicom`].
///
/// # Errors
/// [`Error::Image`]: bytes of another kind, damaged or incomplete data, an image beyond [`MAX_FILE_BYTES`],
/// [`MAX_SIDE`] or [`MAX_PIXELS`], a DICOM object that holds anything but one image of a supported kind.
pub fn decode(path: &Path, bytes: &[u8]) -> Result<Pixels> {
    let decoded = if bytes.len() as u64 > MAX_FILE_BYTES {
        Err(DecodeError::TooManyBytes)
    } else if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        common::png(bytes)
    } else if bytes.starts_with(b"\xff\xd8\xff") {
        common::jpeg(bytes)
    } else if dicom::is_dicom(bytes) {
        dicom::decode(bytes)
    } else {
        Err(DecodeError::Unrecognised { found: start(bytes) })
    };
    decoded.map_err(|reason| Error::Image { path: path.to_owned(), reason })
}

/// # Errors
/// [`DecodeError::Size`] unless the sides are within the limits.
fn check_size(height: usize, width: usize) -> Result<(), DecodeError> {
    let sides = 1..=MAX_SIDE;
    if sides.contains(&height) && sides.contains(&width) && height * width <= MAX_PIXELS {
        Ok(())
    } else {
        Err(DecodeError::Size { height, width })
    }
}

/// The first bytes of a file, for an error message.
fn start(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "an empty file".into();
    }
    format!("a file that starts with {}", bytes[..bytes.len().min(16)].escape_ascii())
}
