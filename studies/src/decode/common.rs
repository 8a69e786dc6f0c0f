//! PNG and JPEG files, and the size of any image.

use std::io::Cursor;

use ::image::{
    DynamicImage, GenericImageView, ImageDecoder, ImageResult, Limits,
    codecs::{jpeg::JpegDecoder, png::PngDecoder},
};

use super::{
    jpeg,
    population::{LEAST_CONTRAST, Population, steps},
};
use crate::{
    error::DecodeError,
    limits::{MAX_PIXELS, MAX_SIDE},
    pixels::Pixels,
    warning::Warning,
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

pub fn png(bytes: &[u8], warnings: &mut Vec<Warning>) -> Result<Pixels, DecodeError> {
    let image = image(PngDecoder::with_limits(Cursor::new(bytes), limits()))?;
    if let DynamicImage::ImageLuma16(gray) = &image
        && let Some(levels) = occurring(gray, warnings)
    {
        let (width, height) = image.dimensions();
        return Ok(Pixels::new(height as usize, width as usize, 1, levels));
    }
    Ok(Pixels::from_image(image))
}

/// The values that occur, from the least to the greatest, where the full range of 16 bits does not show the image: so are
/// 12 bits, as a detector gives them, that were stored in 16 as they are.
fn occurring(values: &[u16], warnings: &mut Vec<Warning>) -> Option<Vec<u8>> {
    let mut counts = vec![0u32; 1 << 16];
    values.iter().for_each(|value| counts[usize::from(*value)] += 1);
    let population = Population::new((0u32..).zip(counts).map(|(value, count)| (f64::from(value), count)))?;
    let contrast = population.contrast(|value| steps(value / f64::from(u16::MAX)));
    if contrast >= LEAST_CONTRAST {
        return None;
    }
    let what = format!("leaves {contrast} of 255 levels between dark and bright: the values that occur are shown");
    warnings.push(Warning::new("the full range of 16 bits", what));
    let [least, greatest] = population.range();
    Some(values.iter().map(|value| steps((f64::from(*value) - least) / (greatest - least))).collect())
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
