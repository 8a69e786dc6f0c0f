//! DICOM files: one radiograph, brought to the gray levels that a viewer would show.
//!
//! Gray values pass the stages of PS3.3 section C.11: modality (rescale slope and intercept, or lookup table), then
//! values of interest (a window; else a lookup table; else the full range of the stored bits in 256 equal steps, as for
//! 16-bit PNG; whatever of these shows next to nothing of the image gives way to the next, and the range of the values
//! that occur is the last), then MONOCHROME1 is inverted. Colour is taken as 8-bit RGB or YBR_FULL. What has several
//! frames, a palette, or a compression without a decoder here is refused.
//!
//! Read are Part 10 files (a preamble, `DICM`, file meta information) whose data set is in implicit or explicit
//! little endian, deflated or big endian, with pixel data that are uncompressed, RLE, or JPEG (8-bit baseline,
//! extended and progressive; lossless up to 16 bits). What deviates from the standard but can mean only one thing is
//! read with a [`Warning`]. Not this module's business: patients, overlays, presentation states.
//!
//! Data sets are walked by hand, on top of the `dicom-*` crates' decoders of element headers and their dictionaries,
//! instead of being read into `dicom-object`'s tree: that takes the memory which a length field announces before the
//! bytes are seen, follows nested sequences by recursion, and copies and parses every attribute of the patient, while
//! a dataset's files come from strangers and a dozen attributes say what an image is.

mod colour;
mod elements;
mod frame;
mod gray;
mod header;
mod modality;
mod padding;
mod population;
mod rle;
mod start;
mod syntax;
mod table;
mod values;
mod window;

use super::common::check_size;
use crate::{error::DecodeError, pixels::Pixels, warning::Warning};
use elements::Elements;
use frame::Frame;
use header::{Header, Photometric};
use syntax::Syntax;

/// Whether this is a DICOM file, or at least the data set of one.
pub fn is_dicom(bytes: &[u8]) -> bool {
    start::find(bytes).is_some()
}

/// Decodes a file for which [`is_dicom`] holds, and adds what was wrong with it without harm to `warnings`.
///
/// # Errors
/// [`DecodeError::Dicom`] and [`DecodeError::Size`]; those of the codecs for compressed pixel data.
pub fn decode(bytes: &[u8], warnings: &mut Vec<Warning>) -> Result<Pixels, DecodeError> {
    let (syntax, rest) = Syntax::of_file(bytes, warnings)?;
    let (data_set, encoding) = syntax.data_set(rest, warnings)?;
    let elements = Elements::read(&data_set, encoding)?;
    let header = Header::read(&elements, warnings)?;
    check_size(header.rows, header.columns)?;
    let levels = match Frame::read(&elements, &header, syntax.compression)? {
        Frame::Gray(values) => {
            let inverted = header.photometric == Photometric::Monochrome1;
            gray::levels(&elements, &header, values, inverted, warnings)?
        }
        Frame::Rgb(levels) => levels,
    };
    Ok(Pixels::new(header.rows, header.columns, header.samples, levels))
}
