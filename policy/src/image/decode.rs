use std::io::Cursor;

use ::image::{DynamicImage, ImageReader, Limits};

use crate::error::{Error, Result};

/// Longest side of an image that is decoded, in pixels.
pub const MAX_SIDE: u32 = 16_384;
/// Most memory that decoding one image may take, in bytes.
pub const MAX_DECODED_BYTES: u64 = 1 << 29;

/// Decodes a PNG or JPEG file held in memory. `name` is what the image is called in errors.
///
/// # Errors
/// Bytes that are neither, that are damaged, or whose image exceeds [`MAX_SIDE`] or [`MAX_DECODED_BYTES`].
pub fn decode_image(name: &str, bytes: &[u8]) -> Result<DynamicImage> {
    let refuse = |error: String| Error::invalid(format!("image {name}"), format!("cannot be decoded: {error}"));
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_DECODED_BYTES);
    let mut reader =
        ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|error| refuse(error.to_string()))?;
    reader.limits(limits);
    reader.decode().map_err(|error| refuse(error.to_string()))
}

#[cfg(test)]
mod tests {
    use ::image::{GrayImage, ImageFormat};

    use super::*;

    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        GrayImage::new(width, height).write_to(&mut bytes, ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn damaged_and_oversized_images_are_refused_by_name() {
        let whole = png(8, 8);
        assert!(decode_image("a.png", &whole).is_ok());
        for bytes in [&whole[..whole.len() / 2], b"not an image", b"", &png(MAX_SIDE + 1, 1)] {
            let error = decode_image("a.png", bytes).unwrap_err().to_string();
            assert!(error.starts_with("image a.png: cannot be decoded: "), "{error}");
        }
    }
}
