//! Transfer syntaxes: how a DICOM file says that it is encoded and compressed.

use std::{borrow::Cow, io::Read};

use dicom_dictionary_std::{tags, uids};
use dicom_encoding::{Codec, TransferSyntaxIndex};
use dicom_transfer_syntax_registry::TransferSyntaxRegistry;

use super::{
    DicomError,
    elements::{Encoding, Reader},
};
use crate::decode::{DecodeError, MAX_FILE_BYTES};

const SUPPORTED: &str = "implicit or explicit VR little endian, explicit VR big endian, deflated, RLE lossless, \
                         JPEG baseline, extended (8 bits), progressive (8 bits) and lossless";

/// How the pixel data are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    Rle,
    /// Of any process; the stream says which.
    Jpeg,
}

#[derive(Debug)]
pub struct Syntax {
    uid: &'static str,
    pub encoding: Encoding,
    pub compression: Compression,
}

impl Syntax {
    /// Reads the file meta information, which is always in explicit VR little endian. Also gives the bytes after it.
    ///
    /// # Errors
    /// Damaged file meta information; a transfer syntax that is missing or not supported, with its name.
    pub fn of_file(bytes: &[u8]) -> Result<(Self, &[u8]), DicomError> {
        let mut reader = Reader { data: bytes, encoding: Encoding::ExplicitLittle };
        let mut uid = None;
        while reader.data.starts_with(&[2, 0]) {
            let Some(element) = reader.next_element()? else { break };
            if element.tag == tags::TRANSFER_SYNTAX_UID {
                uid = Some(String::from_utf8_lossy(element.value));
            }
        }
        let uid = uid.ok_or(DicomError::Missing { attribute: "Transfer Syntax UID (0002,0010)" })?;
        Ok((Self::new(uid.trim_end_matches(['\0', ' ']))?, reader.data))
    }

    fn new(uid: &str) -> Result<Self, DicomError> {
        use Compression::{Jpeg, None, Rle};
        use Encoding::{ExplicitBig, ExplicitLittle, ImplicitLittle};
        let known = TransferSyntaxRegistry.get(uid);
        let (encoding, compression) = match uid {
            uids::IMPLICIT_VR_LITTLE_ENDIAN => (ImplicitLittle, None),
            uids::EXPLICIT_VR_LITTLE_ENDIAN | uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN => (ExplicitLittle, None),
            EXPLICIT_VR_BIG_ENDIAN => (ExplicitBig, None),
            uids::RLE_LOSSLESS => (ExplicitLittle, Rle),
            uids::JPEG_BASELINE8_BIT
            | uids::JPEG_EXTENDED12_BIT
            | JPEG_PROGRESSIVE
            | uids::JPEG_LOSSLESS
            | uids::JPEG_LOSSLESS_SV1 => (ExplicitLittle, Jpeg),
            _ => {
                let name = known.map_or("unknown", |syntax| syntax.name()).to_owned();
                return Err(DicomError::TransferSyntax { uid: uid.to_owned(), name, expected: SUPPORTED });
            }
        };
        let uid = known.map_or("", |syntax| syntax.uid());
        Ok(Self { uid, encoding, compression })
    }

    /// The data set, which one transfer syntax compresses as a whole.
    ///
    /// # Errors
    /// Damaged data; more than [`MAX_FILE_BYTES`] of them.
    pub fn inflate<'a>(&self, bytes: &'a [u8]) -> Result<Cow<'a, [u8]>, DecodeError> {
        let Some(Codec::Dataset(Some(adapter))) = TransferSyntaxRegistry.get(self.uid).map(|syntax| syntax.codec())
        else {
            return Ok(Cow::Borrowed(bytes));
        };
        let mut inflated = Vec::new();
        let reader = adapter.adapt_reader(Box::new(bytes));
        reader.take(MAX_FILE_BYTES + 1).read_to_end(&mut inflated).map_err(DicomError::Deflated)?;
        if inflated.len() as u64 > MAX_FILE_BYTES {
            return Err(DecodeError::TooManyBytes);
        }
        Ok(Cow::Owned(inflated))
    }
}

/// Retired, but still found in archives.
const EXPLICIT_VR_BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";
/// Full progression, processes 10 and 12. Retired.
const JPEG_PROGRESSIVE: &str = "1.2.840.10008.1.2.4.55";
