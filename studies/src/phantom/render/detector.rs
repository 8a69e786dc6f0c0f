//! The detector and its habits: exposure, tone, noise, collimation and marker. This is what tells the sites apart.

use std::ops::Range;

use image::GrayImage;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::canvas::{Canvas, Pose, mix};
use crate::phantom::site::Site;

/// Cells of the slow brightness variation across an image.
const CELLS: usize = 5;

#[derive(Clone, Debug)]
struct Habits {
    zoom: f32,
    /// Bend of the tone curve, positive is brighter in the middle.
    bend: Range<f32>,
    /// Standard deviation, of the full range.
    noise: Range<f32>,
    /// How often the collimator leaves a black frame, and how wide.
    framed: f64,
    frame: Range<f32>,
    /// How often a side marker is in the image.
    marked: f64,
}

/// Site A knows frames and markers, so that a policy can learn to look past them; at site B they are the rule.
fn habits(site: Site) -> Habits {
    match site {
        Site::A => {
            Habits { zoom: 1., bend: -0.18..0.18, noise: 0.012..0.024, framed: 0.3, frame: 0.005..0.03, marked: 0.4 }
        }
        Site::B => {
            Habits { zoom: 0.96, bend: 0.05..0.32, noise: 0.02..0.032, framed: 1., frame: 0.02..0.04, marked: 1. }
        }
    }
}

/// The mean of the standard deviations of the site's noise, of the full range.
pub fn noise(site: Site) -> f64 {
    let Range { start, end } = habits(site).noise;
    f64::from(start + end) / 2.
}

/// Mean and standard deviation that the automatic window gives every image.
const WINDOW: (f32, f32) = (0.45, 0.21);

/// How a patient of that magnification is positioned for one exposure.
pub fn position(site: Site, zoom: (f32, f32), rng: &mut ChaCha8Rng) -> Pose {
    let scale = habits(site).zoom;
    let mut shift = || rng.random_range(-0.018f32..0.018);
    Pose { shift: (shift(), shift()), zoom: (zoom.0 * scale, zoom.1 * scale) }
}

/// Exposes a canvas to 8-bit pixels.
pub fn expose(site: Site, canvas: &Canvas, size: u32, rng: &mut ChaCha8Rng) -> GrayImage {
    let habits = habits(site);
    let bend = rng.random_range(habits.bend);
    let noise = rng.random_range(habits.noise);
    let frame = if rng.random_bool(habits.framed) { rng.random_range(habits.frame) } else { 0. };
    let corner = rng.random_range(0.84f32..0.88);
    let marker = rng.random_bool(habits.marked).then_some((corner, 0.06));
    let mut field = [[0f32; CELLS + 1]; CELLS + 1];
    for value in field.iter_mut().flatten() {
        *value = rng.random_range(-0.02f32..0.02);
    }
    let side = size as usize;
    let place = |i: usize| (((i % side) as f32 + 0.5) / size as f32, ((i / side) as f32 + 0.5) / size as f32);
    let tones: Vec<f32> = canvas
        .values()
        .iter()
        .enumerate()
        .map(|(i, value)| {
            let (tone, (x, y)) = (value.clamp(0., 1.), place(i));
            tone + bend * tone * (1. - tone) + slow(&field, x, y)
        })
        .collect();
    let (gain, offset) = window(&tones, rng);
    let mut pixels = Vec::with_capacity(tones.len());
    for (i, tone) in tones.into_iter().enumerate() {
        let (x, y) = place(i);
        let framed = x.min(y).min(1. - x).min(1. - y) < frame;
        let marked = marker.is_some_and(|corner| letter_l(x - corner.0, y - corner.1));
        let tone = if marked {
            0.95
        } else if framed {
            0.02
        } else {
            tone * gain + offset
        };
        pixels.push(((tone + noise * normal(rng)).clamp(0., 1.) * 255. + 0.5) as u8);
    }
    let mut pixels = pixels.into_iter();
    GrayImage::from_fn(size, size, |_, _| image::Luma([pixels.next().unwrap_or(0)]))
}

/// The automatic window of the detector: gain and offset that bring an image to about the same mean and spread, as
/// display software does, with a little slack.
fn window(tones: &[f32], rng: &mut ChaCha8Rng) -> (f32, f32) {
    let count = tones.len() as f32;
    let mean = tones.iter().sum::<f32>() / count;
    let variance = tones.iter().map(|tone| (tone - mean) * (tone - mean)).sum::<f32>() / count;
    let gain = WINDOW.1 / variance.sqrt().max(0.02) * rng.random_range(0.96f32..1.04);
    (gain, WINDOW.0 + rng.random_range(-0.015f32..0.015) - mean * gain)
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
