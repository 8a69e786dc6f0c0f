//! The 8-bit image that every radiograph becomes before a model sees it, whatever file it came from.

use ::image::{DynamicImage, GenericImageView, GrayImage};

/// An 8-bit image with one (gray) or three (RGB) interleaved channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pixels {
    height: usize,
    width: usize,
    channels: usize,
    levels: Vec<u8>,
}

impl Pixels {
    /// `levels` holds height × width × channels values, row by row; values beyond that are dropped, missing ones are 0.
    /// There are one or three channels.
    pub fn new(height: usize, width: usize, channels: usize, mut levels: Vec<u8>) -> Self {
        let channels = if channels == 1 { 1 } else { 3 };
        levels.resize(height * width * channels, 0);
        Self { height, width, channels, levels }
    }

    /// Gray stays gray, everything else becomes RGB. Alpha is composited over white. Of 16 bits the upper 8 are kept:
    /// the full range, 0 to 65,535, in 256 equal steps (Pillow saturates at 255 instead, which turns most radiographs
    /// white).
    pub fn from_image(image: DynamicImage) -> Self {
        let (width, height) = image.dimensions();
        let (channels, levels) = match image {
            DynamicImage::ImageLuma8(gray) => (1, gray.into_raw()),
            DynamicImage::ImageLuma16(gray) => (1, narrow(gray.as_raw())),
            DynamicImage::ImageLumaA8(gray) => (1, over_white::<2>(gray.as_raw())),
            DynamicImage::ImageLumaA16(gray) => (1, over_white::<2>(&narrow(gray.as_raw()))),
            DynamicImage::ImageRgb8(colour) => (3, colour.into_raw()),
            DynamicImage::ImageRgb16(colour) => (3, narrow(colour.as_raw())),
            DynamicImage::ImageRgba8(colour) => (3, over_white::<4>(colour.as_raw())),
            DynamicImage::ImageRgba16(colour) => (3, over_white::<4>(&narrow(colour.as_raw()))),
            other => (3, over_white::<4>(other.to_rgba8().as_raw())),
        };
        Self::new(height as usize, width as usize, channels, levels)
    }

    /// In pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// In pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// 1 or 3.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Height × width × channels levels, row by row.
    pub fn levels(&self) -> &[u8] {
        &self.levels
    }

    /// One level; every channel of a gray image is the same. The position must be inside the image.
    pub fn level(&self, y: usize, x: usize, channel: usize) -> u8 {
        self.levels[(y * self.width + x) * self.channels + channel.min(self.channels - 1)]
    }
}

impl From<&GrayImage> for Pixels {
    fn from(gray: &GrayImage) -> Self {
        Self::new(gray.height() as usize, gray.width() as usize, 1, gray.as_raw().clone())
    }
}

/// 0..=65535 to 0..=255 by the high byte.
fn narrow(values: &[u16]) -> Vec<u8> {
    values.iter().map(|value| (value >> 8) as u8).collect()
}

/// Composites interleaved pixels, whose last of `N` channels is alpha, over white, and drops the alpha channel.
fn over_white<const N: usize>(levels: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(levels.len() / N * (N - 1));
    for pixel in levels.chunks_exact(N) {
        let (colours, alpha) = pixel.split_at(N - 1);
        out.extend(colours.iter().map(|&colour| blend_with_white(colour, alpha[0])));
    }
    out
}

/// (colour · alpha + 255 · (255 − alpha)) / 255, rounded.
fn blend_with_white(colour: u8, alpha: u8) -> u8 {
    let (colour, alpha) = (u32::from(colour), u32::from(alpha));
    let sum = colour * alpha + 255 * (255 - alpha);
    ((sum + 127) / 255) as u8
}

#[cfg(test)]
mod tests {
    use ::image::{GrayAlphaImage, ImageBuffer, Luma, LumaA, Rgba, RgbaImage};

    use super::*;

    #[test]
    fn transparent_pixels_are_white_and_opaque_ones_keep_their_colour() {
        let mut image = RgbaImage::from_pixel(2, 1, Rgba([10, 20, 30, 255]));
        image.put_pixel(1, 0, Rgba([10, 20, 30, 0]));
        assert_eq!(Pixels::from_image(image.into()).levels(), [10, 20, 30, 255, 255, 255]);
        let gray = GrayAlphaImage::from_pixel(1, 1, LumaA([0, 51]));
        assert_eq!(Pixels::from_image(gray.into()).levels(), [204]);
        let deep = ImageBuffer::<Rgba<u16>, _>::from_pixel(1, 1, Rgba([0x0a00, 0x14ff, 0x1e80, 0xffff]));
        assert_eq!(Pixels::from_image(deep.into()).levels(), [10, 20, 30]);
        let deep = ImageBuffer::<LumaA<u16>, _>::from_pixel(1, 1, LumaA([0x0a00, 0]));
        assert_eq!(Pixels::from_image(deep.into()).levels(), [255]);
    }

    #[test]
    fn sixteen_bit_values_keep_black_and_white() {
        let image = ImageBuffer::<Luma<u16>, _>::from_vec(4, 1, vec![0, 255, 32_768, 65_535]).unwrap();
        assert_eq!(Pixels::from_image(image.into()).levels(), [0, 0, 128, 255]);
    }
}
