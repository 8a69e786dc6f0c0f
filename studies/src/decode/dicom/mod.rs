//! DICOM files: one radiograph, brought to the gray levels that a viewer would show.
//!
//! Gray values pass the stages of PS3.3 section C.11: modality (rescale slope and intercept, or lookup table), then
//! values of interest (the first window; else the first lookup table; else the full range of the stored bits in 256
//! equal steps, as for 16-bit PNG), then MONOCHROME1 is inverted. Colour is taken as 8-bit RGB or YBR_FULL. What has
//! several frames, a palette, or a compression without a decoder here is refused.
//!
//! Read are Part 10 files (a preamble, `DICM`, file meta information) whose data set is in implicit or explicit
//! little endian, deflated or big endian, with pixel data that are uncompressed, RLE, or JPEG (8-bit baseline,
//! extended and progressive; lossless up to 16 bits). Not this module's business: patients, overlays, presentation
//! states, pixel padding.

mod colour;
mod elements;
mod error;
mod frame;
mod gray;
mod header;
mod rle;
mod syntax;

pub use error::DicomError;

use super::{DecodeError, check_size};
use crate::Pixels;
use elements::Elements;
use frame::Frame;
use header::{Header, Photometric};
use syntax::Syntax;

/// Bytes before the prefix, free for any use.
const PREAMBLE: usize = 128;
const PREFIX: &[u8] = b"DICM";

/// Whether this is a DICOM file with its preamble.
pub fn is_dicom(bytes: &[u8]) -> bool {
    bytes.get(PREAMBLE..).is_some_and(|rest| rest.starts_with(PREFIX))
}

/// Decodes a file for which [`is_dicom`] holds.
///
/// # Errors
/// [`DecodeError::Dicom`] and [`DecodeError::Size`]; those of the codecs for compressed pixel data.
pub fn decode(bytes: &[u8]) -> Result<Pixels, DecodeError> {
    let rest = bytes.get(PREAMBLE + PREFIX.len()..).unwrap_or_default();
    let (syntax, rest) = Syntax::of_file(rest)?;
    let data_set = syntax.inflate(rest)?;
    let elements = Elements::read(&data_set, syntax.encoding)?;
    let header = Header::read(&elements)?;
    check_size(header.rows, header.columns)?;
    let levels = match (Frame::read(&elements, &header, &syntax)?, header.photometric) {
        (Frame::Gray(values), Photometric::Monochrome1) => gray::levels(&elements, &header, &values, true)?,
        (Frame::Gray(values), _) => gray::levels(&elements, &header, &values, false)?,
        (Frame::Rgb(levels), _) => levels,
    };
    Ok(Pixels::new(header.rows, header.columns, header.samples, levels))
}
