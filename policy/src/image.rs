//! From a radiograph to the input of the vision tower: the image processor of Qwen2-VL, with Pillow's bicubic
//! resampling reproduced level for level.
//!
//! An image, already decoded to 8-bit gray or RGB, is resized to multiples of patch × merge size within the pixel
//! limits, normalised, and cut into patch rows. Files are read by `addendum_studies`; the vision tower is in the model.

mod config;
mod resample;
mod size;

use std::path::Path;

pub use addendum_studies::Pixels;
pub use config::{ImageConfig, PixelLimits};
pub use resample::resize_bicubic;
pub use size::{first_stage_size, smart_resize};

use crate::error::Result;

/// An image as the vision tower takes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Patches {
    /// Normalised values, `grid[1]` × `grid[2]` rows of channel × frame × patch height × patch width. The patches of
    /// one merged token are neighbours: rows run over (height / merge, width / merge, merge, merge).
    pub rows: Vec<f32>,
    /// Frames (always 1), patch rows and patch columns.
    pub grid: [usize; 3],
}

/// Turns images into patch rows, as configured.
#[derive(Debug, Clone)]
pub struct ImageProcessor {
    config: ImageConfig,
    /// The normalised value of each 8-bit level, per channel.
    levels: [Vec<f32>; 3],
}

impl ImageProcessor {
    /// # Errors
    /// A setting out of its range, named with its value.
    pub fn from_config(config: ImageConfig) -> Result<Self> {
        config.validate()?;
        let levels = [0, 1, 2].map(|channel| {
            let (mean, std) = (config.image_mean[channel], config.image_std[channel]);
            (0..=u8::MAX).map(|level| ((f64::from(level) / 255.0 - mean) / std) as f32).collect()
        });
        Ok(Self { config, levels })
    }

    /// Reads the `preprocessor_config.json` of a published checkpoint.
    ///
    /// # Errors
    /// A file that cannot be read or understood, named by its path.
    pub fn load(path: &Path) -> Result<Self> {
        Self::from_config(ImageConfig::load(path)?)
    }

    /// The settings, validated.
    pub fn config(&self) -> &ImageConfig {
        &self.config
    }

    /// Values in one patch row.
    pub fn row_length(&self) -> usize {
        3 * self.config.temporal_patch_size * self.config.patch_size.pow(2)
    }

    /// Tokens that an image with this grid occupies in the language model.
    pub fn tokens(&self, grid: [usize; 3]) -> usize {
        grid.iter().product::<usize>() / self.config.merge_size.pow(2)
    }

    /// The size, height × width, that an image of this height and width is resized to.
    ///
    /// # Errors
    /// An empty image; sides that differ by more than a factor of 200; a result without pixels.
    pub fn target_size(&self, height: usize, width: usize) -> Result<(usize, usize)> {
        let (height, width) = self.first_size(height, width)?;
        let limits = self.config.limits();
        smart_resize(height, width, self.config.patch_size * self.config.merge_size, limits)
    }

    /// The patch rows of an image.
    ///
    /// # Errors
    /// As [`ImageProcessor::target_size`].
    pub fn process(&self, image: &Pixels) -> Result<Patches> {
        Ok(self.patches(&self.resize(image)?))
    }

    /// The image after its resize, before normalisation.
    ///
    /// # Errors
    /// As [`ImageProcessor::target_size`].
    pub fn resize(&self, pixels: &Pixels) -> Result<Pixels> {
        let (height, width) = self.first_size(pixels.height(), pixels.width())?;
        let target = self.target_size(pixels.height(), pixels.width())?;
        Ok(resize_bicubic(&resize_bicubic(pixels, height, width), target.0, target.1))
    }

    fn first_size(&self, height: usize, width: usize) -> Result<(usize, usize)> {
        match self.config.first_stage {
            Some(limits) => first_stage_size(height, width, limits),
            None => Ok((height, width)),
        }
    }

    /// Cuts a resized image, whose sides are multiples of patch × merge size.
    pub(crate) fn patches(&self, pixels: &Pixels) -> Patches {
        let (patch, merge) = (self.config.patch_size, self.config.merge_size);
        let grid @ [_, grid_height, grid_width] = self.grid(pixels);
        let mut rows = Vec::with_capacity(grid_height * grid_width * self.row_length());
        for (block_y, block_x) in pairs(grid_height / merge, grid_width / merge) {
            for (y, x) in pairs(merge, merge) {
                let (top, left) = ((block_y * merge + y) * patch, (block_x * merge + x) * patch);
                self.push_row(pixels, top, left, &mut rows);
            }
        }
        Patches { rows, grid }
    }

    /// Of a resized image, (t, h, w) in patches.
    pub(crate) fn grid(&self, pixels: &Pixels) -> [usize; 3] {
        [1, pixels.height() / self.config.patch_size, pixels.width() / self.config.patch_size]
    }

    fn push_row(&self, pixels: &Pixels, top: usize, left: usize, rows: &mut Vec<f32>) {
        let patch = self.config.patch_size;
        for (channel, levels) in self.levels.iter().enumerate() {
            let frame = rows.len();
            for (y, x) in pairs(patch, patch) {
                rows.push(levels[usize::from(pixels.level(top + y, left + x, channel))]);
            }
            for _ in 1..self.config.temporal_patch_size {
                rows.extend_from_within(frame..frame + patch * patch);
            }
        }
    }
}

fn pairs(rows: usize, columns: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..rows).flat_map(move |row| (0..columns).map(move |column| (row, column)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn processor() -> ImageProcessor {
        ImageProcessor::from_config(ImageConfig { patch_size: 8, ..Default::default() }).unwrap()
    }

    #[test]
    fn rows_follow_merge_blocks_and_frames_repeat() {
        // Each 8 × 8 patch of this image has one level: 10 × its row + its column.
        let levels = pairs(64, 64).map(|(y, x)| (10 * (y / 8) + x / 8) as u8).collect();
        let processor = processor();
        let patches = processor.process(&Pixels::new(64, 64, 1, levels)).unwrap();
        assert_eq!(patches.grid, [1, 8, 8]);
        assert_eq!(patches.rows.len(), 64 * processor.row_length());
        let level = |value: f32| (255.0 * (f64::from(value) * 0.26862954 + 0.48145466)).round() as u32;
        let rows: Vec<u32> = patches.rows.chunks(processor.row_length()).map(|row| level(row[0])).collect();
        assert_eq!(rows[..8], [0, 1, 10, 11, 2, 3, 12, 13]);
        let row = &patches.rows[..processor.row_length()];
        assert_eq!(row[..64], row[64..128]);
        assert_eq!(processor.tokens(patches.grid), 16);
    }

    #[test]
    fn an_empty_image_is_refused() {
        let error = processor().process(&Pixels::new(4, 0, 1, Vec::new())).unwrap_err().to_string();
        assert!(error.contains("4 x 0") || error.contains("height 4, width 0"), "{error}");
    }
}
