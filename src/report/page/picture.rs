//! Radiographs small enough for a page, as data.

use addendum_studies::{Pixels, Projection, Study, Timing, View};
use base64::{Engine, engine::general_purpose::STANDARD};
use image::{DynamicImage, GrayImage, RgbImage, codecs::jpeg::JpegEncoder, imageops::FilterType};

use super::html::escape;

/// Of a study, at most so many.
const VIEWS: usize = 2;

const QUALITY: u8 = 78;

/// The current radiographs of a study, their longer sides at most `side` pixels; or why there is none.
pub(super) fn of(study: &Study, side: u32) -> Result<String, String> {
    let current = study.views.iter().filter(|view| view.timing == Timing::Current).take(VIEWS);
    current.map(|view| picture(view, side, &study.id)).collect()
}

fn picture(view: &View, side: u32, id: &str) -> Result<String, String> {
    let pixels = view.load().map_err(|error| error.to_string())?;
    let small = smaller(&pixels, side).ok_or("an image without pixels")?;
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, QUALITY).encode_image(&small).map_err(|error| error.to_string())?;
    let projection = match view.projection {
        Projection::Frontal => "Frontal",
        Projection::Lateral => "Lateral",
    };
    Ok(format!(
        "<img src=\"data:image/jpeg;base64,{}\" width=\"{}\" height=\"{}\" alt=\"{projection} radiograph of {}\" \
         loading=\"lazy\">\n",
        STANDARD.encode(bytes),
        small.width(),
        small.height(),
        escape(id)
    ))
}

fn smaller(pixels: &Pixels, side: u32) -> Option<DynamicImage> {
    let (width, height) = (u32::try_from(pixels.width()).ok()?, u32::try_from(pixels.height()).ok()?);
    let levels = pixels.levels().to_vec();
    let image = match pixels.channels() {
        1 => DynamicImage::ImageLuma8(GrayImage::from_raw(width, height, levels)?),
        _ => DynamicImage::ImageRgb8(RgbImage::from_raw(width, height, levels)?),
    };
    if width == 0 || height == 0 {
        return None;
    }
    Some(if width.max(height) > side { image.resize(side, side, FilterType::Triangle) } else { image })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_image_becomes_small_and_keeps_its_shape() {
        for channels in [1, 3] {
            let small = smaller(&Pixels::new(900, 1800, channels, vec![7; 900 * 1800 * channels]), 320).unwrap();
            assert_eq!((small.width(), small.height()), (320, 160));
        }
        let tiny = smaller(&Pixels::new(10, 20, 1, vec![7; 200]), 320).unwrap();
        assert_eq!((tiny.width(), tiny.height()), (20, 10));
        assert!(smaller(&Pixels::new(0, 0, 1, Vec::new()), 320).is_none());
    }
}
