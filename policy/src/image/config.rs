use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Largest `max_pixels` that is accepted, so that a damaged file cannot ask for all memory.
const MOST_PIXELS: usize = 1 << 28;

/// The area, in pixels, that an image must have after a resize.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PixelLimits {
    pub min: usize,
    pub max: usize,
}

/// Settings of the image processor, in the layout of a published `preprocessor_config.json` (whose other fields are
/// ignored).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageConfig {
    pub min_pixels: usize,
    pub max_pixels: usize,
    /// Side of a square patch, in pixels.
    pub patch_size: usize,
    /// Frames per patch; a still image is repeated.
    pub temporal_patch_size: usize,
    /// Side of the square of patches that becomes one token.
    pub merge_size: usize,
    /// Per channel, of values in [0, 1].
    pub image_mean: [f64; 3],
    /// Per channel, of values in [0, 1].
    pub image_std: [f64; 3],
    /// Limits of a first resize, before the processor's own, which need not give multiples of anything. The paper's
    /// code resizes twice: in its data set and in the processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_stage: Option<PixelLimits>,
}

/// A configuration file: the settings, and the newer spelling of the pixel limits.
#[derive(Deserialize)]
struct Published {
    #[serde(flatten)]
    config: ImageConfig,
    size: Option<Edges>,
}

#[derive(Deserialize)]
struct Edges {
    shortest_edge: Option<usize>,
    longest_edge: Option<usize>,
}

impl Default for ImageConfig {
    fn default() -> Self {
        Self {
            min_pixels: 3136,
            max_pixels: 12_845_056,
            patch_size: 14,
            temporal_patch_size: 2,
            merge_size: 2,
            image_mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
            image_std: [0.268_629_54, 0.261_302_58, 0.275_777_11],
            first_stage: None,
        }
    }
}

impl ImageConfig {
    /// Reads a `preprocessor_config.json`. Where the limits are given as `size.shortest_edge` and `size.longest_edge`
    /// (areas, in spite of their names), those count.
    ///
    /// # Errors
    /// A file that cannot be read or understood, named by its path.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        let json = serde_json::from_str(&text).map_err(|error| Error::file(path, error))?;
        Self::from_json(json).map_err(|error| Error::file(path, error))
    }

    /// The same from the file's contents.
    ///
    /// # Errors
    /// Contents of another form, or a setting out of its range.
    pub fn from_json(json: serde_json::Value) -> Result<Self> {
        let Published { mut config, size } =
            serde_json::from_value(json).map_err(|error| Error::invalid("image processor", error.to_string()))?;
        if let Some(size) = size {
            config.min_pixels = size.shortest_edge.unwrap_or(config.min_pixels);
            config.max_pixels = size.longest_edge.unwrap_or(config.max_pixels);
        }
        config.validate()?;
        Ok(config)
    }

    /// # Errors
    /// The first setting out of its range, with its value.
    pub fn validate(&self) -> Result<()> {
        let sizes = [
            ("patch_size", self.patch_size),
            ("merge_size", self.merge_size),
            ("temporal_patch_size", self.temporal_patch_size),
        ];
        for (field, value) in sizes {
            if !(1..=256).contains(&value) {
                return Err(invalid(field, format!("{value} is not between 1 and 256")));
            }
        }
        for (field, limits) in [("max_pixels", Some(self.limits())), ("first_stage.max", self.first_stage)] {
            if let Some(PixelLimits { min, max }) = limits.filter(|l| l.max < l.min.max(1) || l.max > MOST_PIXELS) {
                return Err(invalid(field, format!("{max} is not between {} and {MOST_PIXELS}", min.max(1))));
            }
        }
        if let Some(mean) = self.image_mean.iter().find(|mean| !mean.is_finite()) {
            return Err(invalid("image_mean", format!("{mean} is not finite")));
        }
        if let Some(std) = self.image_std.iter().find(|std| !(std.is_finite() && **std > 0.0)) {
            return Err(invalid("image_std", format!("{std} is not finite and above 0")));
        }
        Ok(())
    }

    /// The area limits of the processor's own resize.
    pub fn limits(&self) -> PixelLimits {
        PixelLimits { min: self.min_pixels, max: self.max_pixels }
    }
}

fn invalid(field: &str, reason: String) -> Error {
    Error::invalid(format!("image processor: {field}"), reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_out_of_range_are_refused_by_name() {
        let refused = [
            (ImageConfig { patch_size: 0, ..Default::default() }, "patch_size: 0"),
            (ImageConfig { max_pixels: 10, ..Default::default() }, "max_pixels: 10"),
            (ImageConfig { image_std: [0.2, 0.0, 0.2], ..Default::default() }, "image_std: 0"),
            (ImageConfig { max_pixels: usize::MAX, ..Default::default() }, "max_pixels: 1844"),
        ];
        for (config, expected) in refused {
            let error = config.validate().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
