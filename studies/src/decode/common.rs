//! PNG and JPEG files, and the size of any image.

use std::io::Cursor;

use ::image::{
    DynamicImage, ImageDecoder, ImageResult, Limits,
    codecs::{jpeg::JpegDecoder, png::PngDecoder},
};

use super::jpeg;
use crate::{
    error::DecodeError,
    limits::{MAX_PIXELS, MAX_SIDE},
    pixels::Pixels,
};

/// # Errors
/// [`DecodeError::Size`] unless the sides are within the limits.
pub fn check_size(height: usize, width: usize) -> Result<(), DecodeError> {
    let sides = 1..=MAX_SIDE;
    if sides.contains(&height) && sides.contains(&width) && height * width <= MAX_PIXELS {
        Ok(())
    } else {
        Err(DecodeError::Size { height, width })
    }
}

/// Most bytes of one pixel: 16-bit RGB with alpha.
const MAX_PIXEL_BYTES: usize = 8;

pub fn png(bytes: &[u8]) -> Result<Pixels, DecodeError> {
    decode(PngDecoder::with_limits(Cursor::new(bytes), limits()))
}

pub fn jpeg(bytes: &[u8]) -> Result<Pixels, DecodeError> {
    jpeg_image(bytes).map(Pixels::from_image)
}

/// The image of a JPEG stream with 8 bits per sample, sequential or progressive.
pub fn jpeg_image(bytes: &[u8]) -> Result<DynamicImage, DecodeError> {
    let header = jpeg::inspect(bytes).map_err(DecodeError::Jpeg)?;
    check_size(header.height, header.width)?;
    image(JpegDecoder::new(Cursor::new(bytes)))
}

fn decode(decoder: ImageResult<impl ImageDecoder>) -> Result<Pixels, DecodeError> {
    image(decoder).map(Pixels::from_image)
}

fn image(decoder: ImageResult<impl ImageDecoder>) -> Result<DynamicImage, DecodeError> {
    let mut decoder = decoder?;
    let (width, height) = decoder.dimensions();
    check_size(height as usize, width as usize)?;
    decoder.set_limits(limits())?;
    Ok(DynamicImage::from_decoder(decoder)?)
}

/// For what a codec allocates: the pixels, whose number is checked first, and what lies beside them in a file.
fn limits() -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some((MAX_PIXELS * MAX_PIXEL_BYTES) as u64);
    limits
}
