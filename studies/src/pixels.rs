//! Decoding of radiographs to 8-bit grayscale.

use std::{path::Path, sync::Arc};

use image::{DynamicImage, GrayImage, ImageReader, Limits};

use crate::{Error, ImageSource, Result, View};

/// Longest side that is decoded, in pixels. Detectors deliver at most about 5,000.
const MAX_SIDE: u32 = 16_384;
/// Most memory that decoding one image may take, in bytes.
const MAX_DECODED_BYTES: u64 = 1 << 29;

impl View {
    /// The radiograph as 8-bit grayscale, height × width.
    ///
    /// Reads PNG and JPEG (by content, not by name). 16-bit values are scaled from their full range, colours become
    /// ITU-R BT.601 luma, alpha is ignored.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Image`] name the file; images with a side of more than
    /// 16,384 pixels or more than 512 MiB of decoded data are refused.
    pub fn load(&self) -> Result<Arc<GrayImage>> {
        match &self.image {
            ImageSource::Pixels(image) => Ok(image.clone()),
            ImageSource::File(path) => decode(path).map(Arc::new),
        }
    }
}

fn decode(path: &Path) -> Result<GrayImage> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_DECODED_BYTES);
    let mut reader = ImageReader::open(path).and_then(ImageReader::with_guessed_format).map_err(Error::io(path))?;
    reader.limits(limits);
    let image = reader.decode().map_err(|source| Error::Image { path: path.to_owned(), source })?;
    Ok(to_gray(image))
}

fn to_gray(image: DynamicImage) -> GrayImage {
    match image {
        DynamicImage::ImageLuma8(image) => image,
        DynamicImage::ImageLuma16(image) => map(&image, |p| narrow(p[0])),
        DynamicImage::ImageLumaA8(image) => map(&image, |p| p[0]),
        DynamicImage::ImageLumaA16(image) => map(&image, |p| narrow(p[0])),
        DynamicImage::ImageRgb8(image) => map(&image, |p| luma([p[0], p[1], p[2]])),
        DynamicImage::ImageRgba8(image) => map(&image, |p| luma([p[0], p[1], p[2]])),
        other => map(&other.into_rgb16(), |p| luma([narrow(p[0]), narrow(p[1]), narrow(p[2])])),
    }
}

fn map<P: image::Pixel>(
    image: &image::ImageBuffer<P, Vec<P::Subpixel>>,
    gray: impl Fn(&[P::Subpixel]) -> u8,
) -> GrayImage {
    let mut out = GrayImage::new(image.width(), image.height());
    for (to, from) in out.pixels_mut().zip(image.pixels()) {
        to.0 = [gray(from.channels())];
    }
    out
}

/// 0..=65535 to 0..=255, rounded.
fn narrow(value: u16) -> u8 {
    ((u32::from(value) + 128) / 257) as u8
}

/// BT.601 in 16-bit fixed point.
fn luma([r, g, b]: [u8; 3]) -> u8 {
    ((u32::from(r) * 19_595 + u32::from(g) * 38_470 + u32::from(b) * 7_471 + 0x8000) >> 16) as u8
}
