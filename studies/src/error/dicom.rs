//! What a DICOM file can lack, with the attribute, what it says and what was expected.

use dicom_core::Tag;

/// Why a DICOM object is no radiograph that can be shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DicomError {
    /// The file ends too soon, as after an interrupted download. Fetch it again.
    #[error("the data end inside of {what}")]
    CutOff {
        /// The element or item that is incomplete.
        what: String,
    },
    /// A damaged file, or one that was made to do harm. Leave it out.
    #[error("sequences nested deeper than {0} levels")]
    Nested(usize),
    /// A sequence is damaged. Fetch the file again.
    #[error("element {tag} where a sequence item was expected")]
    NotAnItem {
        /// The element that stands there.
        tag: Tag,
    },
    /// An attribute without which no picture can be shown is not there. The file may be no image: leave it out, or
    /// export it again.
    #[error("{attribute} is missing")]
    Missing {
        /// Its name in the DICOM standard.
        attribute: &'static str,
    },
    /// An attribute has a value that is not supported, such as a palette of colours or several frames. Export the image
    /// as a single grey one.
    #[error("{attribute} is {found}: expected {expected}")]
    Attribute {
        /// Its name in the DICOM standard.
        attribute: &'static str,
        /// What it says.
        found: String,
        /// What would do.
        expected: String,
    },
    /// The pixels are compressed in a way that is not read. Convert the file to one of the syntaxes in the message, for
    /// instance with `gdcmconv` or `dcmdjpeg`.
    #[error("transfer syntax {uid} ({name}) is not supported: expected one of {expected}")]
    TransferSyntax {
        /// The syntax that the file names.
        uid: String,
        /// Its name, or that it is unknown.
        name: String,
        /// The syntaxes that are read.
        expected: &'static str,
    },
    /// The header says that the data are written one way, and they are not. The file was changed by a faulty program:
    /// export it again.
    #[error("the data set does not fit transfer syntax {uid} ({name}), which the file names: {reason}")]
    Misnamed {
        /// The syntax that the file names.
        uid: String,
        /// Its name.
        name: &'static str,
        /// Where the data do not fit it.
        reason: String,
    },
    /// The compressed data are damaged. Fetch the file again.
    #[error("the deflated data set: {0}")]
    Deflated(std::io::Error),
    /// There are more or fewer pixels than rows and columns say, or they are not where they should be. Fetch or export
    /// the file again.
    #[error("pixel data: {found}, expected {expected}")]
    PixelData {
        /// What there is.
        found: String,
        /// What rows, columns and bits ask for.
        expected: String,
    },
    /// The lossless JPEG in the file is damaged. Fetch it again.
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
