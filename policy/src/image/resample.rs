use addendum_studies::Pixels;

/// Fractional bits of the fixed-point weights, as in Pillow's 8-bit resampling: 32 − 8 for the levels − 2 for overshoot.
const PRECISION: u32 = 22;
/// Reach of the bicubic kernel, in source pixels when not shrinking.
const SUPPORT: f64 = 2.0;

/// Bicubic resampling as Pillow 13 does it: kernel with a = −0.5, widened when shrinking (antialiasing), one pass per
/// direction, each in fixed point and rounded to 8 bits. A pass that would not change the size is left out.
///
/// The order of the passes shows in single levels: vertical first where the height loses more than twice as many pixels
/// as the width, horizontal first otherwise. (Earlier versions of Pillow always began with the horizontal pass.)
pub fn resize_bicubic(pixels: &Pixels, height: usize, width: usize) -> Pixels {
    if vertical_first((pixels.height(), pixels.width()), (height, width)) {
        horizontal(&vertical(pixels, height), width)
    } else {
        vertical(&horizontal(pixels, width), height)
    }
}

fn vertical_first(from: (usize, usize), to: (usize, usize)) -> bool {
    let lost_rows = from.0.saturating_sub(to.0);
    let lost_columns = from.1.saturating_sub(to.1);
    lost_rows > 2 * lost_columns
}

/// The source pixels that one target pixel is made of: the first one and the weights from there on.
struct Window {
    start: usize,
    weights: Vec<i32>,
}

fn horizontal(pixels: &Pixels, width: usize) -> Pixels {
    if width == pixels.width() {
        return pixels.clone();
    }
    let channels = pixels.channels();
    let windows = windows(pixels.width(), width);
    let mut levels = Vec::with_capacity(pixels.height() * width * channels);
    for row in pixels.levels().chunks_exact(pixels.width() * channels) {
        for window in &windows {
            for channel in 0..channels {
                let source = row[window.start * channels + channel..].iter().step_by(channels);
                levels.push(level(window.weights.iter().zip(source).map(|(w, l)| w * i32::from(*l)).sum()));
            }
        }
    }
    Pixels::new(pixels.height(), width, channels, levels)
}

fn vertical(pixels: &Pixels, height: usize) -> Pixels {
    if height == pixels.height() {
        return pixels.clone();
    }
    let stride = pixels.width() * pixels.channels();
    let mut levels = Vec::with_capacity(height * stride);
    let mut sums = vec![0i32; stride];
    for window in windows(pixels.height(), height) {
        sums.fill(0);
        for (weight, row) in window.weights.iter().zip(pixels.levels()[window.start * stride..].chunks_exact(stride)) {
            for (sum, &source) in sums.iter_mut().zip(row) {
                *sum += weight * i32::from(source);
            }
        }
        levels.extend(sums.iter().copied().map(level));
    }
    Pixels::new(height, pixels.width(), pixels.channels(), levels)
}

/// Rounds a fixed-point sum and clips it to 8 bits.
fn level(sum: i32) -> u8 {
    ((sum + (1 << (PRECISION - 1))) >> PRECISION).clamp(0, 255) as u8
}

fn windows(source: usize, target: usize) -> Vec<Window> {
    let scale = source as f64 / target as f64;
    let stretch = scale.max(1.0);
    let reach = SUPPORT * stretch;
    (0..target)
        .map(|position| {
            let centre = (position as f64 + 0.5) * scale;
            let start = (centre - reach + 0.5).max(0.0) as usize;
            let end = ((centre + reach + 0.5) as usize).min(source);
            let kernel = |pixel: usize| bicubic((pixel as f64 - centre + 0.5) * (1.0 / stretch));
            let weights: Vec<f64> = (start..end).map(kernel).collect();
            let total: f64 = weights.iter().sum();
            let share = |weight: f64| if total == 0.0 { weight } else { weight / total };
            Window { start, weights: weights.into_iter().map(|weight| fixed(share(weight))).collect() }
        })
        .collect()
}

/// Rounded away from zero at halves, as a cast after adding ±0.5 does.
fn fixed(weight: f64) -> i32 {
    (0.5f64.copysign(weight) + weight * f64::from(1 << PRECISION)) as i32
}

/// R. Keys, "Cubic convolution interpolation for digital image processing" (1981), with a = −0.5.
fn bicubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    match x.abs() {
        x if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
        x if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_flat_image_stays_flat_at_any_size(
            level in any::<u8>(), from in (1usize..40, 1usize..40), to in (1usize..40, 1usize..40),
        ) {
            let pixels = Pixels::new(from.0, from.1, 1, vec![level; from.0 * from.1]);
            let resized = resize_bicubic(&pixels, to.0, to.1);
            prop_assert_eq!((resized.height(), resized.width()), to);
            prop_assert!(resized.levels().iter().all(|found| *found == level));
        }
    }
}
