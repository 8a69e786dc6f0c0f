//! From the bytes of an image file to [`Pixels`]: PNG, JPEG and DICOM, told apart by content, within limits that hold
//! before memory is taken. Resizing and normalising belong to the model.

mod common;
pub mod dicom;
mod jpeg;

use std::{collections::BTreeSet, fs, io::Read, path::Path};

pub use crate::{
    error::{DecodeError, DicomError},
    limits::{MAX_FILE_BYTES, MAX_PIXELS, MAX_SIDE},
};
use crate::{
    error::{Error, Result},
    pixels::Pixels,
    study::{ImageSource, View},
    warning::{self, Warning},
};

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

/// Decodes a PNG, JPEG or DICOM file held in memory. `path` only names it in errors and warnings.
///
/// PNG and JPEG keep gray gray and colour RGB, see [`Pixels::from_image`]; colour profiles and orientation tags are
/// ignored, as by Pillow. What becomes of DICOM is said in [`dicom`]; what its writer did wrong without harm is told by
/// [`warning::tell`].
///
/// # Errors
/// [`Error::Image`]: bytes of another kind, damaged or incomplete data, an image beyond [`MAX_FILE_BYTES`],
/// [`MAX_SIDE`] or [`MAX_PIXELS`], a DICOM object that holds anything but one image of a supported kind.
pub fn decode(path: &Path, bytes: &[u8]) -> Result<Pixels> {
    let (pixels, warnings) = examine(path, bytes)?;
    warning::tell(path, &warnings);
    Ok(pixels)
}

/// As [`decode`], but hands the warnings back, each kind at most once, instead of telling them.
///
/// # Errors
/// As [`decode`].
pub fn examine(path: &Path, bytes: &[u8]) -> Result<(Pixels, Vec<Warning>)> {
    let mut warnings = Vec::new();
    let decoded = if bytes.len() as u64 > MAX_FILE_BYTES {
        Err(DecodeError::TooManyBytes)
    } else if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        common::png(bytes)
    } else if bytes.starts_with(b"\xff\xd8\xff") {
        common::jpeg(bytes)
    } else if dicom::is_dicom(bytes) {
        dicom::decode(bytes, &mut warnings)
    } else {
        Err(DecodeError::Unrecognised { found: start(bytes) })
    };
    let mut kinds = BTreeSet::new();
    warnings.retain(|warning| kinds.insert(warning.about));
    decoded.map(|pixels| (pixels, warnings)).map_err(|reason| Error::Image { path: path.to_owned(), reason })
}

/// The first bytes of a file, for an error message.
fn start(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "an empty file".into();
    }
    format!("a file that starts with {}", bytes[..bytes.len().min(16)].escape_ascii())
}
