//! What a DICOM file can lack, with the attribute, what it says and what was expected.

use dicom_core::Tag;

/// Why a DICOM object is no radiograph that can be shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DicomError {
    #[error("the data end inside of {what}")]
    CutOff { what: String },
    #[error("sequences nested deeper than {0} levels")]
    Nested(usize),
    #[error("element {tag} where a sequence item was expected")]
    NotAnItem { tag: Tag },
    #[error("{attribute} is missing")]
    Missing { attribute: &'static str },
    #[error("{attribute} is {found}: expected {expected}")]
    Attribute { attribute: &'static str, found: String, expected: String },
    #[error("transfer syntax {uid} ({name}) is not supported: expected one of {expected}")]
    TransferSyntax { uid: String, name: String, expected: &'static str },
    #[error("the data set does not fit transfer syntax {uid} ({name}), which the file names: {reason}")]
    Misnamed { uid: String, name: &'static str, reason: String },
    #[error("the deflated data set: {0}")]
    Deflated(std::io::Error),
    #[error("pixel data: {found}, expected {expected}")]
    PixelData { found: String, expected: String },
    #[error("pixel data: {0}")]
    LosslessJpeg(jpeg_decoder::Error),
}

impl From<jpeg_decoder::Error> for DicomError {
    fn from(error: jpeg_decoder::Error) -> Self {
        Self::LosslessJpeg(error)
    }
}

impl DicomError {
    pub(crate) fn cut_off(what: impl Into<String>) -> Self {
        Self::CutOff { what: what.into() }
    }

    pub(crate) fn attribute(attribute: &'static str, found: impl ToString, expected: impl Into<String>) -> Self {
        Self::Attribute { attribute, found: found.to_string(), expected: expected.into() }
    }

    pub(crate) fn pixels(found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::PixelData { found: found.into(), expected: expected.into() }
    }
}
