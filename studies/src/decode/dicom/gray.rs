//! From stored gray values to the levels of a display (PS3.3 sections C.11.1 and C.11.2).

use dicom_core::Tag;
use dicom_dictionary_std::tags;

use super::{DicomError, elements::Elements, header::Header};

/// The 8-bit levels of `values`, the allocated bits of each pixel. `inverted` for MONOCHROME1.
///
/// # Errors
/// Names the attribute that cannot be used.
pub fn levels(elements: &Elements, header: &Header, values: &[u16], inverted: bool) -> Result<Vec<u8>, DicomError> {
    let modality = Modality::read(elements)?;
    let window = Interest::read(elements, &modality, header)?;
    let codes = 1u32 << header.bits_stored;
    let table: Vec<u8> = (0..codes)
        .map(|code| window.level(modality.value(header.stored(code))))
        .map(|level| if inverted { u8::MAX - level } else { level })
        .collect();
    let mask = codes - 1;
    Ok(values.iter().map(|value| table[((u32::from(*value) >> header.shift) & mask) as usize]).collect())
}

impl Header {
    /// The value that the stored bits mean.
    fn stored(&self, code: u32) -> f64 {
        let above = if self.signed && code >> (self.bits_stored - 1) == 1 { 1u32 << self.bits_stored } else { 0 };
        f64::from(code) - f64::from(above)
    }

    /// The least and the greatest value that the stored bits can mean.
    fn range(&self) -> [f64; 2] {
        let half = 1u32 << (self.bits_stored - 1);
        if self.signed { [-f64::from(half), f64::from(half - 1)] } else { [0.0, f64::from(2 * half - 1)] }
    }
}

/// From stored values to what the modality measured.
#[derive(Debug)]
enum Modality {
    Linear { slope: f64, intercept: f64 },
    Table(Table),
}

impl Modality {
    fn read(elements: &Elements) -> Result<Self, DicomError> {
        if let Some(table) = Table::read(elements, tags::MODALITY_LUT_SEQUENCE)? {
            return Ok(Self::Table(table));
        }
        let first = |attribute, tag| elements.numbers(attribute, tag).map(|values| values.first().copied());
        let slope = first("Rescale Slope (0028,1053)", tags::RESCALE_SLOPE)?.unwrap_or(1.0);
        if slope == 0.0 {
            return Err(DicomError::attribute("Rescale Slope (0028,1053)", slope, "another number"));
        }
        let intercept = first("Rescale Intercept (0028,1052)", tags::RESCALE_INTERCEPT)?.unwrap_or(0.0);
        Ok(Self::Linear { slope, intercept })
    }

    fn value(&self, stored: f64) -> f64 {
        match self {
            Self::Linear { slope, intercept } => slope * stored + intercept,
            Self::Table(table) => table.entry(stored),
        }
    }

    /// The least and the greatest value that can come out.
    fn range(&self, header: &Header) -> [f64; 2] {
        match self {
            Self::Linear { .. } => {
                let [a, b] = header.range().map(|stored| self.value(stored));
                [a.min(b), a.max(b)]
            }
            Self::Table(table) => [0.0, table.greatest],
        }
    }
}

/// Which values of the modality are shown, and how.
#[derive(Debug)]
enum Interest {
    /// The identity: all values between these.
    Range([f64; 2]),
    Window {
        function: Function,
        centre: f64,
        width: f64,
    },
    Table(Table),
}

/// PS3.3 sections C.11.2.1.2 and C.11.2.1.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Linear,
    LinearExact,
    Sigmoid,
}

impl Interest {
    fn read(elements: &Elements, modality: &Modality, header: &Header) -> Result<Self, DicomError> {
        const WIDTH: &str = "Window Width (0028,1051)";
        let centres = elements.numbers("Window Center (0028,1050)", tags::WINDOW_CENTER)?;
        let widths = elements.numbers(WIDTH, tags::WINDOW_WIDTH)?;
        match (centres.first(), widths.first()) {
            (None, None) => {}
            (Some(_), None) => return Err(DicomError::Missing { attribute: WIDTH }),
            (None, Some(_)) => return Err(DicomError::Missing { attribute: "Window Center (0028,1050)" }),
            (Some(&centre), Some(&width)) => {
                let function = Function::read(elements)?;
                let (valid, expected) = match function {
                    Function::Linear => (width >= 1.0, "at least 1"),
                    Function::LinearExact | Function::Sigmoid => (width > 0.0, "above 0"),
                };
                if !valid {
                    return Err(DicomError::attribute(WIDTH, width, expected));
                }
                return Ok(Self::Window { function, centre, width });
            }
        }
        let table = Table::read(elements, tags::VOILUT_SEQUENCE)?;
        Ok(table.map_or_else(|| Self::Range(modality.range(header)), Self::Table))
    }

    fn level(&self, value: f64) -> u8 {
        match self {
            Self::Range([least, greatest]) => steps((value - least) / (greatest - least)),
            Self::Table(table) => steps(table.entry(value) / table.greatest),
            Self::Window { function, centre, width } => (255.0 * function.share(value, *centre, *width)).round() as u8,
        }
    }
}

/// 0.0..=1.0 in 256 equal steps; of whole numbers from 0 to 2ⁿ − 1 these are the upper 8 bits.
fn steps(share: f64) -> u8 {
    (256.0 * share) as u8
}

impl Function {
    fn read(elements: &Elements) -> Result<Self, DicomError> {
        match elements.text(tags::VOILUT_FUNCTION).as_deref() {
            None | Some("LINEAR") => Ok(Self::Linear),
            Some("LINEAR_EXACT") => Ok(Self::LinearExact),
            Some("SIGMOID") => Ok(Self::Sigmoid),
            Some(other) => {
                let expected = "LINEAR, LINEAR_EXACT or SIGMOID";
                Err(DicomError::attribute("VOI LUT Function (0028,1056)", other, expected))
            }
        }
    }

    /// The output, of 0.0..=1.0.
    fn share(self, x: f64, centre: f64, width: f64) -> f64 {
        let ramp = |centre: f64, width: f64| match x {
            x if x <= centre - width / 2.0 => 0.0,
            x if x > centre + width / 2.0 => 1.0,
            x => (x - centre) / width + 0.5,
        };
        match self {
            Self::Linear => ramp(centre - 0.5, width - 1.0),
            Self::LinearExact => ramp(centre, width),
            Self::Sigmoid => 1.0 / (1.0 + (-4.0 * (x - centre) / width).exp()),
        }
    }
}

/// A lookup table (PS3.3 section C.11.1.1.1).
#[derive(Debug)]
struct Table {
    /// The value that the first entry is for.
    first: f64,
    entries: Vec<u16>,
    /// The greatest value that an entry's bits can hold.
    greatest: f64,
}

impl Table {
    /// The first table of a sequence, which may be absent.
    fn read(elements: &Elements, sequence: Tag) -> Result<Option<Self>, DicomError> {
        const DESCRIPTOR: &str = "LUT Descriptor (0028,3002)";
        const DATA: &str = "LUT Data (0028,3006)";
        let Some(item) = elements.first_item(sequence)? else { return Ok(None) };
        let shorts = |attribute, tag| match item.get(tag) {
            Some(element) => Ok(element.value.as_chunks().0.iter().map(|bytes| item.short(*bytes)).collect::<Vec<_>>()),
            None => Err(DicomError::Missing { attribute }),
        };
        let descriptor = shorts(DESCRIPTOR, tags::LUT_DESCRIPTOR)?;
        let &[count, first, bits] = &descriptor[..] else {
            return Err(DicomError::attribute(DESCRIPTOR, format!("{descriptor:?}"), "three values"));
        };
        if !(8..=16).contains(&bits) {
            return Err(DicomError::attribute(DESCRIPTOR, format!("{bits} bits per entry"), "8 to 16"));
        }
        // 65,536 entries do not fit their field and are written as 0.
        let count = if count == 0 { 1 << 16 } else { usize::from(count) };
        let mut entries = shorts(DATA, tags::LUT_DATA)?;
        if entries.len() < count {
            return Err(DicomError::attribute(DATA, format!("{} entries long", entries.len()), count.to_string()));
        }
        entries.truncate(count);
        // Has the sign of the values that go in, whose own sign is taken for theirs.
        let signed = elements.optional_u16("Pixel Representation (0028,0103)", tags::PIXEL_REPRESENTATION)? == Some(1);
        let first = if signed { f64::from(first.cast_signed()) } else { f64::from(first) };
        Ok(Some(Self { first, entries, greatest: f64::from((1u32 << bits) - 1) }))
    }

    /// The entry for a value; the first and the last one stand for all values beyond them.
    fn entry(&self, value: f64) -> f64 {
        let index = (value - self.first).round().clamp(0.0, (self.entries.len() - 1) as f64);
        f64::from(self.entries[index as usize]).min(self.greatest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_windows_follow_the_standards_example() {
        // PS3.3 C.11.2.1.2.1: centre 2048, width 4096 maps 0 to black and 4095 to white; width 1 is a threshold.
        let share = |x, centre, width| Function::Linear.share(x, centre, width);
        assert_eq!(share(0.0, 2048.0, 4096.0), 0.0);
        assert_eq!(share(4095.0, 2048.0, 4096.0), 1.0);
        assert_eq!(share(-1.0, 0.0, 1.0), 0.0);
        assert_eq!(share(0.0, 0.0, 1.0), 1.0);
        assert_eq!(Function::LinearExact.share(2048.0, 2048.0, 4096.0), 0.5);
        assert_eq!(Function::Sigmoid.share(7.0, 7.0, 3.0), 0.5);
    }

    #[test]
    fn the_full_range_keeps_the_upper_eight_bits() {
        for bits in [8u32, 10, 12, 14, 16] {
            let greatest = (1u32 << bits) - 1;
            let range = Interest::Range([0.0, f64::from(greatest)]);
            for value in 0..=greatest {
                assert_eq!(u32::from(range.level(f64::from(value))), value >> (bits - 8), "{value} of {bits} bits");
            }
        }
    }
}
