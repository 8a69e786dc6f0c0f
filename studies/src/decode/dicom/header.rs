//! The attributes of a DICOM image that say how its pixels are stored (PS3.3 section C.7.6.3).

use dicom_dictionary_std::tags;

use super::elements::Elements;
use crate::{error::DicomError, warning::Warning};

const FRAMES: &str = "Number of Frames (0028,0008)";
const SAMPLES: &str = "Samples per Pixel (0028,0002)";
const PHOTOMETRIC: &str = "Photometric Interpretation (0028,0004)";
const BITS_STORED: &str = "Bits Stored (0028,0101)";
const HIGH_BIT: &str = "High Bit (0028,0102)";

/// What the samples of a pixel mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Photometric {
    /// Low values are bright.
    Monochrome1,
    /// High values are bright.
    Monochrome2,
    Rgb,
    YbrFull,
    /// Colour that only a codec can have written, which gives RGB.
    YbrCompressed,
}

#[derive(Debug, Clone)]
pub struct Header {
    /// Height in pixels.
    pub rows: usize,
    /// Width in pixels.
    pub columns: usize,
    /// Per pixel: 1, or 3 in colour.
    pub samples: usize,
    pub photometric: Photometric,
    /// 8 or 16.
    pub bits_allocated: u32,
    /// 1 to `bits_allocated`.
    pub bits_stored: u32,
    /// Position of the lowest stored bit.
    pub shift: u32,
    pub signed: bool,
    /// Whether colours are stored in three planes instead of side by side.
    pub planar: bool,
}

impl Header {
    /// # Errors
    /// Names the attribute that is missing or has a value that is not supported.
    pub fn read(elements: &Elements, warnings: &mut Vec<Warning>) -> Result<Self, DicomError> {
        match elements.number(FRAMES, tags::NUMBER_OF_FRAMES, warnings)? {
            None => {}
            Some(1.0) => {}
            Some(0.0) => warnings.push(Warning::new(FRAMES, "is 0: read as one frame")),
            Some(frames) => return Err(DicomError::attribute(FRAMES, frames, "1")),
        }
        let (photometric, samples) = photometric(elements, warnings)?;
        let bits_allocated = elements.u16("Bits Allocated (0028,0100)", tags::BITS_ALLOCATED)?;
        if ![8, 16].contains(&bits_allocated) {
            return Err(DicomError::attribute("Bits Allocated (0028,0100)", bits_allocated, "8 or 16"));
        }
        if samples == 3 && bits_allocated != 8 {
            return Err(DicomError::attribute("Bits Allocated (0028,0100)", bits_allocated, "8 in colour"));
        }
        let high_bit = elements.optional_u16(HIGH_BIT, tags::HIGH_BIT)?;
        let bits_stored = elements.optional_u16(BITS_STORED, tags::BITS_STORED)?.unwrap_or_else(|| {
            let implied = high_bit.map_or(bits_allocated, |high_bit| high_bit.saturating_add(1));
            warnings.push(Warning::new(BITS_STORED, format!("is missing: read as {implied}")));
            implied
        });
        if !(1..=bits_allocated).contains(&bits_stored) || (samples == 3 && bits_stored != 8) {
            let expected = if samples == 3 { "8 in colour".into() } else { format!("1 to {bits_allocated}") };
            return Err(DicomError::attribute(BITS_STORED, bits_stored, expected));
        }
        let high_bit = high_bit.unwrap_or(bits_stored - 1);
        if !(bits_stored - 1..bits_allocated).contains(&high_bit) {
            let expected = format!("{} to {}", bits_stored - 1, bits_allocated - 1);
            return Err(DicomError::attribute(HIGH_BIT, high_bit, expected));
        }
        let flag = |attribute, tag| match elements.optional_u16(attribute, tag)? {
            None | Some(0) => Ok(false),
            Some(1) => Ok(true),
            Some(other) => Err(DicomError::attribute(attribute, other, "0 or 1")),
        };
        Ok(Self {
            rows: elements.u16("Rows (0028,0010)", tags::ROWS)?.into(),
            columns: elements.u16("Columns (0028,0011)", tags::COLUMNS)?.into(),
            samples: samples.into(),
            photometric,
            bits_allocated: bits_allocated.into(),
            bits_stored: bits_stored.into(),
            shift: u32::from(high_bit + 1 - bits_stored),
            signed: flag("Pixel Representation (0028,0103)", tags::PIXEL_REPRESENTATION)?,
            planar: samples == 3 && flag("Planar Configuration (0028,0006)", tags::PLANAR_CONFIGURATION)?,
        })
    }

    /// The value that the stored bits mean.
    pub fn value(&self, code: u32) -> f64 {
        let above = if self.signed && code >> (self.bits_stored - 1) == 1 { 1u32 << self.bits_stored } else { 0 };
        f64::from(code) - f64::from(above)
    }

    /// The least and the greatest value that the stored bits can mean.
    pub fn range(&self) -> [f64; 2] {
        let half = 1u32 << (self.bits_stored - 1);
        if self.signed { [-f64::from(half), f64::from(half - 1)] } else { [0.0, f64::from(2 * half - 1)] }
    }

    /// The stored bits of each word.
    ///
    /// Some writers name the highest allocated bit although they fill the low ones; the words tell, since no stored bits
    /// lie below the lowest.
    pub fn codes(&self, mut words: Vec<u16>, warnings: &mut Vec<Warning>) -> Vec<u16> {
        let mask = u16::MAX >> (u16::BITS - self.bits_stored);
        let below = (1u16 << self.shift) - 1;
        let low = words.iter().all(|word| word & !mask == 0) && words.iter().any(|word| word & below != 0);
        if low {
            let high_bit = self.bits_stored - 1;
            let what = format!("is {}, but the pixels end at bit {high_bit}: read so", high_bit + self.shift);
            warnings.push(Warning::new(HIGH_BIT, what));
        }
        let shift = if low { 0 } else { self.shift };
        for word in &mut words {
            *word = (*word >> shift) & mask;
        }
        words
    }
}

/// Also the samples per pixel.
fn photometric(elements: &Elements, warnings: &mut Vec<Warning>) -> Result<(Photometric, u16), DicomError> {
    const NAMES: [(&str, Photometric, u16); 6] = [
        ("MONOCHROME1", Photometric::Monochrome1, 1),
        ("MONOCHROME2", Photometric::Monochrome2, 1),
        ("RGB", Photometric::Rgb, 3),
        ("YBR_FULL", Photometric::YbrFull, 3),
        ("YBR_FULL_422", Photometric::YbrCompressed, 3),
        ("YBR_PARTIAL_420", Photometric::YbrCompressed, 3),
    ];
    let written = elements.text(tags::PHOTOMETRIC_INTERPRETATION);
    let written = written.ok_or(DicomError::Missing { attribute: PHOTOMETRIC })?;
    let plain = |name: &str| name.replace(|c: char| !c.is_ascii_alphanumeric(), "").to_ascii_uppercase();
    let known = NAMES.into_iter().find(|(name, ..)| plain(name) == plain(&written));
    let Some((name, photometric, expected)) = known else {
        let expected = "MONOCHROME1, MONOCHROME2, RGB, YBR_FULL or YBR_FULL_422";
        return Err(DicomError::attribute(PHOTOMETRIC, written, expected));
    };
    if written != name {
        warnings.push(Warning::new(PHOTOMETRIC, format!("is `{written}`: read as {name}")));
    }
    match elements.optional_u16(SAMPLES, tags::SAMPLES_PER_PIXEL)? {
        Some(samples) if samples != expected => {
            Err(DicomError::attribute(SAMPLES, samples, format!("{expected} in {name}")))
        }
        samples => {
            if samples.is_none() {
                warnings.push(Warning::new(SAMPLES, format!("is missing: read as {expected}, that of {name}")));
            }
            Ok((photometric, expected))
        }
    }
}
