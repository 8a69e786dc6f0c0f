//! Sizes, resampling and patch rows against the reference implementation.

use crate::common::{assert_close, bytes, fixture, json};
use addendum_policy::image::{ImageConfig, ImageProcessor, PixelLimits, Pixels, first_stage_size, smart_resize};
use addendum_studies::decode;
use candle_core::{Device, Tensor};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    key: String,
    file: String,
    min_pixels: usize,
    max_pixels: usize,
    first_stage_min_pixels: Option<usize>,
    first_stage_max_pixels: Option<usize>,
    first_stage_size: Option<[usize; 2]>,
    resized_height: usize,
    resized_width: usize,
    image_grid_thw: [usize; 3],
    image_tokens: usize,
    patch_rows: usize,
    stored_rows: StoredRows,
    pixel_mean: f64,
    pixel_std: f64,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum StoredRows {
    Some(Vec<usize>),
    All(String),
}

impl Case {
    fn processor(&self) -> ImageProcessor {
        let stage = self.first_stage_min_pixels.zip(self.first_stage_max_pixels);
        let published = ImageConfig::load(&fixture("image_processor/preprocessor_config.json")).unwrap();
        ImageProcessor::from_config(ImageConfig {
            min_pixels: self.min_pixels,
            max_pixels: self.max_pixels,
            first_stage: stage.map(|(min, max)| PixelLimits { min, max }),
            ..published
        })
        .unwrap()
    }

    fn rows(&self) -> Vec<usize> {
        match &self.stored_rows {
            StoredRows::Some(rows) => rows.clone(),
            StoredRows::All(all) => {
                assert_eq!(all, "all");
                (0..self.patch_rows).collect()
            }
        }
    }
}

#[test]
fn pixel_limits_beside_a_stale_size_decide_the_size_of_a_radiograph() {
    let config =
        ImageConfig::load(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/stale-size.json").as_ref()).unwrap();
    let processor = ImageProcessor::from_config(config).unwrap();
    let (height, width) = processor.target_size(3056, 2544).unwrap();
    assert_eq!((height, width, processor.tokens([1, height / 14, width / 14])), (672, 560, 480));
}

/// All cases but `gray16`, where the reference saturates 16-bit values at 255. We keep their high byte, which is the
/// case `gray16.high_byte`.
fn cases() -> Vec<Case> {
    let cases: Vec<Case> = json("image_processor/expected.json");
    assert_eq!(cases.len(), 11);
    let cases: Vec<Case> = cases.into_iter().filter(|case| case.key != "gray16").collect();
    assert!(cases.iter().any(|case| case.key == "gray16.high_byte"));
    cases
}

fn expected(name: &str) -> Tensor {
    let mut tensors =
        candle_core::safetensors::load_buffer(&bytes("image_processor/expected.safetensors"), &Device::Cpu).unwrap();
    tensors.remove(name).unwrap_or_else(|| panic!("no tensor {name}"))
}

fn open(case: &Case) -> Pixels {
    decode::load(&fixture(&format!("image_processor/{}", case.file))).unwrap()
}

#[test]
fn parity_resampling_follows_pillow_level_for_level() {
    for case in cases() {
        let resized = case.processor().resize(&open(&case)).unwrap();
        assert_eq!((resized.height(), resized.width()), (case.resized_height, case.resized_width), "{}", case.key);
        let expected = expected(&format!("{}.resized_u8", case.key));
        let channels = expected.dim(2).unwrap();
        let expected: Vec<u8> = expected.flatten_all().unwrap().to_vec1().unwrap();
        let per_channel = channels / resized.channels();
        for (i, expected) in expected.iter().enumerate() {
            assert_eq!(resized.levels()[i / per_channel], *expected, "{}, value {i}", case.key);
        }
    }
}

#[test]
fn parity_patch_rows_end_to_end() {
    for case in cases() {
        let processor = case.processor();
        let patches = processor.process(&open(&case)).unwrap();
        assert_eq!(patches.grid, case.image_grid_thw, "{}", case.key);
        assert_eq!(processor.tokens(patches.grid), case.image_tokens, "{}", case.key);
        assert_eq!(patches.rows.len(), case.patch_rows * processor.row_length(), "{}", case.key);
        let expected: Vec<Vec<f32>> = expected(&format!("{}.pixel_values", case.key)).to_vec2().unwrap();
        let rows = case.rows();
        assert_eq!(rows.len(), expected.len(), "{}", case.key);
        for (row, expected) in rows.into_iter().zip(expected) {
            let found = &patches.rows[row * processor.row_length()..][..processor.row_length()];
            for (found, expected) in found.iter().zip(expected) {
                let what = format!("{}, row {row}", case.key);
                assert_close(f64::from(*found), f64::from(expected), 0.0, 2e-6, &what);
            }
        }
        let count = patches.rows.len() as f64;
        let mean = patches.rows.iter().copied().map(f64::from).sum::<f64>() / count;
        let square = patches.rows.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>() / count;
        assert_close(mean, case.pixel_mean, 0.0, 1e-3, &case.key);
        assert_close(square.sqrt(), case.pixel_std, 0.0, 1e-3, &case.key);
    }
}

#[test]
fn parity_smart_resize_table() {
    #[derive(Deserialize)]
    struct Row {
        height: usize,
        width: usize,
        factor: usize,
        min_pixels: usize,
        max_pixels: usize,
        expected: Option<(usize, usize)>,
        error: Option<String>,
    }
    let rows: Vec<Row> = json("image_processor/smart_resize.json");
    assert_eq!(rows.len(), 51);
    for row in rows {
        let limits = PixelLimits { min: row.min_pixels, max: row.max_pixels };
        let found = smart_resize(row.height, row.width, row.factor, limits);
        let what = format!("{} x {}", row.height, row.width);
        match (row.expected.filter(|&size| size != (0, 0)), row.error.as_deref()) {
            (Some(expected), None) => assert_eq!(found.unwrap(), expected, "{what}"),
            (None, error) => {
                let words = match error {
                    Some("aspect_ratio_over_200") => "factor of 200",
                    Some("empty_image") => "is empty",
                    None => "no pixel left",
                    Some(other) => panic!("unknown error {other}"),
                };
                let message = found.unwrap_err().to_string();
                assert!(message.contains(words), "{what}: {message}");
            }
            (Some(_), Some(_)) => panic!("{what} expects a size and an error"),
        }
    }
}

#[test]
fn parity_two_stage_sizes() {
    #[derive(Deserialize)]
    struct Row {
        height: usize,
        width: usize,
        min_pixels: usize,
        max_pixels: usize,
        first_stage: (usize, usize),
        r#final: (usize, usize),
        image_grid_thw: [usize; 3],
        image_tokens: usize,
    }
    let rows: Vec<Row> = json("image_processor/two_stage_resize.json");
    assert_eq!(rows.len(), 44);
    for row in rows {
        let limits = PixelLimits { min: row.min_pixels, max: row.max_pixels };
        assert_eq!(first_stage_size(row.height, row.width, limits).unwrap(), row.first_stage);
        let config = ImageConfig { first_stage: Some(limits), ..Default::default() };
        let processor = ImageProcessor::from_config(config).unwrap();
        let (height, width) = processor.target_size(row.height, row.width).unwrap();
        assert_eq!((height, width), row.r#final);
        assert_eq!([1, height / 14, width / 14], row.image_grid_thw);
        assert_eq!(processor.tokens(row.image_grid_thw), row.image_tokens);
    }
}

#[test]
fn parity_first_stage_size_of_the_large_radiograph() {
    let cases = cases();
    let case = cases.iter().find(|case| case.first_stage_size.is_some()).unwrap();
    let image = open(case);
    let limits = PixelLimits { min: case.first_stage_min_pixels.unwrap(), max: case.first_stage_max_pixels.unwrap() };
    let found = first_stage_size(image.height(), image.width(), limits).unwrap();
    assert_eq!(Some([found.0, found.1]), case.first_stage_size);
}
