//! The detector and its habits: exposure, tone, noise, collimation and marker. This is what tells the sites apart.

use image::GrayImage;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::canvas::{Canvas, Pose, mix};
use crate::phantom::Site;

/// Cells of the slow brightness variation across an image.
const CELLS: usize = 5;

#[derive(Clone, Copy, Debug)]
struct Habits {
    zoom: f32,
    contrast: f32,
    /// Bend of the tone curve, positive is brighter in the middle.
    bend: f32,
    /// Standard deviation, of the full range.
    noise: f32,
    /// Width of the black frame.
    frame: f32,
    /// Top left corner of the side marker in the image.
    marker: Option<(f32, f32)>,
}

fn habits(site: Site) -> Habits {
    match site {
        Site::A => Habits {
            zoom: 1.,
            contrast: 1.,
            bend: 0.,
            noise: 0.016,
            frame: 0.,
            marker: None,
        },
        Site::B => Habits {
            zoom: 0.95,
            contrast: 0.86,
            bend: 0.28,
            noise: 0.026,
            frame: 0.03,
            marker: Some((0.88, 0.06)),
        },
    }
}

/// How a patient of that magnification is positioned for one exposure.
pub fn position(site: Site, zoom: (f32, f32), rng: &mut ChaCha8Rng) -> Pose {
    let scale = habits(site).zoom;
    let mut shift = || rng.random_range(-0.018f32..0.018);
    Pose {
        shift: (shift(), shift()),
        zoom: (zoom.0 * scale, zoom.1 * scale),
    }
}

/// Exposes a canvas to 8-bit pixels.
pub fn expose(site: Site, canvas: &Canvas, size: u32, rng: &mut ChaCha8Rng) -> GrayImage {
    let Habits {
        contrast,
        bend,
        noise,
        frame,
        marker,
        ..
    } = habits(site);
    let gain = contrast * rng.random_range(0.93f32..1.07);
    let offset = rng.random_range(-0.025f32..0.025);
    let bend = bend + rng.random_range(-0.12f32..0.12);
    let mut field = [[0f32; CELLS + 1]; CELLS + 1];
    for value in field.iter_mut().flatten() {
        *value = rng.random_range(-0.02f32..0.02);
    }
    let side = size as usize;
    let mut pixels = Vec::with_capacity(side * side);
    for (i, &value) in canvas.values().iter().enumerate() {
        let (x, y) = (
            ((i % side) as f32 + 0.5) / size as f32,
            ((i / side) as f32 + 0.5) / size as f32,
        );
        let grain = noise * normal(rng);
        let framed = x.min(y).min(1. - x).min(1. - y) < frame;
        let marked = marker.is_some_and(|corner| letter_l(x - corner.0, y - corner.1));
        let tone = value.clamp(0., 1.);
        let tone = 0.5 + (tone + bend * tone * (1. - tone) - 0.5) * gain + offset + slow(&field, x, y);
        let tone = if marked {
            0.95
        } else if framed {
            0.02
        } else {
            tone
        };
        pixels.push(((tone + grain).clamp(0., 1.) * 255. + 0.5) as u8);
    }
    let mut pixels = pixels.into_iter();
    GrayImage::from_fn(size, size, |_, _| image::Luma([pixels.next().unwrap_or(0)]))
}

/// Approximately normal: four uniform 16-bit numbers of one draw (Irwin–Hall), scaled to variance 1.
fn normal(rng: &mut ChaCha8Rng) -> f32 {
    let bits: u64 = rng.random();
    let sum: u32 = (0..4).map(|i| (bits >> (16 * i)) as u32 & 0xffff).sum();
    (sum as f32 / 65_536. - 2.) * 1.732_050_8
}

/// Bilinear between the corners of the cells.
fn slow(field: &[[f32; CELLS + 1]; CELLS + 1], x: f32, y: f32) -> f32 {
    let split = |x: f32| {
        let cell = ((x * CELLS as f32) as usize).min(CELLS - 1);
        (cell, x * CELLS as f32 - cell as f32)
    };
    let ((column, right), (row, down)) = (split(x), split(y));
    let across = |row: usize| mix(field[row][column], field[row][column + 1], right);
    mix(across(row), across(row + 1), down)
}

/// The letter L, 0.05 wide and 0.07 high.
fn letter_l(x: f32, y: f32) -> bool {
    (0. ..0.05).contains(&x) && (0. ..0.07).contains(&y) && (x < 0.018 || y > 0.052)
}
