//! The values of attributes: numbers and text.

use dicom_core::Tag;

use super::elements::{Elements, Encoding};
use crate::{error::DicomError, warning::Warning};

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

    /// All values of a decimal or integer string, each a number or why it is none; a blank one is none at all. Empty
    /// for an attribute that is absent or blank.
    pub fn numbers(
        &self,
        attribute: &'static str,
        tag: Tag,
        warnings: &mut Vec<Warning>,
    ) -> Vec<Result<Option<f64>, DicomError>> {
        let Some(text) = self.text(tag) else { return Vec::new() };
        text.split('\\')
            .map(|value| match (value.trim(), decimal(value)) {
                ("", _) => Ok(None),
                (_, Some(number)) => Ok(Some(number)),
                (value, None) => match decimal(&core(value)) {
                    Some(number) => {
                        warnings.push(Warning::new(attribute, format!("is `{text}`: read as {number}")));
                        Ok(Some(number))
                    }
                    None => Err(DicomError::attribute(attribute, format!("`{text}`"), "decimal numbers")),
                },
            })
            .collect()
    }

    /// The first of [`Elements::numbers`].
    ///
    /// # Errors
    /// A value that is no finite number.
    pub fn number(
        &self,
        attribute: &'static str,
        tag: Tag,
        warnings: &mut Vec<Warning>,
    ) -> Result<Option<f64>, DicomError> {
        self.numbers(attribute, tag, warnings).into_iter().next().unwrap_or(Ok(None))
    }

    /// Text without its padding; none for an attribute that is absent or blank.
    pub fn text(&self, tag: Tag) -> Option<String> {
        let text = String::from_utf8_lossy(self.get(tag)?.value);
        let text = text.trim_matches(|c: char| c == '\0' || c.is_whitespace());
        (!text.is_empty()).then(|| text.to_owned())
    }
}

fn decimal(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

/// A number without what surrounds it (quotes, brackets, units, NULs), a decimal comma made a point. Three digits behind
/// a comma may be thousands and stay as they are.
fn core(text: &str) -> String {
    let text = text.trim_matches(|c: char| !c.is_ascii_digit() && !"+-.".contains(c));
    match text.split_once(',') {
        Some((whole, part)) if part.len() != 3 => format!("{whole}.{part}"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_among_what_may_surround_it_and_nowhere_else() {
        for (text, number) in [
            ("'40'", 40.0),
            ("[2048", 2048.0),
            ("-600 HU", -600.0),
            ("0,5", 0.5),
            ("40\0", 40.0),
            ("\u{feff}+1.5e2", 150.0),
        ] {
            assert_eq!(decimal(&core(text)), Some(number), "{text}");
        }
        for text in ["", "nan", "inf", "ten", "1,000", "1.2.3", "40-50", "1 2", "--4"] {
            assert_eq!(decimal(&core(text)), None, "{text}");
        }
    }
}
