//! Positions of M-RoPE: every token has a temporal, a height and a width position (Qwen2-VL, section 2.1).
//!
//! Text counts up on all three axes. The merged patches of an image share the temporal position at which the image
//! starts and count rows and columns from there; text goes on after the largest position so far.

use crate::{Error, Result};

/// (temporal, height, width)
pub type Position = [u32; 3];

/// Positions of a prompt's tokens, and the position at which its continuation starts.
///
/// `grids` are the images' (t, h, w) in patches, in order of appearance; every image stands as t·h·w / merge² tokens of
/// `image_token`.
pub fn prompt_positions(
    ids: &[u32],
    image_token: u32,
    grids: &[[usize; 3]],
    merge: usize,
) -> Result<(Vec<Position>, u32)> {
    let mut positions = Vec::with_capacity(ids.len());
    let mut next = 0u32;
    let mut images = grids.iter();
    while positions.len() < ids.len() {
        if ids[positions.len()] != image_token {
            positions.push([next; 3]);
            next += 1;
            continue;
        }
        let &[t, h, w] =
            images.next().ok_or_else(|| Error::invalid("prompt", "more runs of image tokens than images"))?;
        let (rows, cols) = (h / merge, w / merge);
        let run = &ids[positions.len()..];
        if run.len() < t * rows * cols || run[..t * rows * cols].iter().any(|&id| id != image_token) {
            let reason = format!("an image of {t} x {h} x {w} patches needs {} image tokens", t * rows * cols);
            return Err(Error::invalid("prompt", reason));
        }
        for frame in 0..t {
            for row in 0..rows {
                for col in 0..cols {
                    positions.push([next + frame as u32, next + row as u32, next + col as u32]);
                }
            }
        }
        next += t.max(rows).max(cols) as u32;
    }
    match images.count() {
        0 => Ok((positions, next)),
        left => Err(Error::invalid("prompt", format!("{left} images have no image tokens"))),
    }
}

/// Positions of one row of a padded batch: those its own tokens have alone, on whichever side the padding is, and zeros
/// at padding. `mask` is true at the row's own tokens; `grids` are those of its images, as in [`prompt_positions`].
///
/// The second value is the rope delta: the position at which the row's continuation starts, less its number of tokens.
pub fn padded_positions(
    ids: &[u32],
    mask: &[bool],
    image_token: u32,
    grids: &[[usize; 3]],
    merge: usize,
) -> Result<(Vec<Position>, i64)> {
    if mask.len() != ids.len() {
        return Err(Error::invalid("attention mask", format!("has {} entries for {} tokens", mask.len(), ids.len())));
    }
    let own: Vec<u32> = ids.iter().zip(mask).filter(|(_, own)| **own).map(|(id, _)| *id).collect();
    let (positions, next) = prompt_positions(&own, image_token, grids, merge)?;
    let mut positions = positions.into_iter();
    let padded = mask.iter().map(|own| if *own { positions.next().unwrap_or_default() } else { [0; 3] }).collect();
    Ok((padded, i64::from(next) - own.len() as i64))
}

/// Angles `[tokens, head_dim / 2]`: frequency i turns with the axis whose section i falls into.
pub fn angles(positions: &[Position], theta: f64, sections: [usize; 3]) -> Vec<f32> {
    let half: usize = sections.iter().sum();
    let axes = sections.iter().enumerate().flat_map(|(axis, &n)| std::iter::repeat_n(axis, n));
    let frequencies: Vec<(usize, f32)> =
        axes.enumerate().map(|(i, axis)| (axis, (1.0 / theta.powf(i as f64 / half as f64)) as f32)).collect();
    positions.iter().flat_map(|p| frequencies.iter().map(|&(axis, f)| p[axis] as f32 * f)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_goes_on_after_the_longest_side_of_an_image() {
        let ids = [1, 9, 9, 9, 9, 9, 9, 2];
        let (positions, next) = prompt_positions(&ids, 9, &[[1, 4, 6]], 2).unwrap();
        assert_eq!(positions[0], [0; 3]);
        assert_eq!(positions[1..4], [[1, 1, 1], [1, 1, 2], [1, 1, 3]]);
        assert_eq!(positions[6], [1, 2, 3]);
        assert_eq!((positions[7], next), ([4; 3], 5));
    }

    #[test]
    fn images_and_image_tokens_must_agree() {
        assert!(prompt_positions(&[9, 9], 9, &[[1, 4, 2]], 2).is_ok());
        assert!(prompt_positions(&[9], 9, &[[1, 4, 2]], 2).is_err());
        assert!(prompt_positions(&[9], 9, &[], 2).is_err());
        assert!(prompt_positions(&[1], 9, &[[1, 2, 2]], 2).is_err());
    }
}
