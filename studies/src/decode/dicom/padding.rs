//! Pixels that fill the rectangle around an image (PS3.3 section C.7.5.1.1.2).

use std::ops::RangeInclusive;

use dicom_dictionary_std::tags;

use super::{elements::Elements, header::Header};
use crate::error::DicomError;

/// The stored codes of pixel padding; empty where none is declared.
#[derive(Debug)]
pub struct Padding(Vec<bool>);

impl Padding {
    /// # Errors
    /// Attributes that are no shorts.
    pub fn read(elements: &Elements, header: &Header) -> Result<Self, DicomError> {
        let value = elements.optional_u16("Pixel Padding Value (0028,0120)", tags::PIXEL_PADDING_VALUE)?;
        let limit = elements.optional_u16("Pixel Padding Range Limit (0028,0121)", tags::PIXEL_PADDING_RANGE_LIMIT)?;
        let Some(value) = value else { return Ok(Self(Vec::new())) };
        let codes = 1u32 << header.bits_stored;
        // Either may be written in all allocated bits.
        let [a, b] = [value, limit.unwrap_or(value)].map(|end| header.value(u32::from(end) % codes));
        let range: RangeInclusive<f64> = a.min(b)..=a.max(b);
        Ok(Self((0..codes).map(|code| range.contains(&header.value(code))).collect()))
    }

    pub fn holds(&self, code: usize) -> bool {
        self.0.get(code).is_some_and(|padding| *padding)
    }
}
