//! Image files that are damaged, incomplete or far too large: an error that names them, within bounded memory.

mod common;

use std::{fs, io::Cursor, path::Path};

use addendum_studies::{
    DecodeError, Error, Pixels,
    decode::{self, MAX_PIXELS, MAX_SIDE},
};
use common::{Dicom, lossless_jpeg, rle};
use dicom_core::{DataElement, PrimitiveValue, VR, value::DataSetSequence};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use image::{DynamicImage, GrayImage, ImageBuffer, ImageFormat, Luma, Rgba};
use proptest::prelude::*;

const NAME: &str = "damaged.image";

fn decode(bytes: &[u8]) -> Result<Pixels, Error> {
    decode::decode(Path::new(NAME), bytes)
}

fn noise(i: usize) -> u16 {
    (i as u32).wrapping_mul(2_654_435_761).rotate_left(9) as u16
}

fn file(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// One small file of every kind that can be read, full of noise.
fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let gray = GrayImage::from_fn(13, 11, |x, y| Luma([noise((13 * y + x) as usize) as u8]));
    let gray16 = ImageBuffer::from_fn(13, 11, |x, y| Luma([noise((13 * y + x) as usize)]));
    let rgba = ImageBuffer::from_fn(9, 7, |x, y| Rgba([1, 2, 3, 4].map(|c| noise((x * y * c) as usize) as u8)));
    let values: Vec<u16> = (0..143).map(|i| noise(i) % 4_096).collect();
    let header = Dicom::header(11, 13, "MONOCHROME2", 1, 16, 12).window("2048", "4096");
    let mut plain = header.clone();
    let item = InMemDicomObject::from_element_iter([DataElement::new(tags::CODE_VALUE, VR::SH, "R-10206")]);
    plain.object.put(DataElement::new(tags::VIEW_CODE_SEQUENCE, VR::SQ, DataSetSequence::from(vec![item])));
    plain.put(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(values.as_slice().into()));
    let planes = [8, 0].map(|shift| values.iter().map(|value| (value >> shift) as u8).collect());
    vec![
        ("gray PNG", file(gray.clone(), ImageFormat::Png)),
        ("16-bit PNG", file(gray16, ImageFormat::Png)),
        ("RGBA PNG", file(rgba, ImageFormat::Png)),
        ("JPEG", file(gray, ImageFormat::Jpeg)),
        ("implicit DICOM", plain.clone().with_syntax(uids::IMPLICIT_VR_LITTLE_ENDIAN).bytes()),
        ("explicit DICOM", plain.bytes()),
        ("big endian DICOM", plain.clone().with_syntax("1.2.840.10008.1.2.2").bytes()),
        ("deflated DICOM", plain.with_syntax(uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN).bytes()),
        ("RLE DICOM", header.clone().fragments(uids::RLE_LOSSLESS, &rle(&planes)).bytes()),
        ("JPEG DICOM", header.fragments(uids::JPEG_LOSSLESS_SV1, &lossless_jpeg(13, 12, &values)).bytes()),
    ]
}

#[test]
fn every_sample_is_read_whole_and_refused_when_half_is_missing() {
    for (kind, bytes) in samples() {
        assert!(decode(&bytes).is_ok(), "{kind}: {:?}", decode(&bytes));
        // What may be cut off without a loss: the end markers of a PNG, padding of a DICOM.
        for length in 0..bytes.len() - 32 {
            let error = decode(&bytes[..length]).expect_err(kind).to_string();
            assert!(error.starts_with("damaged.image: cannot decode the image: "), "{kind} at {length}: {error}");
        }
    }
}

#[test]
fn files_of_other_kinds_are_refused_with_what_they_are_like() {
    let found = |bytes: &[u8]| decode(bytes).unwrap_err().to_string();
    assert!(found(b"").ends_with("expected a PNG, JPEG or DICOM file, found an empty file"));
    assert!(found(b"GIF89a\x01").ends_with(r"found a file that starts with GIF89a\x01"));
    assert!(decode::load(Path::new("/nonexistent.png")).unwrap_err().to_string().starts_with("/nonexistent.png: "));
}

/// A PNG of 16-bit RGBA that ends after announcing its size.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let chunk = |kind: &[u8], data: &[u8]| {
        let body = [kind, data].concat();
        let crc = !body.iter().fold(!0u32, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |c, _| (c >> 1) ^ (0xedb8_8320 & (c & 1).wrapping_neg()))
        });
        [&(data.len() as u32).to_be_bytes()[..], &body, &crc.to_be_bytes()].concat()
    };
    let size = [width.to_be_bytes(), height.to_be_bytes()].concat();
    let header = chunk(b"IHDR", &[&size[..], &[16, 6, 0, 0, 0]].concat());
    [b"\x89PNG\r\n\x1a\n", &header[..], &chunk(b"IDAT", &[0x78, 0x9c, 3, 0, 0, 0, 0, 1]), &chunk(b"IEND", b"")].concat()
}

/// A JPEG whose frame header announces another size than it has.
fn jpeg_header(width: u16, height: u16) -> Vec<u8> {
    let mut bytes = file(GrayImage::new(8, 8), ImageFormat::Jpeg);
    let at = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    bytes[at + 5..at + 9].copy_from_slice(&[height.to_be_bytes(), width.to_be_bytes()].concat());
    bytes
}

/// An explicit little endian file with these data after its meta information.
fn with_data_set(data: &[u8]) -> Vec<u8> {
    let mut empty = Dicom::row(12, &[0]);
    empty.object = InMemDicomObject::new_empty();
    [empty.bytes().as_slice(), data].concat()
}

#[test]
fn announced_sizes_beyond_the_limits_are_refused_by_size() {
    let side = MAX_SIDE as u32;
    for (width, height) in [(side + 1, 1), (1, side + 1), (side, (MAX_PIXELS / MAX_SIDE) as u32 + 1), (0, 5)] {
        let mut bombs = vec![jpeg_header(width as u16, height as u16)];
        let dicom = Dicom::header(height as u16, width as u16, "MONOCHROME2", 1, 16, 16);
        bombs.push(dicom.clone().fragments(uids::RLE_LOSSLESS, &[0; 64]).bytes());
        if width > 0 {
            bombs.push(png_header(width, height));
        }
        for bomb in bombs {
            let error = decode(&bomb).unwrap_err();
            let Error::Image { reason: DecodeError::Size { width: w, height: h }, .. } = error else {
                panic!("{error}")
            };
            assert_eq!((w, h), (width as usize, height as usize));
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn no_announcement_takes_memory_that_the_file_does_not_fill() {
    let peak = || {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    };
    let before = peak();
    let long = [&[0x28, 0, 0, 0x99][..], b"OB\0\0", &0xffff_fff0u32.to_le_bytes()].concat();
    let open = |depth: usize| {
        let sequence = [&[0x28, 0, 0, 0x99][..], b"SQ\0\0", &[0xff; 4], &[0xfe, 0xff, 0, 0xe0], &[0xff; 4]].concat();
        sequence.repeat(depth)
    };
    let jpeg = lossless_jpeg(8_000, 16, &[0; 8_000]);
    let mut tall = jpeg.clone();
    let at = tall.windows(2).position(|pair| pair == [0xff, 0xc3]).unwrap();
    tall[at + 5..at + 7].copy_from_slice(&8_000u16.to_be_bytes());
    let header = |rows| Dicom::header(rows, 8_000, "MONOCHROME2", 1, 16, 16);
    let bombs = [
        png_header(8_000, 8_000),
        jpeg_header(8_000, 8_000),
        with_data_set(&long),
        [&[0; 128][..], b"DICM", &[2, 0, 0, 1], b"OB\0\0", &0xffff_fff0u32.to_le_bytes()].concat(),
        with_data_set(&open(1)),
        with_data_set(&open(100_000)),
        with_data_set(&[0xfe, 0xff, 0x0d, 0xe0, 0, 0, 0, 0].repeat(3)),
        header(8_000).fragments(uids::RLE_LOSSLESS, &rle(&[vec![0; 99], vec![0; 99]])).bytes(),
        header(8_000).fragments(uids::JPEG_LOSSLESS_SV1, &tall).bytes(),
    ];
    for (i, bomb) in bombs.iter().enumerate() {
        // A codec may give black for what a JPEG stream lacks, but only of the announced size.
        if let Ok(pixels) = decode(bomb) {
            assert_eq!((pixels.height(), pixels.width()), (8_000, 8_000), "bomb {i}");
        }
    }
    let megabytes = peak() - before;
    assert!(megabytes < 1_000, "{megabytes} MB");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn damaged_files_give_an_image_or_an_error_that_names_them(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), end in any::<prop::sample::Index>(),
        cut: bool,
    ) {
        for (kind, mut bytes) in samples() {
            for (at, byte) in &flips {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            if cut {
                bytes.truncate(end.index(bytes.len()));
            }
            match decode(&bytes) {
                Ok(pixels) => {
                    let count = pixels.height() * pixels.width() * pixels.channels();
                    prop_assert_eq!(pixels.levels().len(), count, "{}", kind);
                }
                Err(error) => prop_assert!(error.to_string().starts_with(NAME), "{}: {}", kind, error),
            }
        }
    }
}
