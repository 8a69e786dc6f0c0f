//! Lookup tables (PS3.3 sections C.11.1.1.1 and C.11.2.1.1).

use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;

use super::elements::{Element, Elements, Encoding};
use crate::{error::DicomError, warning::Warning};

const DESCRIPTOR: &str = "LUT Descriptor (0028,3002)";
const DATA: &str = "LUT Data (0028,3006)";

#[derive(Debug)]
pub struct Table {
    /// The value that the first entry is for.
    first: f64,
    entries: Vec<u16>,
    /// The greatest value that an entry's bits can hold.
    pub greatest: f64,
}

impl Table {
    /// The first table of a sequence, which may be absent. Its first entry is for a negative value only if `signed`
    /// values go in.
    ///
    /// # Errors
    /// A descriptor or entries that are absent, too short or beyond what is allowed.
    pub fn read(
        elements: &Elements,
        sequence: Tag,
        signed: bool,
        warnings: &mut Vec<Warning>,
    ) -> Result<Option<Self>, DicomError> {
        let Some(item) = elements.first_item(sequence)? else { return Ok(None) };
        let get = |attribute, tag| item.get(tag).ok_or(DicomError::Missing { attribute });
        let descriptor: Vec<u16> = shorts(&item, &get(DESCRIPTOR, tags::LUT_DESCRIPTOR)?);
        let &[count, first, bits] = &descriptor[..] else {
            return Err(DicomError::attribute(DESCRIPTOR, format!("{descriptor:?}"), "three values"));
        };
        if !(8..=16).contains(&bits) {
            return Err(DicomError::attribute(DESCRIPTOR, format!("{bits} bits per entry"), "8 to 16"));
        }
        // 65,536 entries do not fit their field and are written as 0.
        let count = if count == 0 { 1 << 16 } else { usize::from(count) };
        let data = get(DATA, tags::LUT_DATA)?;
        let mut entries = shorts(&item, &data);
        // Entries of 8 bits may share words.
        if entries.len() < count && bits == 8 {
            entries = bytes(&item, &data);
        }
        if entries.len() < count {
            return Err(DicomError::attribute(DATA, format!("{} entries long", entries.len()), count.to_string()));
        }
        entries.truncate(count);
        let first = if signed { f64::from(first.cast_signed()) } else { f64::from(first) };
        let bits = bits_of(&entries, bits.into(), warnings);
        Ok(Some(Self { first, entries, greatest: f64::from((1u32 << bits) - 1) }))
    }

    /// The entry for a value; the first and the last one stand for all values beyond them.
    pub fn entry(&self, value: f64) -> f64 {
        let index = (value - self.first).round().clamp(0.0, (self.entries.len() - 1) as f64);
        f64::from(self.entries[index as usize]).min(self.greatest)
    }
}

fn shorts(item: &Elements, element: &Element) -> Vec<u16> {
    element.value.as_chunks().0.iter().map(|bytes| item.short(*bytes)).collect()
}

/// The first of two bytes is the low one of its word.
fn bytes(item: &Elements, element: &Element) -> Vec<u16> {
    if item.encoding == Encoding::ExplicitBig && element.vr != VR::OB {
        return shorts(item, element).into_iter().flat_map(u16::to_le_bytes).map(u16::from).collect();
    }
    element.value.iter().copied().map(u16::from).collect()
}

/// The bits of the entries: as announced, unless some need more, or all leave two or more of them unused, which would
/// make the brightest a quarter as bright as meant.
fn bits_of(entries: &[u16], announced: u32, warnings: &mut Vec<Warning>) -> u32 {
    let used = u16::BITS - entries.iter().max().map_or(0, |greatest| greatest.leading_zeros());
    let used = u16::BITS.min(used).max(1);
    if used > announced || used + 2 <= announced {
        warnings.push(Warning::new(DESCRIPTOR, format!("says {announced} bits, but the entries have {used}: read so")));
        return used;
    }
    announced
}
