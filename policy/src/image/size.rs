use super::config::PixelLimits;
use crate::error::{Error, Result};

/// Largest ratio of the sides of an image.
const MAX_ASPECT_RATIO: usize = 200;

/// Largest area after a resize, so that settings far out of proportion cannot ask for all memory.
const MOST_PIXELS: f64 = (1u64 << 26) as f64;

/// The height and width closest to the given ones that are multiples of `factor`, with an area within `limits` and
/// about the same aspect ratio (Qwen2-VL's `smart_resize`; halves round to even). A side never shrinks below `factor`,
/// so an extreme aspect ratio may exceed the largest area.
///
/// # Errors
/// An empty image; sides that differ by more than a factor of 200; a result without pixels.
pub fn smart_resize(height: usize, width: usize, factor: usize, limits: PixelLimits) -> Result<(usize, usize)> {
    check(height, width)?;
    if height.max(width) > MAX_ASPECT_RATIO * height.min(width) {
        let reason = format!("sides differ by more than a factor of {MAX_ASPECT_RATIO}");
        return Err(Error::invalid(image(height, width), reason));
    }
    let sides = [height, width].map(|side| side as f64);
    let unit = factor as f64;
    let rounded = sides.map(|side| (side / unit).round_ties_even() * unit);
    let area = sides[0] * sides[1];
    let target = if rounded[0] * rounded[1] > limits.max as f64 {
        let shrink = (area / limits.max as f64).sqrt();
        sides.map(|side| ((side / shrink / unit).floor() * unit).max(unit))
    } else if rounded[0] * rounded[1] < limits.min as f64 {
        let grow = (limits.min as f64 / area).sqrt();
        sides.map(|side| (side * grow / unit).ceil() * unit)
    } else {
        rounded
    };
    finish(height, width, target)
}

/// The size after the first of two resizes: both sides scaled alike, so that the area is at most `limits.max`, then at
/// least `limits.min`; fractions are cut off.
///
/// # Errors
/// An empty image; a result without pixels.
pub fn first_stage_size(height: usize, width: usize, limits: PixelLimits) -> Result<(usize, usize)> {
    check(height, width)?;
    let mut sides = [height, width].map(|side| side as f64);
    let scale = |sides: [f64; 2], limit: usize| {
        let factor = (limit as f64 / (sides[0] * sides[1])).sqrt();
        sides.map(|side| (side * factor).trunc())
    };
    if sides[0] * sides[1] > limits.max as f64 {
        sides = scale(sides, limits.max);
    }
    if sides[0] * sides[1] < limits.min as f64 {
        sides = scale(sides, limits.min);
    }
    finish(height, width, sides)
}

fn check(height: usize, width: usize) -> Result<()> {
    if height == 0 || width == 0 {
        return Err(Error::invalid(image(height, width), "is empty"));
    }
    Ok(())
}

fn finish(height: usize, width: usize, target: [f64; 2]) -> Result<(usize, usize)> {
    if target[0] * target[1] > MOST_PIXELS {
        let reason = format!("would be resized to {} x {}, more than {MOST_PIXELS} pixels", target[0], target[1]);
        return Err(Error::invalid(image(height, width), reason));
    }
    if !target.iter().all(|side| *side >= 1.0 && side.is_finite()) {
        return Err(Error::invalid(image(height, width), "has no pixel left after its resize"));
    }
    Ok((target[0] as usize, target[1] as usize))
}

fn image(height: usize, width: usize) -> String {
    format!("image of height {height}, width {width}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn sizes_are_multiples_within_the_limits_for_moderate_shapes(height in 20usize..3000, width in 20usize..3000) {
            let limits = PixelLimits { min: 3136, max: 401_408 };
            let (h, w) = smart_resize(height, width, 28, limits).unwrap();
            prop_assert!(h % 28 == 0 && w % 28 == 0);
            prop_assert!(h * w >= limits.min);
            prop_assert!(h * w <= limits.max || h == 28 || w == 28);
        }
    }

    #[test]
    fn an_image_that_would_take_all_memory_is_refused() {
        for (factor, min, max) in [(28, 1 << 28, 1 << 28), (1 << 16, 3136, 401_408)] {
            let error = smart_resize(3056, 2544, factor, PixelLimits { min, max }).unwrap_err().to_string();
            assert!(error.contains("image of height 3056, width 2544: would be resized to"), "{error}");
        }
    }

    #[test]
    fn a_first_stage_that_leaves_no_pixel_is_refused() {
        let error = first_stage_size(1, 100_000, PixelLimits { min: 0, max: 100 }).unwrap_err().to_string();
        assert_eq!(error, "image of height 1, width 100000: has no pixel left after its resize");
    }
}
