//! From stored gray values to the levels of a display (PS3.3 sections C.11.1 and C.11.2).

use dicom_dictionary_std::tags;

use super::{
    elements::Elements, header::Header, modality::Modality, padding::Padding, population::Population, table::Table,
    window::Window,
};
use crate::{error::DicomError, warning::Warning};

/// An image with less between its darkest and its brightest level is not seen: with two of its bits unused, everything
/// is darker than a quarter of white. Radiographs have about 200.
const LEAST_CONTRAST: u8 = 64;

/// The 8-bit levels of `words`, the allocated bits of each pixel. `inverted` for MONOCHROME1.
///
/// # Errors
/// Names the attribute that cannot be used.
pub fn levels(
    elements: &Elements,
    header: &Header,
    words: Vec<u16>,
    inverted: bool,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<u8>, DicomError> {
    let codes = header.codes(words, warnings);
    let padding = Padding::read(elements, header)?;
    let mut counts = vec![0u32; 1 << header.bits_stored];
    for code in &codes {
        counts[usize::from(*code)] += 1;
    }
    let occurring = || {
        let codes = (0u32..).zip(&counts).filter(|(code, _)| !padding.holds(*code as usize));
        codes.map(|(code, count)| (header.value(code), *count))
    };
    let varied = Population::new(occurring()).is_some();
    let modality = Modality::read(elements, header, varied, warnings)?;
    let population = Population::new(occurring().map(|(stored, count)| (modality.value(stored), count)));
    let interest = Interest::read(elements, &modality, header, population.as_ref(), warnings)?;
    let background = matches!(interest, Interest::Occurring(_));
    let table: Vec<u8> = (0..1u32 << header.bits_stored)
        .map(|code| match interest.level(modality.value(header.value(code))) {
            _ if background && padding.holds(code as usize) => 0,
            level if inverted => u8::MAX - level,
            level => level,
        })
        .collect();
    Ok(codes.iter().map(|code| table[usize::from(*code)]).collect())
}

/// Which values of the modality are shown, and how.
#[derive(Debug)]
enum Interest {
    Window(Window),
    Table(Table),
    /// The identity: all values between these, which the stored bits can hold.
    Possible([f64; 2]),
    /// All values between these, of which the image is made.
    Occurring([f64; 2]),
}

impl Interest {
    /// The first of the windows, the lookup table, and the full range of the stored bits that shows the image; the
    /// range of the values that occur if none does. An image of too few pixels to tell takes the first there is.
    fn read(
        elements: &Elements,
        modality: &Modality,
        header: &Header,
        population: Option<&Population>,
        warnings: &mut Vec<Warning>,
    ) -> Result<Self, DicomError> {
        const ANOTHER: &str = "another way of showing is tried";
        let shows = |interest: &Self, about, warnings: &mut Vec<Warning>| {
            let contrast = population.map(|values| values.contrast(|value| interest.level(value)));
            let dark = contrast.filter(|contrast| *contrast < LEAST_CONTRAST);
            if let Some(contrast) = dark {
                let what = format!("leaves {contrast} of 255 levels between dark and bright: {ANOTHER}");
                warnings.push(Warning::new(about, what));
            }
            dark.is_none()
        };
        let mut unusable = None;
        for window in Window::all(elements, warnings)? {
            match window.map(Self::Window) {
                Ok(window) if shows(&window, "the window", warnings) => return Ok(window),
                Ok(_) => {}
                Err(reason) => unusable = unusable.or(Some(reason)),
            }
        }
        if let Some(reason) = unusable {
            if population.is_none() {
                return Err(reason);
            }
            warnings.push(Warning::new("the window", format!("cannot be used, {reason}: {ANOTHER}")));
        }
        let range @ [least, _] = modality.range(header);
        if let Some(table) = Table::read(elements, tags::VOILUT_SEQUENCE, least < 0.0, warnings)?.map(Self::Table)
            && shows(&table, "the VOI LUT", warnings)
        {
            return Ok(table);
        }
        let possible = Self::Possible(range);
        match population {
            Some(values) if !shows(&possible, "the range of the stored bits", warnings) => {
                Ok(Self::Occurring(values.range()))
            }
            _ => Ok(possible),
        }
    }

    fn level(&self, value: f64) -> u8 {
        match self {
            Self::Window(window) => window.level(value),
            Self::Table(table) => steps(table.entry(value) / table.greatest),
            Self::Possible([least, greatest]) | Self::Occurring([least, greatest]) => {
                steps((value - least) / (greatest - least))
            }
        }
    }
}

/// 0.0..=1.0 in 256 equal steps; of whole numbers from 0 to 2ⁿ − 1 these are the upper 8 bits.
fn steps(share: f64) -> u8 {
    (256.0 * share) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_full_range_keeps_the_upper_eight_bits() {
        for bits in [8u32, 10, 12, 14, 16] {
            let greatest = (1u32 << bits) - 1;
            let range = Interest::Possible([0.0, f64::from(greatest)]);
            for value in 0..=greatest {
                assert_eq!(u32::from(range.level(f64::from(value))), value >> (bits - 8), "{value} of {bits} bits");
            }
        }
    }
}
