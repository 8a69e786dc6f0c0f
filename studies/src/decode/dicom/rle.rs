//! RLE Lossless (PS3.5 annex G): the bytes of all samples in separate segments, each packed by runs.

use super::header::Header;
use crate::error::DicomError;

/// Up to 15 segments; their number and offsets come first.
const HEADER_BYTES: usize = 64;

/// The segments one after the other, unpacked: for each sample its high bytes, then its low bytes, a byte per pixel.
///
/// # Errors
/// Segments that are not those of the header, or whose runs do not fill the image.
pub fn decode(bytes: &[u8], header: &Header) -> Result<Vec<u8>, DicomError> {
    let expected = header.samples * (header.bits_allocated / 8) as usize;
    let words = bytes.get(..HEADER_BYTES).ok_or_else(|| DicomError::cut_off("the RLE header"))?;
    let words: Vec<usize> = words.as_chunks().0.iter().map(|word| u32::from_le_bytes(*word) as usize).collect();
    if words[0] != expected {
        return Err(DicomError::pixels(format!("{} RLE segments", words[0]), expected.to_string()));
    }
    let pixels = header.rows * header.columns;
    let mut out = Vec::new();
    for segment in 1..=expected {
        let end = if segment == expected { bytes.len() } else { words[segment + 1] };
        let packed = bytes.get(words[segment]..end);
        let packed = packed.ok_or_else(|| DicomError::pixels("an RLE offset beyond the data", "one inside"))?;
        unpack(packed, segment * pixels, &mut out)?;
    }
    Ok(out)
}

/// Appends runs until `out` has `length` bytes. What follows them is padding.
fn unpack(mut packed: &[u8], length: usize, out: &mut Vec<u8>) -> Result<(), DicomError> {
    while out.len() < length {
        let room = length - out.len();
        let &[control, ref rest @ ..] = packed else { return Err(DicomError::cut_off("an RLE segment")) };
        let control = control.cast_signed();
        let used = match control {
            0.. => {
                let count = 1 + usize::from(control.unsigned_abs());
                let literal = rest.get(..count).ok_or_else(|| DicomError::cut_off("an RLE segment"))?;
                out.extend_from_slice(&literal[..count.min(room)]);
                count
            }
            -128 => 0,
            _ => {
                let value = rest.first().ok_or_else(|| DicomError::cut_off("an RLE segment"))?;
                let count = 1 + usize::from(control.unsigned_abs());
                out.extend(std::iter::repeat_n(*value, count.min(room)));
                1
            }
        };
        packed = &rest[used..];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_and_literals_unpack_as_the_standard_says() {
        let mut out = Vec::new();
        unpack(&[0xfe, 0xaa, 0x02, 1, 2, 3, 0x80, 0xff, 9, 0], 8, &mut out).unwrap();
        assert_eq!(out, [0xaa, 0xaa, 0xaa, 1, 2, 3, 9, 9]);
        assert!(unpack(&[0xfe], 11, &mut out).is_err());
        assert!(unpack(&[5, 1], 11, &mut out).is_err());
    }
}
