//! DICOM files as other programs write them, made with dicom-object.

#![allow(dead_code)]

use std::path::Path;

use addendum_studies::{Pixels, decode::decode};
use dicom_core::{DataElement, PrimitiveValue, Tag, VR, value::PixelFragmentSequence};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};

/// A gray image that is yet to be written.
#[derive(Clone)]
pub struct Dicom {
    pub object: InMemDicomObject,
    pub syntax: &'static str,
}

impl Dicom {
    /// One row of values of 16 allocated bits; signed ones as their bit patterns.
    pub fn row(bits_stored: u16, values: &[u16]) -> Self {
        let mut dicom = Self::header(1, values.len() as u16, "MONOCHROME2", 1, 16, bits_stored);
        dicom.put(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(values.into()));
        dicom
    }

    /// Everything but the pixel data.
    pub fn header(rows: u16, columns: u16, photometric: &str, samples: u16, allocated: u16, stored: u16) -> Self {
        let mut dicom = Self { object: InMemDicomObject::new_empty(), syntax: uids::EXPLICIT_VR_LITTLE_ENDIAN };
        dicom.put(tags::SOP_CLASS_UID, VR::UI, "1.2.840.10008.5.1.4.1.1.1.1");
        dicom.put(tags::PATIENT_NAME, VR::PN, "Doe^Jane");
        dicom.put(tags::SAMPLES_PER_PIXEL, VR::US, samples);
        dicom.put(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, photometric);
        dicom.put(tags::ROWS, VR::US, rows);
        dicom.put(tags::COLUMNS, VR::US, columns);
        dicom.put(tags::BITS_ALLOCATED, VR::US, allocated);
        dicom.put(tags::BITS_STORED, VR::US, stored);
        dicom.put(tags::HIGH_BIT, VR::US, stored - 1);
        dicom.put(tags::PIXEL_REPRESENTATION, VR::US, 0);
        dicom
    }

    pub fn put(&mut self, tag: Tag, vr: VR, value: impl Into<PrimitiveValue>) -> &mut Self {
        let value: PrimitiveValue = value.into();
        // Integer literals are i32 unless they say otherwise.
        let value = match (vr, &value) {
            (VR::US, PrimitiveValue::I32(numbers)) => {
                PrimitiveValue::U16(numbers.iter().map(|number| *number as u16).collect())
            }
            _ => value,
        };
        self.object.put(DataElement::new(tag, vr, value));
        self
    }

    pub fn window(mut self, centre: &str, width: &str) -> Self {
        self.put(tags::WINDOW_CENTER, VR::DS, centre).put(tags::WINDOW_WIDTH, VR::DS, width);
        self
    }

    /// Compressed pixel data in two fragments, after an empty offset table.
    pub fn fragments(mut self, syntax: &'static str, stream: &[u8]) -> Self {
        let (first, second) = stream.split_at(stream.len() / 4 * 2);
        let mut second = second.to_vec();
        second.resize(second.len().next_multiple_of(2), 0);
        let sequence = PixelFragmentSequence::new(vec![], vec![first.to_vec(), second]);
        self.object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, sequence));
        self.syntax = syntax;
        self
    }

    pub fn with_syntax(mut self, syntax: &'static str) -> Self {
        self.syntax = syntax;
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let meta = FileMetaTableBuilder::new()
            .transfer_syntax(self.syntax)
            .media_storage_sop_class_uid("1.2.840.10008.5.1.4.1.1.1.1")
            .media_storage_sop_instance_uid("1.2.3");
        let mut bytes = Vec::new();
        self.object.clone().with_meta(meta).unwrap().write_all(&mut bytes).unwrap();
        bytes
    }

    pub fn decode(&self) -> addendum_studies::Result<Pixels> {
        decode(Path::new("view.dcm"), &self.bytes())
    }

    /// The levels of an image that can be read.
    pub fn levels(&self) -> Vec<u8> {
        self.decode().unwrap().levels().to_vec()
    }

    /// The message of an image that cannot.
    pub fn refusal(&self) -> String {
        self.decode().unwrap_err().to_string()
    }
}

/// RLE Lossless by literal runs only (PS3.5 annex G).
pub fn rle(segments: &[Vec<u8>]) -> Vec<u8> {
    let packed: Vec<Vec<u8>> = segments
        .iter()
        .map(|segment| {
            let mut packed: Vec<u8> =
                segment.chunks(128).flat_map(|run| [&[(run.len() - 1) as u8], run].concat()).collect();
            packed.resize(packed.len().next_multiple_of(2), 0x80);
            packed
        })
        .collect();
    let mut words = vec![segments.len() as u32];
    let mut offset = 64;
    for segment in &packed {
        words.push(offset);
        offset += segment.len() as u32;
    }
    words.resize(16, 0);
    let header: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
    [header, packed.concat()].concat()
}

/// Lossless JPEG (ITU-T T.81 annex H) of one component: predictor 1, all difference categories coded in five bits.
pub fn lossless_jpeg(width: u16, precision: u8, values: &[u16]) -> Vec<u8> {
    let height = values.len() as u16 / width;
    let mut out = vec![0xff, 0xd8, 0xff, 0xc4, 0, 19 + 17, 0];
    out.extend([0, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    out.extend(0..=16);
    out.extend([0xff, 0xc3, 0, 11, precision]);
    out.extend([height.to_be_bytes(), width.to_be_bytes()].concat());
    out.extend([1, 1, 0x11, 0, 0xff, 0xda, 0, 8, 1, 1, 0, 1, 0, 0]);
    let mut bits = Vec::new();
    for (i, &value) in values.iter().enumerate() {
        let predicted = match (i % usize::from(width), i / usize::from(width)) {
            (0, 0) => 1 << (precision - 1),
            (0, _) => values[i - usize::from(width)],
            _ => values[i - 1],
        };
        let difference = i32::from(value.wrapping_sub(predicted).cast_signed());
        let category = if difference == -32768 { 16 } else { 32 - difference.unsigned_abs().leading_zeros() };
        bits.extend((0..5).rev().map(|bit| category >> bit & 1 == 1));
        let code = if difference < 0 { difference - 1 } else { difference };
        if category < 16 {
            bits.extend((0..category).rev().map(|bit| code >> bit & 1 == 1));
        }
    }
    bits.resize(bits.len().next_multiple_of(8), true);
    for byte in bits.chunks(8) {
        let byte = byte.iter().fold(0, |byte, bit| byte << 1 | u8::from(*bit));
        out.push(byte);
        if byte == 0xff {
            out.push(0);
        }
    }
    out.extend([0xff, 0xd9]);
    out
}
