//! The samples of the one frame, uncompressed.

use ::image::DynamicImage;
use dicom_core::VR;

use super::{
    colour,
    elements::{Elements, Encoding},
    header::Header,
    rle,
    syntax::Compression,
};
use crate::{
    decode::{common, jpeg},
    error::{DecodeError, DicomError},
};

#[derive(Debug)]
pub enum Frame {
    /// The allocated bits of each pixel, row by row.
    Gray(Vec<u16>),
    /// 8-bit RGB, interleaved.
    Rgb(Vec<u8>),
}

impl Frame {
    /// # Errors
    /// Pixel data that are absent, too short, damaged, or not what the header announces.
    pub fn read(elements: &Elements, header: &Header, compression: Compression) -> Result<Self, DecodeError> {
        match compression {
            Compression::Jpeg => from_jpeg(&elements.fragments()?, header),
            Compression::Rle => {
                let planes = rle::decode(&elements.fragments()?, header)?;
                // Planes of bytes, the high byte of a sample first.
                Ok(match (header.samples, header.bits_allocated) {
                    (1, 8) => Self::Gray(planes.into_iter().map(u16::from).collect()),
                    (1, _) => {
                        let (high, low) = planes.split_at(planes.len() / 2);
                        Self::Gray(high.iter().zip(low).map(|(high, low)| u16::from_be_bytes([*high, *low])).collect())
                    }
                    _ => Self::Rgb(colour::to_rgb(&planes, header.photometric, true)?),
                })
            }
            Compression::None => plain(elements, header).map_err(Into::into),
        }
    }
}

fn plain(elements: &Elements, header: &Header) -> Result<Frame, DicomError> {
    let element = elements.plain_pixels()?;
    // Bytes in big endian words come in swapped pairs.
    let swapped = elements.encoding == Encoding::ExplicitBig && element.vr == VR::OW && header.bits_allocated == 8;
    let value = if swapped { &swap_pairs(element.value)[..] } else { element.value };
    let expected = header.rows * header.columns * header.samples * (header.bits_allocated / 8) as usize;
    let value = value.get(..expected).ok_or_else(|| {
        DicomError::pixels(format!("{} bytes", value.len()), format!("{expected} for the announced size"))
    })?;
    Ok(match (header.samples, header.bits_allocated) {
        (1, 8) => Frame::Gray(value.iter().copied().map(u16::from).collect()),
        (1, _) => Frame::Gray(value.as_chunks().0.iter().map(|bytes| elements.short(*bytes)).collect()),
        _ => Frame::Rgb(colour::to_rgb(value, header.photometric, header.planar)?),
    })
}

fn swap_pairs(bytes: &[u8]) -> Vec<u8> {
    bytes.as_chunks().0.iter().flat_map(|&[first, second]| [second, first]).collect()
}

fn from_jpeg(bytes: &[u8], header: &Header) -> Result<Frame, DecodeError> {
    let stream = jpeg::inspect(bytes).map_err(DecodeError::Jpeg)?;
    let found = format!("a JPEG stream of {} x {} pixels", stream.height, stream.width);
    if (stream.height, stream.width) != (header.rows, header.columns) {
        return Err(DicomError::pixels(found, format!("{} x {}", header.rows, header.columns)).into());
    }
    if usize::from(stream.components) != header.samples {
        let expected = format!("{} samples per pixel", header.samples);
        return Err(DicomError::pixels(format!("{found} with {} samples", stream.components), expected).into());
    }
    if u32::from(stream.precision) > header.bits_allocated {
        let expected = format!("at most {}", header.bits_allocated);
        return Err(DicomError::pixels(format!("{found} of {} bits", stream.precision), expected).into());
    }
    match (stream.process, stream.precision, stream.components) {
        (0..=2, 8, _) => match common::jpeg_image(bytes)? {
            DynamicImage::ImageLuma8(gray) => Ok(Frame::Gray(gray.into_raw().into_iter().map(u16::from).collect())),
            colour => Ok(Frame::Rgb(colour.into_rgb8().into_raw())),
        },
        // The decoder neither resets its prediction at restarts nor scales it for left-out bits.
        (3, _, _) if stream.restarts || stream.point_transform > 0 => {
            Err(DicomError::pixels("lossless JPEG with restarts or left-out bits", "one without").into())
        }
        (3, 2..=16, 1) => lossless(bytes, header),
        (process, precision, components) => {
            let found = format!("JPEG process SOF{process} of {precision} bits and {components} samples");
            Err(DicomError::pixels(found, "8 bits, or lossless gray").into())
        }
    }
}

/// JPEG lossless (process 14) of one component.
fn lossless(bytes: &[u8], header: &Header) -> Result<Frame, DecodeError> {
    let decoded = jpeg_decoder::Decoder::new(bytes).decode().map_err(DicomError::from)?;
    let count = header.rows * header.columns;
    if decoded.len() == count {
        return Ok(Frame::Gray(decoded.into_iter().map(u16::from).collect()));
    }
    if decoded.len() != 2 * count {
        return Err(DicomError::pixels(format!("{} decoded bytes", decoded.len()), format!("{}", 2 * count)).into());
    }
    Ok(Frame::Gray(decoded.as_chunks().0.iter().map(|bytes| u16::from_ne_bytes(*bytes)).collect()))
}
