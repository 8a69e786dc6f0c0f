//! What becomes of DICOM files, against the formulas of the standard written down a second time.

mod common;

use std::fs;

use addendum_studies::{Dataset, Folder, Split};
use common::{Dicom, lossless_jpeg, rle};
use dicom_core::{DataElement, PrimitiveValue, VR, value::DataSetSequence};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use proptest::prelude::*;
use serde_json::json;

const BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";
const JPEG_2000: &str = "1.2.840.10008.1.2.4.90";

/// PS3.3 C.11.2.1.2.1, for an output of 0 to 255.
fn linear_window(x: f64, c: f64, w: f64) -> f64 {
    let (y_min, y_max) = (0.0, 255.0);
    if x <= c - 0.5 - (w - 1.0) / 2.0 {
        y_min
    } else if x > c - 0.5 + (w - 1.0) / 2.0 {
        y_max
    } else {
        ((x - (c - 0.5)) / (w - 1.0) + 0.5) * (y_max - y_min) + y_min
    }
}

#[test]
fn without_a_window_the_stored_bits_are_the_full_range() {
    assert_eq!(Dicom::row(16, &[0, 255, 256, 32_768, 65_535]).levels(), [0, 0, 1, 128, 255]);
    assert_eq!(Dicom::row(12, &[0, 15, 16, 2_048, 4_095]).levels(), [0, 0, 1, 128, 255]);
    let mut eight = Dicom::header(1, 4, "MONOCHROME2", 1, 8, 8);
    eight.put(tags::PIXEL_DATA, VR::OB, PrimitiveValue::U8([0, 7, 128, 255].as_slice().into()));
    assert_eq!(eight.levels(), [0, 7, 128, 255]);
}

#[test]
fn bits_that_are_not_stored_are_ignored() {
    assert_eq!(Dicom::row(12, &[0xf000, 0xffff, 0xf800]).levels(), [0, 255, 128]);
    let mut shifted = Dicom::row(12, &[0x000f, 0xffff, 0x8000]);
    shifted.put(tags::HIGH_BIT, VR::US, 15);
    assert_eq!(shifted.levels(), [0, 255, 128]);
}

#[test]
fn signed_values_go_from_their_least_to_their_greatest() {
    let mut signed = Dicom::row(12, &[0x800, 0xfff, 0, 0x7ff]);
    signed.put(tags::PIXEL_REPRESENTATION, VR::US, 1);
    assert_eq!(signed.levels(), [0, 127, 128, 255]);
}

#[test]
fn monochrome1_is_inverted_after_the_window() {
    let mut dicom = Dicom::row(12, &[0, 100, 150, 200, 4_095]).window("150.5", "101");
    dicom.put(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME1");
    assert_eq!(dicom.levels(), [255, 255, 127, 0, 0]);
}

#[test]
fn the_first_of_several_windows_counts() {
    assert_eq!(Dicom::row(12, &[99, 100, 300]).window("100\\2000 ", "1\\4000").levels(), [0, 255, 255]);
}

#[test]
fn a_negative_slope_inverts_the_full_range_too() {
    let mut dicom = Dicom::row(12, &[0, 2_048, 4_095]);
    dicom.put(tags::RESCALE_SLOPE, VR::DS, "-2").put(tags::RESCALE_INTERCEPT, VR::DS, "1000");
    assert_eq!(dicom.levels(), [255, 127, 0]);
}

#[test]
fn other_window_functions_follow_their_formulas() {
    let values: Vec<u16> = (0..4096).step_by(13).collect();
    let dicom = |function: &str| {
        let mut dicom = Dicom::row(12, &values).window("1000", "800");
        dicom.put(tags::VOILUT_FUNCTION, VR::CS, function);
        dicom
    };
    for (value, level) in values.iter().zip(dicom("SIGMOID").levels()) {
        let expected = 255.0 / (1.0 + (-4.0 * (f64::from(*value) - 1000.0) / 800.0).exp());
        assert!((f64::from(level) - expected).abs() <= 0.5, "{value}: {level}, expected {expected}");
    }
    for (value, level) in values.iter().zip(dicom("LINEAR_EXACT").levels()) {
        let expected = (255.0 * ((f64::from(*value) - 1000.0) / 800.0 + 0.5)).clamp(0.0, 255.0);
        assert!((f64::from(level) - expected).abs() <= 0.5, "{value}: {level}, expected {expected}");
    }
    assert!(dicom("CUBIC").refusal().contains("VOI LUT Function (0028,1056) is CUBIC"));
}

fn table(first: u16, bits: u16, entries: &[u16]) -> DataSetSequence<InMemDicomObject> {
    let mut item = InMemDicomObject::new_empty();
    let descriptor = PrimitiveValue::U16([entries.len() as u16, first, bits].as_slice().into());
    item.put(DataElement::new(tags::LUT_DESCRIPTOR, VR::US, descriptor));
    item.put(DataElement::new(tags::LUT_DATA, VR::OW, PrimitiveValue::U16(entries.into())));
    DataSetSequence::from(vec![item])
}

#[test]
fn lookup_tables_replace_rescale_and_window() {
    let mut dicom = Dicom::row(12, &[0, 10, 11, 12, 500]);
    dicom.object.put(DataElement::new(tags::VOILUT_SEQUENCE, VR::SQ, table(10, 12, &[0x100, 0x200, 0xfff])));
    for syntax in [uids::EXPLICIT_VR_LITTLE_ENDIAN, uids::IMPLICIT_VR_LITTLE_ENDIAN] {
        assert_eq!(dicom.clone().with_syntax(syntax).levels(), [0x10, 0x10, 0x20, 0xff, 0xff]);
    }
    assert_eq!(dicom.clone().window("11", "1").levels(), [0, 0, 255, 255, 255]);
    let mut dicom = Dicom::row(12, &[0, 1, 2]);
    dicom.object.put(DataElement::new(tags::MODALITY_LUT_SEQUENCE, VR::SQ, table(0, 8, &[255, 7, 0])));
    assert_eq!(dicom.levels(), [255, 7, 0]);
}

#[test]
fn colours_are_read_in_both_planar_configurations() {
    let colour = |photometric, planar: u16, bytes: &[u8]| {
        let mut dicom = Dicom::header(1, 2, photometric, 3, 8, 8);
        dicom.put(tags::PLANAR_CONFIGURATION, VR::US, planar);
        dicom.put(tags::PIXEL_DATA, VR::OB, PrimitiveValue::U8(bytes.into()));
        dicom.levels()
    };
    assert_eq!(colour("RGB", 0, &[1, 2, 3, 4, 5, 6]), [1, 2, 3, 4, 5, 6]);
    assert_eq!(colour("RGB", 1, &[1, 4, 2, 5, 3, 6]), [1, 2, 3, 4, 5, 6]);
    assert_eq!(colour("YBR_FULL", 0, &[76, 85, 255, 90, 128, 128]), [254, 0, 0, 90, 90, 90]);
}

#[test]
fn all_supported_transfer_syntaxes_give_the_same_pixels() {
    let values: Vec<u16> = (0..70 * 9u16).map(|i| i.wrapping_mul(2_749) % 4_096).collect();
    let header = Dicom::header(9, 70, "MONOCHROME2", 1, 16, 12).window("2000", "3000");
    let mut plain = header.clone();
    plain.put(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(values.as_slice().into()));
    let expected: Vec<u8> =
        values.iter().map(|value| linear_window(f64::from(*value), 2000.0, 3000.0).round() as u8).collect();
    for syntax in [
        uids::IMPLICIT_VR_LITTLE_ENDIAN,
        uids::EXPLICIT_VR_LITTLE_ENDIAN,
        uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
        BIG_ENDIAN,
    ] {
        assert_eq!(plain.clone().with_syntax(syntax).levels(), expected, "{syntax}");
    }
    let planes = [8, 0].map(|shift| values.iter().map(|value| (value >> shift) as u8).collect());
    assert_eq!(header.clone().fragments(uids::RLE_LOSSLESS, &rle(&planes)).levels(), expected);
    for syntax in [uids::JPEG_LOSSLESS, uids::JPEG_LOSSLESS_SV1] {
        for precision in [12, 16] {
            let stream = lossless_jpeg(70, precision, &values);
            assert_eq!(header.clone().fragments(syntax, &stream).levels(), expected, "{syntax}, {precision} bits");
        }
    }
}

#[test]
fn bytes_in_big_endian_words_are_put_in_order() {
    let mut dicom = Dicom::header(1, 3, "MONOCHROME2", 1, 8, 8).with_syntax(BIG_ENDIAN);
    dicom.put(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16([0x0201, 0x0003].as_slice().into()));
    assert_eq!(dicom.levels(), [1, 2, 3]);
    dicom.put(tags::PIXEL_DATA, VR::OB, PrimitiveValue::U8([1, 2, 3, 0].as_slice().into()));
    assert_eq!(dicom.levels(), [1, 2, 3]);
}

#[test]
fn lossless_jpeg_keeps_differences_of_half_the_range() {
    let values = [0, 32_768, 0, 65_535, 65_534, 1, 32_769, 2];
    let dicom = Dicom::header(2, 4, "MONOCHROME2", 1, 16, 16);
    let levels = dicom.fragments(uids::JPEG_LOSSLESS_SV1, &lossless_jpeg(4, 16, &values)).levels();
    assert_eq!(levels, values.map(|value| (value >> 8) as u8));
}

#[test]
fn jpeg_baseline_is_decoded_as_the_same_stream_in_a_file_of_its_own() {
    let gray = image::GrayImage::from_fn(40, 30, |x, y| image::Luma([(x * 5 + y) as u8]));
    let colour = image::RgbImage::from_fn(40, 30, |x, y| image::Rgb([(x * 5) as u8, (y * 7) as u8, 90]));
    for (image, photometric, samples) in
        [(image::DynamicImage::from(gray), "MONOCHROME2", 1), (colour.into(), "YBR_FULL_422", 3)]
    {
        let mut stream = std::io::Cursor::new(Vec::new());
        image.write_to(&mut stream, image::ImageFormat::Jpeg).unwrap();
        let alone = addendum_studies::decode::decode("x.jpg".as_ref(), stream.get_ref()).unwrap();
        let dicom = Dicom::header(30, 40, photometric, samples, 8, 8);
        let inside = dicom.fragments(uids::JPEG_BASELINE8_BIT, stream.get_ref()).decode().unwrap();
        assert_eq!((inside.channels(), &inside), (samples.into(), &alone));
    }
}

/// The refusal of a stream of two pixels after it is given a restart interval.
fn with_restarts(stream: &[u8]) -> String {
    let stream = [&stream[..2], &[0xff, 0xdd, 0, 4, 0, 2], &stream[2..]].concat();
    Dicom::header(1, 2, "MONOCHROME2", 1, 16, 12).fragments(uids::JPEG_LOSSLESS_SV1, &stream).refusal()
}

#[test]
fn what_cannot_be_shown_is_refused_with_attribute_value_and_expectation() {
    let edit = |edit: fn(&mut Dicom)| {
        let mut dicom = Dicom::row(12, &[1, 2, 3]);
        edit(&mut dicom);
        dicom.refusal()
    };
    let cases: Vec<(String, &[&str])> = vec![
        (
            edit(|d| _ = d.put(tags::NUMBER_OF_FRAMES, VR::IS, "2")),
            &["Number of Frames (0028,0008) is 2", "expected 1"],
        ),
        (
            edit(|d| _ = d.put(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "PALETTE COLOR")),
            &["(0028,0004) is PALETTE COLOR"],
        ),
        (edit(|d| _ = d.put(tags::BITS_ALLOCATED, VR::US, 32)), &["Bits Allocated (0028,0100) is 32", "8 or 16"]),
        (edit(|d| _ = d.put(tags::BITS_STORED, VR::US, 17)), &["Bits Stored (0028,0101) is 17", "1 to 16"]),
        (edit(|d| _ = d.put(tags::HIGH_BIT, VR::US, 3)), &["High Bit (0028,0102) is 3", "11 to 15"]),
        (edit(|d| _ = d.put(tags::SAMPLES_PER_PIXEL, VR::US, 3)), &["Samples per Pixel (0028,0002) is 3"]),
        (edit(|d| _ = d.put(tags::ROWS, VR::US, 2)), &["6 bytes", "expected 12"]),
        (edit(|d| _ = d.put(tags::ROWS, VR::US, 0)), &["height 0, width 3"]),
        (edit(|d| _ = d.put(tags::WINDOW_CENTER, VR::DS, "5")), &["Window Width (0028,1051) is missing"]),
        (Dicom::row(12, &[1]).window("40", "0").refusal(), &["Window Width (0028,1051) is 0", "at least 1"]),
        (Dicom::row(12, &[1]).window("nan", "5").refusal(), &["Window Center (0028,1050) is `nan`"]),
        (edit(|d| _ = d.put(tags::RESCALE_SLOPE, VR::DS, "0")), &["Rescale Slope (0028,1053) is 0"]),
        (edit(|d| assert!(d.object.remove_element(tags::COLUMNS))), &["Columns (0028,0011) is missing"]),
        (edit(|d| assert!(d.object.remove_element(tags::PIXEL_DATA))), &["Pixel Data (7FE0,0010) is missing"]),
        (
            Dicom::header(1, 1, "MONOCHROME2", 1, 16, 12).fragments(JPEG_2000, &[0; 8]).refusal(),
            &[JPEG_2000, "JPEG 2000", "not supported: expected one of"],
        ),
        (
            Dicom::header(1, 3, "MONOCHROME2", 1, 16, 12)
                .fragments(uids::JPEG_LOSSLESS_SV1, &lossless_jpeg(2, 12, &[1, 2]))
                .refusal(),
            &["1 x 2 pixels", "expected 1 x 3"],
        ),
        (with_restarts(&lossless_jpeg(2, 12, &[1, 2])), &["lossless JPEG with restarts"]),
    ];
    for (message, expected) in cases {
        for part in [&["view.dcm: cannot decode the image: "], expected].concat() {
            assert!(message.contains(part), "`{part}` not in: {message}");
        }
    }
}

#[test]
fn a_dataset_folder_may_hold_dicom_files_of_any_name() {
    let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("dicom");
    fs::create_dir_all(&dir).unwrap();
    let names = ["view.dcm", "view", "view.png"];
    for name in names {
        fs::write(dir.join(name), Dicom::row(12, &[0, 4_095]).bytes()).unwrap();
    }
    let turns = json!([{"from": "human", "value": "<image><image><image>"}, {"from": "gpt", "value": "Clear."}]);
    fs::write(dir.join("train.json"), json!([{"image": names, "conversations": turns}]).to_string()).unwrap();
    let study = Folder::load(&dir, Split::Train).unwrap().study(0).unwrap();
    for view in &study.views {
        assert_eq!(view.load().unwrap().levels(), [0, 255]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn windows_over_rescaled_values_follow_the_standard(
        stored in 8u16..=16, signed: bool, values in prop::collection::vec(any::<u16>(), 1..40),
        slope in 0.1f64..4.0, intercept in -2000i32..2000, centre in -3000i32..9000, width in 1i32..9000,
    ) {
        let mut dicom = Dicom::row(stored, &values).window(&centre.to_string(), &width.to_string());
        dicom.put(tags::PIXEL_REPRESENTATION, VR::US, i32::from(signed));
        dicom.put(tags::RESCALE_SLOPE, VR::DS, format!("{slope:.6}"));
        dicom.put(tags::RESCALE_INTERCEPT, VR::DS, intercept.to_string());
        let slope: f64 = format!("{slope:.6}").parse().unwrap();
        for (value, level) in values.iter().zip(dicom.levels()) {
            let bits = i64::from(*value) & ((1 << stored) - 1);
            let value = if signed && bits >= 1 << (stored - 1) { bits - (1 << stored) } else { bits };
            let expected = linear_window(value as f64 * slope + f64::from(intercept), centre.into(), width.into());
            prop_assert!((f64::from(level) - expected).abs() <= 0.5 + 1e-9, "{level}, expected {expected}");
        }
    }
}
