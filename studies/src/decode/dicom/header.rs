//! The attributes of a DICOM image that say how its pixels are stored (PS3.3 section C.7.6.3), and the reading of
//! numbers and text.

use dicom_core::Tag;
use dicom_dictionary_std::tags;

use super::{
    DicomError,
    elements::{Elements, Encoding},
};

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
    pub fn read(elements: &Elements) -> Result<Self, DicomError> {
        let frames = elements.numbers("Number of Frames (0028,0008)", tags::NUMBER_OF_FRAMES)?;
        if let Some(frames) = frames.first().filter(|frames| **frames != 1.0) {
            return Err(DicomError::attribute("Number of Frames (0028,0008)", frames, "1"));
        }
        let samples = elements.u16("Samples per Pixel (0028,0002)", tags::SAMPLES_PER_PIXEL)?;
        let photometric = photometric(elements, samples)?;
        let bits_allocated = elements.u16("Bits Allocated (0028,0100)", tags::BITS_ALLOCATED)?;
        if ![8, 16].contains(&bits_allocated) {
            return Err(DicomError::attribute("Bits Allocated (0028,0100)", bits_allocated, "8 or 16"));
        }
        if samples == 3 && bits_allocated != 8 {
            return Err(DicomError::attribute("Bits Allocated (0028,0100)", bits_allocated, "8 in colour"));
        }
        let bits_stored = elements.u16("Bits Stored (0028,0101)", tags::BITS_STORED)?;
        if !(1..=bits_allocated).contains(&bits_stored) || (samples == 3 && bits_stored != 8) {
            let expected = if samples == 3 { "8 in colour".into() } else { format!("1 to {bits_allocated}") };
            return Err(DicomError::attribute("Bits Stored (0028,0101)", bits_stored, expected));
        }
        let high_bit = elements.optional_u16("High Bit (0028,0102)", tags::HIGH_BIT)?.unwrap_or(bits_stored - 1);
        if !(bits_stored - 1..bits_allocated).contains(&high_bit) {
            let expected = format!("{} to {}", bits_stored - 1, bits_allocated - 1);
            return Err(DicomError::attribute("High Bit (0028,0102)", high_bit, expected));
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
            planar: flag("Planar Configuration (0028,0006)", tags::PLANAR_CONFIGURATION)?,
        })
    }
}

fn photometric(elements: &Elements, samples: u16) -> Result<Photometric, DicomError> {
    const ATTRIBUTE: &str = "Photometric Interpretation (0028,0004)";
    let name = elements.text(tags::PHOTOMETRIC_INTERPRETATION).ok_or(DicomError::Missing { attribute: ATTRIBUTE })?;
    let (photometric, expected_samples) = match name.as_str() {
        "MONOCHROME1" => (Photometric::Monochrome1, 1),
        "MONOCHROME2" => (Photometric::Monochrome2, 1),
        "RGB" => (Photometric::Rgb, 3),
        "YBR_FULL" => (Photometric::YbrFull, 3),
        "YBR_FULL_422" | "YBR_PARTIAL_420" => (Photometric::YbrCompressed, 3),
        _ => {
            let expected = "MONOCHROME1, MONOCHROME2, RGB, YBR_FULL or YBR_FULL_422";
            return Err(DicomError::attribute(ATTRIBUTE, name, expected));
        }
    };
    if samples != expected_samples {
        let expected = format!("{expected_samples} in {name}");
        return Err(DicomError::attribute("Samples per Pixel (0028,0002)", samples, expected));
    }
    Ok(photometric)
}

impl Elements<'_> {
    /// An unsigned short.
    ///
    /// # Errors
    /// An attribute that is absent, or no short.
    pub fn u16(&self, attribute: &'static str, tag: Tag) -> Result<u16, DicomError> {
        self.optional_u16(attribute, tag)?.ok_or(DicomError::Missing { attribute })
    }

    /// As [`Elements::u16`], for an attribute that may be absent.
    pub fn optional_u16(&self, attribute: &'static str, tag: Tag) -> Result<Option<u16>, DicomError> {
        let Some(element) = self.get(tag) else { return Ok(None) };
        match element.value.first_chunk() {
            Some(bytes) => Ok(Some(self.short(*bytes))),
            None => Err(DicomError::attribute(
                attribute,
                format!("{} bytes long", element.value.len()),
                "an unsigned short",
            )),
        }
    }

    /// Two bytes in the byte order of the data set.
    pub fn short(&self, bytes: [u8; 2]) -> u16 {
        match self.encoding {
            Encoding::ExplicitBig => u16::from_be_bytes(bytes),
            Encoding::ImplicitLittle | Encoding::ExplicitLittle => u16::from_le_bytes(bytes),
        }
    }

    /// All values of a decimal or integer string; none for an attribute that is absent or blank.
    ///
    /// # Errors
    /// A value that is no finite number.
    pub fn numbers(&self, attribute: &'static str, tag: Tag) -> Result<Vec<f64>, DicomError> {
        let Some(text) = self.text(tag) else { return Ok(Vec::new()) };
        let parse = |value: &str| value.trim().parse().ok().filter(|number: &f64| number.is_finite());
        let numbers: Option<_> = text.split('\\').map(parse).collect();
        numbers.ok_or_else(|| DicomError::attribute(attribute, format!("`{text}`"), "decimal numbers"))
    }

    /// Text without its padding; none for an attribute that is absent or blank.
    pub fn text(&self, tag: Tag) -> Option<String> {
        let text = String::from_utf8_lossy(self.get(tag)?.value);
        let text = text.trim_matches(['\0', ' ']);
        (!text.is_empty()).then(|| text.to_owned())
    }
}
