//! Windows: which values are shown, and how (PS3.3 sections C.11.2.1.2 and C.11.2.1.3).

use dicom_dictionary_std::tags;

use super::elements::Elements;
use crate::{error::DicomError, warning::Warning};

const CENTRE: &str = "Window Center (0028,1050)";
const WIDTH: &str = "Window Width (0028,1051)";
const FUNCTION: &str = "VOI LUT Function (0028,1056)";

#[derive(Debug, Clone, Copy)]
pub struct Window {
    function: Function,
    centre: f64,
    width: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Linear,
    LinearExact,
    Sigmoid,
}

impl Window {
    /// All windows of an image, in their order, each usable or why it is not.
    ///
    /// # Errors
    /// A function that is not known.
    pub fn all(elements: &Elements, warnings: &mut Vec<Warning>) -> Result<Vec<Result<Self, DicomError>>, DicomError> {
        let mut centres = elements.numbers(CENTRE, tags::WINDOW_CENTER, warnings).into_iter();
        let mut widths = elements.numbers(WIDTH, tags::WINDOW_WIDTH, warnings).into_iter();
        let count = centres.len().max(widths.len());
        let function = if count == 0 { Function::Linear } else { Function::read(elements, warnings)? };
        let mut next = || {
            let centre = centres.next().unwrap_or(Ok(None))?.ok_or(DicomError::Missing { attribute: CENTRE });
            let width = widths.next().unwrap_or(Ok(None))?.ok_or(DicomError::Missing { attribute: WIDTH });
            Self::new(function, centre?, width?)
        };
        Ok((0..count).map(|_| next()).collect())
    }

    fn new(function: Function, centre: f64, width: f64) -> Result<Self, DicomError> {
        let (valid, expected) = match function {
            Function::Linear => (width >= 1.0, "at least 1"),
            Function::LinearExact | Function::Sigmoid => (width > 0.0, "above 0"),
        };
        if !valid {
            return Err(DicomError::attribute(WIDTH, width, expected));
        }
        Ok(Self { function, centre, width })
    }

    pub fn level(&self, value: f64) -> u8 {
        (255.0 * self.function.share(value, self.centre, self.width)).round() as u8
    }
}

impl Function {
    fn read(elements: &Elements, warnings: &mut Vec<Warning>) -> Result<Self, DicomError> {
        let Some(written) = elements.text(tags::VOILUT_FUNCTION) else { return Ok(Self::Linear) };
        let name = written.to_ascii_uppercase().replace([' ', '-'], "_");
        let function = match name.as_str() {
            "LINEAR" => Self::Linear,
            "LINEAR_EXACT" => Self::LinearExact,
            "SIGMOID" => Self::Sigmoid,
            _ => return Err(DicomError::attribute(FUNCTION, written, "LINEAR, LINEAR_EXACT or SIGMOID")),
        };
        if written != name {
            warnings.push(Warning::new(FUNCTION, format!("is `{written}`: read as {name}")));
        }
        Ok(function)
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
}
