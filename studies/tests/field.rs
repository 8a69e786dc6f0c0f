//! Files as the field has them: deviations from the standard that mean only one thing are read, with a warning; the
//! rest is refused with the true reason.

mod common;

use std::{fs, path::Path, sync::Mutex};

use addendum_studies::{
    Warning,
    decode::{decode, examine},
    warning,
};
use common::Dicom;
use dicom_core::{DataElement, PrimitiveValue, VR, value::DataSetSequence};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;

const BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";

fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)).unwrap()
}

/// Levels, and what was warned about.
fn read(bytes: &[u8]) -> (Vec<u8>, Vec<&'static str>) {
    let (pixels, warnings) = examine(Path::new("view.dcm"), bytes).unwrap();
    (pixels.levels().to_vec(), warnings.iter().map(|warning| warning.about).collect())
}

fn refusal(bytes: &[u8]) -> String {
    decode(Path::new("view.dcm"), bytes).unwrap_err().to_string()
}

/// 0 to 4080 in steps of 16: every level once.
fn ramp() -> Dicom {
    image(12, &(0..256).map(|i| i * 16).collect::<Vec<u16>>())
}

fn every_level() -> Vec<u8> {
    (0..=255).collect()
}

/// 16 columns.
fn image(bits_stored: u16, values: &[u16]) -> Dicom {
    let mut dicom = Dicom::header(values.len() as u16 / 16, 16, "MONOCHROME2", 1, 16, bits_stored);
    dicom.put(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(values.into()));
    dicom
}

/// The file meta information with all before it, and the data set.
fn cut(bytes: &[u8]) -> (&[u8], &[u8]) {
    let length = u32::from_le_bytes(bytes[140..144].try_into().unwrap()) as usize;
    bytes.split_at(144 + length)
}

#[test]
fn no_frames_and_a_blank_number_of_frames_are_one_frame() {
    assert_eq!(read(&fixture("frames/frames-blank.dcm")), (every_level(), vec![]));
    assert_eq!(read(&fixture("frames/frames0.dcm")), (every_level(), vec!["Number of Frames (0028,0008)"]));
    for one in ["1.0", " 1", "01", "+1", "1\0"] {
        let mut dicom = ramp();
        dicom.put(tags::NUMBER_OF_FRAMES, VR::IS, one);
        assert_eq!(dicom.levels(), every_level(), "{one:?}");
    }
    for many in ["-1", "2", "1.5"] {
        let mut dicom = ramp();
        dicom.put(tags::NUMBER_OF_FRAMES, VR::IS, many);
        assert!(dicom.refusal().contains(&format!("Number of Frames (0028,0008) is {many}: expected 1")));
    }
}

#[test]
fn a_presentation_lut_shape_that_contradicts_the_photometric_interpretation_is_not_read() {
    let inverted: Vec<u8> = every_level().into_iter().rev().collect();
    assert_eq!(read(&fixture("inverse/mono1-inverse.dcm")), (inverted, vec![]));
    assert_eq!(read(&fixture("inverse/mono2-inverse.dcm")), (every_level(), vec![]));
}

#[test]
fn sixteen_bit_png_keeps_its_upper_eight_bits_whatever_it_uses() {
    for (name, sum) in [("full", 522_240), ("twelve", 30_720)] {
        let bytes = fixture(&format!("sixteen/{name}.png"));
        let (levels, warnings) = read(&bytes);
        let image::DynamicImage::ImageLuma16(values) = image::load_from_memory(&bytes).unwrap() else {
            panic!("{name}")
        };
        assert_eq!(levels, values.iter().map(|value| (value >> 8) as u8).collect::<Vec<_>>());
        assert_eq!((levels.iter().map(|level| u32::from(*level)).sum::<u32>(), warnings.len()), (sum, 0), "{name}");
    }
}

#[test]
fn coded_strings_and_numbers_are_read_in_any_case_and_with_stray_characters() {
    let windowed = |edit: &dyn Fn(&mut Dicom)| {
        let mut dicom = ramp().window("2048", "4096");
        edit(&mut dicom);
        read(&dicom.bytes())
    };
    let expected = windowed(&|_| {});
    assert!(expected.1.is_empty());
    let name = |photometric: &'static str| {
        windowed(&move |dicom| _ = dicom.put(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, photometric))
    };
    for photometric in ["monochrome2 ", "Monochrome2", "MONOCHROME 2", " MONOCHROME2\0"] {
        let (levels, warnings) = name(photometric);
        let clean = photometric.trim_matches([' ', '\0']) == "MONOCHROME2";
        assert_eq!((levels, warnings.len()), (expected.0.clone(), usize::from(!clean)), "{photometric:?}");
    }
    for (function, warned) in [("linear", 1), ("Linear ", 1), ("LINEAR ", 0), ("", 0)] {
        let (levels, warnings) = windowed(&|dicom| _ = dicom.put(tags::VOILUT_FUNCTION, VR::CS, function));
        assert_eq!((levels, warnings.len()), (expected.0.clone(), warned), "{function:?}");
    }
    let exact = |function| windowed(&move |dicom: &mut Dicom| _ = dicom.put(tags::VOILUT_FUNCTION, VR::CS, function)).0;
    assert_eq!(exact("linear exact"), exact("LINEAR_EXACT"));
    assert_eq!(exact("sigmoid"), exact("SIGMOID"));
    for (centre, width) in
        [("2048 HU", "4096"), ("'2048'", "[4096]"), ("2048,0", "4096,0"), ("2048\\9", "4096"), ("2048", "4096\\5\\6")]
    {
        assert_eq!(windowed(&|dicom| *dicom = ramp().window(centre, width)).0, expected.0, "{centre} {width}");
    }
}

#[test]
fn attributes_that_others_imply_may_be_missing() {
    let mut dicom = ramp();
    for tag in [tags::SAMPLES_PER_PIXEL, tags::BITS_STORED, tags::PIXEL_REPRESENTATION] {
        assert!(dicom.object.remove_element(tag));
    }
    let warned = vec!["Samples per Pixel (0028,0002)", "Bits Stored (0028,0101)"];
    assert_eq!(read(&dicom.bytes()), (every_level(), warned));
}

#[test]
fn a_window_or_slope_that_would_show_nothing_gives_way() {
    let cases: [(&str, &str, &str); 7] = [
        ("2048", "0", "1"),
        ("2048", "0.5", "1"),
        ("2048", "-400", "1"),
        ("", "4096", "1"),
        ("2048", "", "1"),
        ("nan", "4096", "1"),
        ("1e9", "0", "0"),
    ];
    for (centre, width, slope) in cases {
        let mut dicom = ramp().window(centre, width);
        dicom.put(tags::RESCALE_SLOPE, VR::DS, slope);
        let (levels, warnings) = read(&dicom.bytes());
        assert_eq!(levels, every_level(), "{centre:?} {width:?} {slope:?}");
        assert!(warnings.contains(&"the window"));
        assert_eq!(warnings.contains(&"Rescale Slope (0028,1053)"), slope == "0");
    }
    // The first usable window of several.
    let expected = ramp().window("1000", "900").levels();
    assert_eq!(ramp().window("2048\\1000\\5", "0\\900\\9").levels(), expected);
    assert_eq!(ramp().window("90000\\1000\\5", "10\\900\\9").levels(), expected);
    // One that cuts nothing off but shows something stays, one of a threshold too.
    assert_eq!(read(&ramp().window("2048", "1").bytes()).1, Vec::<&str>::new());
}

#[test]
fn windows_in_other_units_than_the_pixels_do_not_blacken_them() {
    for (centre, width) in [("30000", "500"), ("-5000", "100"), ("32768", "65535"), ("2", "1")] {
        assert_eq!(ramp().window(centre, width).levels(), every_level(), "{centre} {width}");
    }
    let mut rescaled = ramp().window("2048", "4096");
    rescaled.put(tags::RESCALE_INTERCEPT, VR::DS, "-100000");
    assert_eq!(rescaled.levels(), every_level());
}

/// Values from 1000 to 1999, 64 rows of 16, with these in front.
fn body(bits_stored: u16, others: &[u16]) -> Dicom {
    let mut values: Vec<u16> = (0..1024u32).map(|i| (1000 + i * 1000 / 1024) as u16).collect();
    values[..others.len()].copy_from_slice(others);
    image(bits_stored, &values)
}

/// Least and greatest level among the middle 98 of 100 pixels of the body, behind `others` pixels.
fn shown(levels: &[u8], others: usize) -> (u8, u8) {
    (levels[others + (1024 - others) / 50], levels[1023 - (1024 - others) / 50])
}

#[test]
fn raw_images_that_use_a_part_of_their_bits_are_shown_from_their_least_to_their_greatest_value() {
    let (levels, warnings) = read(&body(16, &[]).bytes());
    let (dark, bright) = shown(&levels, 0);
    assert!(dark < 10 && bright > 245, "{dark} {bright}");
    assert_eq!(warnings, ["the range of the stored bits"]);
    let mut inverse = body(16, &[]);
    inverse.put(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME1");
    assert_eq!(inverse.levels(), levels.iter().map(|level| 255 - level).collect::<Vec<_>>());
    let mut rescaled = body(16, &[]);
    rescaled.put(tags::RESCALE_SLOPE, VR::DS, "-1").put(tags::RESCALE_INTERCEPT, VR::DS, "4000");
    let (bright, dark) = shown(&rescaled.levels(), 0);
    assert!(dark < 10 && bright > 245, "{dark} {bright}");
}

#[test]
fn markers_collimators_and_padding_do_not_stretch_the_range() {
    for others in
        [vec![65_535; 300], vec![0; 400], vec![65_535, 65_535, 60_000, 9], [vec![0; 200], vec![65_535; 200]].concat()]
    {
        let levels = body(16, &others).levels();
        let (dark, bright) = shown(&levels, others.len());
        assert!(dark < 20 && bright > 235, "{} others: {dark} {bright}", others.len());
    }
    // Declared padding counts whatever its values, and is the background.
    let padding: Vec<u16> = (0..300).map(|i| 40_000 + i * 50).collect();
    let mut dicom = body(16, &padding);
    dicom.put(tags::PIXEL_PADDING_VALUE, VR::US, PrimitiveValue::from(60_000u16));
    dicom.put(tags::PIXEL_PADDING_RANGE_LIMIT, VR::US, PrimitiveValue::from(40_000u16));
    let levels = dicom.levels();
    let (dark, bright) = shown(&levels, 300);
    assert!(dark < 10 && bright > 245, "{dark} {bright}");
    assert_eq!(levels[..300], [0; 300]);
    dicom.put(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME1");
    assert_eq!(dicom.levels()[..300], [0; 300]);
}

#[test]
fn words_above_the_stored_bits_are_ignored_and_a_wrong_high_bit_is_seen_through() {
    let garbage: Vec<u16> = (0..256).map(|i| (i * 16) | ((i % 16) << 12)).collect();
    assert_eq!(read(&image(12, &garbage).bytes()), (every_level(), vec![]));
    let low: Vec<u16> = (0..256).map(|i| i * 16 + 1).collect();
    let mut dicom = image(12, &low);
    dicom.put(tags::HIGH_BIT, VR::US, 15);
    assert_eq!(read(&dicom.bytes()), (every_level(), vec!["High Bit (0028,0102)"]));
    dicom.put(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16((0..256).map(|i| (i << 8) | 3).collect()));
    assert_eq!(read(&dicom.bytes()), (every_level(), vec![]));
}

fn with_table(dicom: &mut Dicom, sequence: dicom_core::Tag, descriptor: [u16; 3], data: PrimitiveValue) {
    let mut item = InMemDicomObject::new_empty();
    item.put(DataElement::new(tags::LUT_DESCRIPTOR, VR::US, PrimitiveValue::U16(descriptor.as_slice().into())));
    item.put(DataElement::new(tags::LUT_DATA, VR::OW, data));
    dicom.object.put(DataElement::new(sequence, VR::SQ, DataSetSequence::from(vec![item])));
}

#[test]
fn tables_are_read_in_all_their_spellings() {
    let sixteen = |values: Vec<u16>| PrimitiveValue::U16(values.into());
    // 65,536 entries are written as 0.
    let mut dicom = image(16, &(0..256).map(|i| i << 8).collect::<Vec<_>>());
    with_table(&mut dicom, tags::VOILUT_SEQUENCE, [0, 0, 16], sixteen((0..=u16::MAX).rev().collect()));
    assert_eq!(dicom.levels(), every_level().into_iter().rev().collect::<Vec<_>>());
    // Entries that fill 12 bits where 16 are announced, and the reverse.
    for announced in [16, 8] {
        let mut dicom = ramp();
        with_table(&mut dicom, tags::VOILUT_SEQUENCE, [4096, 0, announced], sixteen((0..4096).collect()));
        assert_eq!(read(&dicom.bytes()), (every_level(), vec!["LUT Descriptor (0028,3002)"]), "{announced} bits");
    }
    // Two entries of 8 bits in a word.
    let pairs = || sixteen((0..128).map(|i| (2 * i) | ((2 * i + 1) << 8)).collect());
    for syntax in [uids::EXPLICIT_VR_LITTLE_ENDIAN, uids::IMPLICIT_VR_LITTLE_ENDIAN, BIG_ENDIAN] {
        let mut dicom = image(8, &(0..256).collect::<Vec<_>>()).with_syntax(syntax);
        with_table(&mut dicom, tags::MODALITY_LUT_SEQUENCE, [256, 0, 8], pairs());
        assert_eq!(dicom.levels(), every_level(), "{syntax}");
    }
    // The first entry is for a negative value, which a rescaled unsigned image may have.
    let mut dicom = ramp();
    dicom.put(tags::RESCALE_INTERCEPT, VR::DS, "-2048");
    with_table(&mut dicom, tags::VOILUT_SEQUENCE, [4096, (-2048i16).cast_unsigned(), 12], sixteen((0..4096).collect()));
    assert_eq!(read(&dicom.bytes()), (every_level(), vec![]));
}

#[test]
fn a_data_set_in_another_syntax_than_named_is_read_where_only_one_fits() {
    const UID: &str = "Transfer Syntax UID (0002,0010)";
    for name in ["explicit-named-implicit", "implicit-named-explicit"] {
        assert_eq!(read(&fixture(&format!("syntax/{name}.dcm"))), (every_level(), vec![UID]), "{name}");
    }
    let syntaxes = [
        uids::IMPLICIT_VR_LITTLE_ENDIAN,
        uids::EXPLICIT_VR_LITTLE_ENDIAN,
        uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
        BIG_ENDIAN,
    ];
    let files = syntaxes.map(|syntax| ramp().with_syntax(syntax).bytes());
    for (i, named) in files.iter().enumerate() {
        for (j, real) in files.iter().enumerate() {
            let (meta, data) = (cut(named).0, cut(real).1);
            let warned = if i == j { vec![] } else { vec![UID] };
            assert_eq!(read(&[meta, data].concat()), (every_level(), warned), "{} as {}", syntaxes[j], syntaxes[i]);
            // Cut off, it is no image in any syntax; what it starts in is the reason.
            if i != j && j != 2 {
                let message = refusal(&[meta, &data[..data.len() - 40]].concat());
                let reason = format!("the data set does not fit transfer syntax {}", syntaxes[i]);
                assert!(message.contains(&reason) && message.contains("it starts in "), "{message}");
            }
        }
    }
}

#[test]
fn a_missing_preamble_prefix_or_meta_information_is_no_obstacle() {
    for syntax in [uids::IMPLICIT_VR_LITTLE_ENDIAN, uids::EXPLICIT_VR_LITTLE_ENDIAN] {
        let bytes = ramp().with_syntax(syntax).bytes();
        let (_, data) = cut(&bytes);
        let uid = "Transfer Syntax UID (0002,0010)";
        for (start, warned) in [
            (&bytes[128..], vec!["the DICOM file"]),
            (&bytes[132..], vec!["the DICOM file"]),
            (data, vec!["the DICOM file", uid]),
            (&[&bytes[..132], data].concat()[..], vec![uid]),
        ] {
            assert_eq!(read(start), (every_level(), warned));
        }
        assert!(refusal(&data[..data.len() - 40]).contains("Transfer Syntax UID (0002,0010) is missing"));
    }
}

#[test]
fn each_kind_of_warning_is_told_once_with_its_file() {
    static HEARD: Mutex<Vec<String>> = Mutex::new(Vec::new());
    assert!(warning::listen(|path, warning: &Warning| {
        HEARD.lock().unwrap().push(format!("{}: {warning}", path.display()));
    }));
    for name in ["a.dcm", "b.dcm"] {
        decode(Path::new(name), &fixture("frames/frames0.dcm")).unwrap();
    }
    let heard = HEARD.lock().unwrap();
    let frames: Vec<_> = heard.iter().filter(|line| line.contains("Frames")).collect();
    assert_eq!(frames, ["a.dcm: Number of Frames (0028,0008) is 0: read as one frame"]);
}
