//! Where a DICOM file begins, with or without what should come first.

use dicom_core::VR;

use crate::warning::Warning;

/// Bytes before the prefix, free for any use.
const PREAMBLE: usize = 128;
const PREFIX: &[u8] = b"DICM";
/// Longest first element of a file without its prefix; real ones are a number or a name.
const FIRST: u32 = 256;

/// What lies at the first data element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    Regular,
    NoPreamble,
    NoPrefix,
}

/// The bytes from the first data element on, or none if this is no DICOM file.
///
/// A file without `DICM` is one if it starts like file meta information (group 0002) or like a data set (group 0008).
pub fn find(bytes: &[u8]) -> Option<(Start, &[u8])> {
    if let Some(rest) = bytes.get(PREAMBLE..).and_then(|rest| rest.strip_prefix(PREFIX)) {
        return Some((Start::Regular, rest));
    }
    if let Some(rest) = bytes.strip_prefix(PREFIX) {
        return Some((Start::NoPreamble, rest));
    }
    let &[group, 0, _, 0, a, b, c, d] = bytes.first_chunk()? else { return None };
    let plausible = is_vr([a, b]) || u32::from_le_bytes([a, b, c, d]) <= FIRST;
    (matches!(group, 2 | 8) && plausible).then_some((Start::NoPrefix, bytes))
}

/// Whether these two bytes name a value representation.
pub fn is_vr(bytes: [u8; 2]) -> bool {
    VR::from_binary(bytes).is_some()
}

impl Start {
    pub fn warn(self, warnings: &mut Vec<Warning>) {
        let what = match self {
            Self::Regular => return,
            Self::NoPreamble => "lacks its preamble of 128 bytes: read from its prefix `DICM` on",
            Self::NoPrefix => "lacks its preamble and prefix `DICM`: read from its first data element on",
        };
        warnings.push(Warning::new("the DICOM file", what));
    }
}
