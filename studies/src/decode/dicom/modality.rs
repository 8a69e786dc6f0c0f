//! From stored values to what the modality measured (PS3.3 section C.11.1).

use dicom_dictionary_std::tags;

use super::{elements::Elements, header::Header, table::Table};
use crate::{error::DicomError, warning::Warning};

const SLOPE: &str = "Rescale Slope (0028,1053)";

#[derive(Debug)]
pub enum Modality {
    Linear { slope: f64, intercept: f64 },
    Table(Table),
}

impl Modality {
    /// `varied` says whether the pixels are enough to see an image in: then a slope of 0, which would make them all the
    /// same, cannot be meant.
    ///
    /// # Errors
    /// Names the attribute that cannot be used.
    pub fn read(
        elements: &Elements,
        header: &Header,
        varied: bool,
        warnings: &mut Vec<Warning>,
    ) -> Result<Self, DicomError> {
        if let Some(table) = Table::read(elements, tags::MODALITY_LUT_SEQUENCE, header.signed, warnings)? {
            return Ok(Self::Table(table));
        }
        let mut slope = elements.number(SLOPE, tags::RESCALE_SLOPE, warnings)?.unwrap_or(1.0);
        if slope == 0.0 {
            if !varied {
                return Err(DicomError::attribute(SLOPE, slope, "another number"));
            }
            warnings.push(Warning::new(SLOPE, "is 0: read as 1"));
            slope = 1.0;
        }
        let intercept = elements.number("Rescale Intercept (0028,1052)", tags::RESCALE_INTERCEPT, warnings)?;
        Ok(Self::Linear { slope, intercept: intercept.unwrap_or(0.0) })
    }

    pub fn value(&self, stored: f64) -> f64 {
        match self {
            Self::Linear { slope, intercept } => slope * stored + intercept,
            Self::Table(table) => table.entry(stored),
        }
    }

    /// The least and the greatest value that can come out.
    pub fn range(&self, header: &Header) -> [f64; 2] {
        match self {
            Self::Linear { .. } => {
                let [a, b] = header.range().map(|stored| self.value(stored));
                [a.min(b), a.max(b)]
            }
            Self::Table(table) => [0.0, table.greatest],
        }
    }
}
