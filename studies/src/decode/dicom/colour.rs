//! Colour pixels, as secondary captures have them.

use super::header::Photometric;
use crate::error::DicomError;

/// 8-bit RGB, interleaved, from samples that lie side by side or in three planes.
///
/// # Errors
/// Colours that are subsampled, which only a JPEG stream may be.
pub fn to_rgb(samples: &[u8], photometric: Photometric, planar: bool) -> Result<Vec<u8>, DicomError> {
    let convert = match photometric {
        Photometric::Rgb => |pixel| pixel,
        Photometric::YbrFull => from_ybr,
        _ => {
            return Err(DicomError::attribute(
                "Photometric Interpretation (0028,0004)",
                "subsampled",
                "RGB or YBR_FULL where pixel data are not JPEG",
            ));
        }
    };
    let plane = samples.len() / 3;
    let at = |pixel: usize, channel: usize| {
        if planar { samples[channel * plane + pixel] } else { samples[3 * pixel + channel] }
    };
    Ok((0..plane).flat_map(|pixel| convert([at(pixel, 0), at(pixel, 1), at(pixel, 2)])).collect())
}

/// The inverse of PS3.3 section C.7.6.3.1.2 (ITU-R BT.601, full range).
fn from_ybr([y, cb, cr]: [u8; 3]) -> [u8; 3] {
    let (y, cb, cr) = (f64::from(y), f64::from(cb) - 128.0, f64::from(cr) - 128.0);
    let rgb = [y + 1.402 * cr, y - (0.114 * 1.772 * cb + 0.299 * 1.402 * cr) / 0.587, y + 1.772 * cb];
    rgb.map(|level| level.round().clamp(0.0, 255.0) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ybr_is_the_inverse_of_the_standards_matrix() {
        for rgb in [[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255], [12, 200, 99]] {
            let [r, g, b] = rgb.map(f64::from);
            let ybr = [
                0.2990 * r + 0.5870 * g + 0.1140 * b,
                -0.1687 * r - 0.3313 * g + 0.5000 * b + 128.0,
                0.5000 * r - 0.4187 * g - 0.0813 * b + 128.0,
            ];
            let back = from_ybr(ybr.map(|value| value.round().min(255.0) as u8));
            assert!(back.iter().zip(rgb).all(|(found, expected)| found.abs_diff(expected) <= 2), "{rgb:?}: {back:?}");
        }
    }

    #[test]
    fn planes_and_interleaved_samples_give_the_same_image() {
        let interleaved = to_rgb(&[1, 2, 3, 4, 5, 6], Photometric::Rgb, false).unwrap();
        assert_eq!(interleaved, [1, 2, 3, 4, 5, 6]);
        assert_eq!(to_rgb(&[1, 4, 2, 5, 3, 6], Photometric::Rgb, true).unwrap(), interleaved);
    }
}
