//! Transfer syntaxes: how a DICOM file says that it is encoded and compressed.

use std::{
    borrow::Cow,
    fmt,
    io::{self, Read},
};

use dicom_dictionary_std::{tags, uids};
use dicom_encoding::{Codec, TransferSyntaxIndex};
use dicom_transfer_syntax_registry::TransferSyntaxRegistry;

use super::{
    elements::{Elements, Encoding, Reader},
    start::{self, is_vr},
};
use crate::{
    error::{DecodeError, DicomError},
    limits::MAX_FILE_BYTES,
    warning::Warning,
};

const UID: &str = "Transfer Syntax UID (0002,0010)";
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

/// What a file says of itself.
#[derive(Debug)]
pub struct Syntax {
    /// None in a file that does not say.
    named: Option<Named>,
    pub compression: Compression,
}

#[derive(Debug)]
struct Named {
    uid: &'static str,
    name: &'static str,
    encoding: Encoding,
}

impl Syntax {
    /// Reads the file meta information, which should be in explicit VR little endian. Also gives the bytes after it.
    ///
    /// # Errors
    /// Damaged file meta information; a transfer syntax that is not supported, with its name.
    pub fn of_file<'a>(bytes: &'a [u8], warnings: &mut Vec<Warning>) -> Result<(Self, &'a [u8]), DicomError> {
        let (start, data) = start::find(bytes).ok_or_else(|| DicomError::cut_off("the preamble"))?;
        start.warn(warnings);
        let mut reader = Reader { data, encoding: Encoding::ExplicitLittle };
        if data.starts_with(&[2, 0]) && !vr_of(data).is_some_and(is_vr) {
            reader.encoding = Encoding::ImplicitLittle;
            warnings.push(Warning::new("the file meta information", "is in implicit VR: read so"));
        }
        let mut uid = None;
        while reader.data.starts_with(&[2, 0]) {
            let Some(element) = reader.next_element()? else { break };
            if element.tag == tags::TRANSFER_SYNTAX_UID {
                uid = Some(String::from_utf8_lossy(element.value));
            }
        }
        let uid = uid.as_deref().map(|uid| uid.trim_matches(['\0', ' '])).filter(|uid| !uid.is_empty());
        let syntax = uid.map_or(Ok(Self { named: None, compression: Compression::None }), Self::new)?;
        Ok((syntax, reader.data))
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
        let (uid, name) = known.map_or(("", ""), |syntax| (syntax.uid(), syntax.name()));
        Ok(Self { named: Some(Named { uid, name, encoding }), compression })
    }

    /// The data set and how it is encoded: as the transfer syntax says, or else in the one way in which the bytes are
    /// an image.
    ///
    /// # Errors
    /// Damaged data; data that do not fit the transfer syntax; more than [`MAX_FILE_BYTES`] of them.
    pub fn data_set<'a>(
        &self,
        bytes: &'a [u8],
        warnings: &mut Vec<Warning>,
    ) -> Result<(Cow<'a, [u8]>, Encoding), DecodeError> {
        let as_named = match &self.named {
            Some(named) => named.read(bytes),
            None => Err(DicomError::Missing { attribute: UID }.into()),
        };
        let reading = match as_named {
            Ok(reading) if reading.is_image => reading,
            Err(DecodeError::TooManyBytes) => return Err(DecodeError::TooManyBytes),
            as_named => match (Reading::only(bytes), &self.named) {
                (Some(reading), Some(Named { uid, name, .. })) => {
                    let what = format!("is {uid} ({name}), but the data set is in {reading}: read so");
                    warnings.push(Warning::new(UID, what));
                    reading
                }
                (Some(reading), None) => {
                    warnings.push(Warning::new(UID, format!("is missing: read as {reading}, which alone fits")));
                    reading
                }
                (None, Some(named)) => as_named.map_err(|reason| named.refusal(bytes, reason))?,
                (None, None) => as_named?,
            },
        };
        Ok((reading.data, reading.encoding))
    }
}

impl Named {
    fn is_deflated(&self) -> bool {
        self.uid == uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN
    }

    fn read<'a>(&self, bytes: &'a [u8]) -> Result<Reading<'a>, DecodeError> {
        let data = if self.is_deflated() { inflate(bytes)?.into() } else { bytes.into() };
        Ok(Reading::new(data, self.encoding)?)
    }

    /// Why data cannot be read as named: another way of writing at their very start is the better reason.
    fn refusal(&self, bytes: &[u8], reason: DecodeError) -> DecodeError {
        match first_encoding(bytes).filter(|first| *first != self.encoding || self.is_deflated()) {
            Some(first) => {
                let reason = format!("it starts in {first}");
                DicomError::Misnamed { uid: self.uid.to_owned(), name: self.name, reason }.into()
            }
            None => reason,
        }
    }
}

/// A data set that could be walked from its start to its pixel data.
struct Reading<'a> {
    data: Cow<'a, [u8]>,
    encoding: Encoding,
    is_image: bool,
}

impl<'a> Reading<'a> {
    fn new(data: Cow<'a, [u8]>, encoding: Encoding) -> Result<Self, DicomError> {
        let is_image = Elements::read(&data, encoding)?.are_of_an_image();
        Ok(Self { data, encoding, is_image })
    }

    /// The only way in which the bytes are an image.
    fn only(bytes: &'a [u8]) -> Option<Self> {
        let image = |data, encoding| Self::new(data, encoding).ok().filter(|reading| reading.is_image);
        let mut plain = Encoding::ALL.into_iter().filter_map(|encoding| image(bytes.into(), encoding));
        match (plain.next(), plain.next()) {
            (None, _) => image(inflate(bytes).ok()?.into(), Encoding::ExplicitLittle),
            (only, None) => only,
            (_, Some(_)) => None,
        }
    }
}

impl fmt::Display for Reading<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let deflated = if matches!(self.data, Cow::Owned(_)) { "deflated " } else { "" };
        write!(f, "{deflated}{}", self.encoding)
    }
}

fn inflate(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let syntax = TransferSyntaxRegistry.get(uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN);
    let Some(Codec::Dataset(Some(adapter))) = syntax.map(|syntax| syntax.codec()) else {
        let reason = io::Error::from(io::ErrorKind::Unsupported);
        return Err(DicomError::Deflated(reason).into());
    };
    let mut inflated = Vec::new();
    let reader = adapter.adapt_reader(Box::new(bytes));
    reader.take(MAX_FILE_BYTES + 1).read_to_end(&mut inflated).map_err(DicomError::Deflated)?;
    if inflated.len() as u64 > MAX_FILE_BYTES {
        return Err(DecodeError::TooManyBytes);
    }
    Ok(inflated)
}

/// Where explicit VR names the value representation of an element.
fn vr_of(element: &[u8]) -> Option<[u8; 2]> {
    element.get(4..)?.first_chunk().copied()
}

/// How the first element seems to be written, if it is of the group that data sets of images start with.
fn first_encoding(bytes: &[u8]) -> Option<Encoding> {
    let explicit = vr_of(bytes).is_some_and(is_vr);
    match (bytes.first_chunk()?, explicit) {
        ([8, 0], true) => Some(Encoding::ExplicitLittle),
        ([8, 0], false) => Some(Encoding::ImplicitLittle),
        ([0, 8], true) => Some(Encoding::ExplicitBig),
        _ => None,
    }
}

/// Retired, but still found in archives.
const EXPLICIT_VR_BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";
/// Full progression, processes 10 and 12. Retired.
const JPEG_PROGRESSIVE: &str = "1.2.840.10008.1.2.4.55";
