//! Settings of the image processor, and how the several spellings of the pixel limits in published files are read.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    error::{Error, Result},
    files,
};

/// Largest `max_pixels` that is accepted.
const MOST_PIXELS: usize = 1 << 28;

/// Largest `min_pixels` that is accepted, so that a damaged file cannot blow up every image to all memory. Some 21,000
/// tokens of 28 × 28 pixels.
const MOST_MIN_PIXELS: usize = 1 << 24;

/// What transformers' Qwen2-VL processor takes where a file has no limits.
const UNSET: PixelLimits = PixelLimits { min: 56 * 56, max: 28 * 28 * 1280 };

/// The area, in pixels, that an image must have after a resize.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PixelLimits {
    /// Smaller images are enlarged to this many pixels.
    pub min: usize,
    /// Larger images are reduced to this many pixels.
    pub max: usize,
}

/// Settings of the image processor, in the layout of a published `preprocessor_config.json` (whose other fields are
/// ignored).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageConfig {
    /// Area below which an image is enlarged.
    pub min_pixels: usize,
    /// Area above which an image is reduced.
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
    /// Reads a `preprocessor_config.json`.
    ///
    /// The limits are `min_pixels` and `max_pixels`; one that is not given is taken from `size`, as `shortest_edge` and
    /// `longest_edge` (areas, in spite of their names), and without a `size` it is transformers' own. A `null` gives
    /// nothing, and whole numbers may be written as floats.
    ///
    /// # Errors
    /// A file that cannot be read or understood, named by its path.
    pub fn load(path: &Path) -> Result<Self> {
        let text = files::text(path)?;
        let json = serde_json::from_str(&text).map_err(|error| Error::file(path, error))?;
        Self::from_json(json).map_err(|error| Error::file(path, error))
    }

    /// The same from the file's contents.
    ///
    /// # Errors
    /// Contents of another form, a `size` that is asked for a limit it lacks, or a setting out of its range.
    pub fn from_json(json: Value) -> Result<Self> {
        let Value::Object(mut json) = json else {
            return Err(Error::invalid("image processor", format!("expected a JSON object, got {json}")));
        };
        json.retain(|_, value| !value.is_null());
        let size = json.remove("size");
        let limit = |field: &str, edge: &str, unset: usize| match (whole(&json, field)?, &size) {
            (Some(limit), _) => Ok(limit),
            (None, None) => Ok(unset),
            (None, Some(size)) => match size.as_object().map(|edges| whole(edges, edge)) {
                Some(Ok(Some(limit))) => Ok(limit),
                Some(Err(error)) => Err(error),
                _ => Err(invalid("size", format!("{size} has no {edge}, and there is no {field}"))),
            },
        };
        let min = limit("min_pixels", "shortest_edge", UNSET.min)?;
        let max = limit("max_pixels", "longest_edge", UNSET.max)?;
        json.extend([("min_pixels".into(), min.into()), ("max_pixels".into(), max.into())]);
        for field in ["patch_size", "temporal_patch_size", "merge_size"] {
            if let Some(number) = whole(&json, field)? {
                json.insert(field.into(), number.into());
            }
        }
        let config: Self = serde_json::from_value(json.into())
            .map_err(|error| Error::invalid("image processor", error.to_string()))?;
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
        let stages = [("", "_pixels", Some(self.limits())), ("first_stage.", "", self.first_stage)];
        for (stage, unit, limits) in stages {
            let Some(PixelLimits { min, max }) = limits else { continue };
            let (least, most) = (format!("{stage}min{unit}"), format!("{stage}max{unit}"));
            if min > MOST_MIN_PIXELS {
                return Err(invalid(&least, format!("{min} is above {MOST_MIN_PIXELS}")));
            }
            if max < min {
                return Err(invalid(&most, format!("{max} is below {least}, {min}")));
            }
            if !(1..=MOST_PIXELS).contains(&max) {
                return Err(invalid(&most, format!("{max} is not between 1 and {MOST_PIXELS}")));
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

/// A field's number, which may be written as a float.
fn whole(json: &Map<String, Value>, field: &str) -> Result<Option<usize>> {
    let Some(value) = json.get(field).filter(|value| !value.is_null()) else { return Ok(None) };
    // Beyond 2^53 a float is no count.
    let of_float = |x: f64| (x.fract() == 0.0 && (0.0..9e15).contains(&x)).then_some(x as u64);
    let number = value.as_u64().or_else(|| value.as_f64().and_then(of_float));
    match number.and_then(|number| usize::try_from(number).ok()) {
        Some(number) => Ok(Some(number)),
        None => Err(invalid(field, format!("expected a whole number that is not negative, got {value}"))),
    }
}

fn invalid(field: &str, reason: String) -> Error {
    Error::invalid(format!("image processor: {field}"), reason)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn limits(json: Value) -> Result<(usize, usize)> {
        ImageConfig::from_json(json).map(|config| (config.min_pixels, config.max_pixels))
    }

    #[test]
    fn pixel_limits_win_over_a_stale_size_and_each_falls_back_on_its_own() {
        let size = json!({"shortest_edge": 3136, "longest_edge": 12845056});
        for (json, expected) in [
            (json!({"min_pixels": 262144, "max_pixels": 401408, "size": size}), (262_144, 401_408)),
            (json!({"max_pixels": 401408, "size": size}), (3136, 401_408)),
            (json!({"min_pixels": 262144, "size": size}), (262_144, 12_845_056)),
            (json!({"min_pixels": null, "max_pixels": null, "size": size}), (3136, 12_845_056)),
            (json!({"size": size}), (3136, 12_845_056)),
            (json!({"size": {"shortest_edge": 4e3, "longest_edge": 401408.0}, "patch_size": 14.0}), (4000, 401_408)),
            (json!({"min_pixels": 262144.0, "max_pixels": 401408.0, "size": null}), (262_144, 401_408)),
            // The size of another processor, which nothing asks.
            (json!({"min_pixels": 3136, "max_pixels": 401408, "size": {"height": 224, "width": 224}}), (3136, 401_408)),
            (json!({"min_pixels": 3136, "max_pixels": 401408, "size": 224}), (3136, 401_408)),
            (json!({"max_pixels": 401408, "size": {"shortest_edge": 3136, "longest_edge": null}}), (3136, 401_408)),
            (json!({"max_pixels": 401408}), (3136, 401_408)),
            (json!({"min_pixels": 262144}), (262_144, 1_003_520)),
            (json!({"patch_size": null, "image_mean": null}), (3136, 1_003_520)),
        ] {
            assert_eq!(limits(json.clone()).unwrap(), expected, "{json}");
        }
    }

    #[test]
    fn pixel_limits_that_cannot_be_meant_are_refused_by_name() {
        for (json, expected) in [
            (
                json!({"size": {"height": 224, "width": 224}}),
                r#"size: {"height":224,"width":224} has no shortest_edge"#,
            ),
            (
                json!({"min_pixels": 3136, "size": {"shortest_edge": 3136}}),
                "has no longest_edge, and there is no max_pixels",
            ),
            (json!({"max_pixels": 401408, "size": 224}), "size: 224 has no shortest_edge"),
            (json!({"size": {"shortest_edge": null, "longest_edge": 3136}}), "has no shortest_edge"),
            (json!({"min_pixels": 401408, "max_pixels": 3136}), "max_pixels: 3136 is below min_pixels, 401408"),
            (
                json!({"max_pixels": 3136, "size": {"shortest_edge": 262144, "longest_edge": 401408}}),
                "3136 is below min_pixels, 262144",
            ),
            (json!({"min_pixels": 1 << 28, "max_pixels": 1 << 28}), "min_pixels: 268435456 is above 16777216"),
            (json!({"min_pixels": 0, "max_pixels": 0}), "max_pixels: 0 is not between 1"),
            (json!({"max_pixels": 1e300}), "max_pixels: expected a whole number that is not negative, got 1e+300"),
            (json!({"max_pixels": 401408.5}), "max_pixels: expected a whole number"),
            (json!({"min_pixels": -1}), "min_pixels: expected a whole number that is not negative, got -1"),
            (json!({"min_pixels": "3136"}), "min_pixels: expected a whole number"),
            (json!({"size": {"shortest_edge": true, "longest_edge": 3136}}), "shortest_edge: expected a whole number"),
            (json!({"first_stage": {"min": 1 << 28, "max": 1 << 28}}), "first_stage.min: 268435456 is above"),
            (json!([3136, 401408]), "expected a JSON object"),
        ] {
            let message = limits(json).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

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
