//! What the markers of a JPEG stream announce, read before anything is decoded (ITU-T T.81, annex B).
//!
//! Decoders fill what is missing of a cut-off stream with gray; here it is found out.

/// The frame header of a complete JPEG stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// n of the frame's marker SOFn: 0 baseline, 1 extended, 2 progressive, 3 lossless.
    pub process: u8,
    /// Bits per sample.
    pub precision: u8,
    /// In pixels.
    pub height: usize,
    /// In pixels.
    pub width: usize,
    pub components: u8,
    /// Whether restart markers cut the scans.
    pub restarts: bool,
    /// Low bits that a lossless scan leaves out, or a progressive one for later.
    pub point_transform: u8,
}

/// Walks over all markers, from the start of the image to its end.
///
/// # Errors
/// What is missing of the stream.
pub fn inspect(bytes: &[u8]) -> Result<Header, &'static str> {
    const CUT_OFF: &str = "the stream ends before its end marker";
    let mut rest = bytes.strip_prefix(&[0xff, 0xd8]).ok_or("no start marker")?;
    let mut header: Option<Header> = None;
    let (mut scans, mut restarts, mut point_transform) = (0, false, 0);
    loop {
        // Entropy-coded data and filling lie before the next marker; neither holds 0xFF followed by one.
        let at = rest.windows(2).position(|pair| pair[0] == 0xff && is_marker(pair[1])).ok_or(CUT_OFF)?;
        let marker = rest[at + 1];
        rest = &rest[at + 2..];
        if marker == 0xd9 {
            let header = header.filter(|_| scans > 0).ok_or("no image before the end marker")?;
            return Ok(Header { restarts, point_transform, ..header });
        }
        let length = rest.first_chunk().map(|length| usize::from(u16::from_be_bytes(*length))).ok_or(CUT_OFF)?;
        let segment = rest.get(2..length).ok_or(CUT_OFF)?;
        match marker {
            0xc4 | 0xc8 | 0xcc => {}
            0xc0..=0xcf if header.is_some() => return Err("more than one frame"),
            0xc0..=0xcf => header = Some(frame(marker - 0xc0, segment).ok_or("its frame header is cut off")?),
            0xda => {
                scans += 1;
                point_transform = segment.last().map_or(0, |last| last & 0x0f);
            }
            0xdd => restarts |= segment != [0, 0],
            _ => {}
        }
        rest = &rest[length..];
    }
}

/// Whether the byte after 0xFF makes a marker with a segment, or the end: no stuffing, no filling, no restart.
fn is_marker(byte: u8) -> bool {
    !matches!(byte, 0x00 | 0x01 | 0xd0..=0xd8 | 0xff)
}

fn frame(process: u8, segment: &[u8]) -> Option<Header> {
    let &[precision, h1, h0, w1, w0, components] = segment.first_chunk()?;
    let side = |high, low| usize::from(u16::from_be_bytes([high, low]));
    Some(Header {
        process,
        precision,
        height: side(h1, h0),
        width: side(w1, w0),
        components,
        restarts: false,
        point_transform: 0,
    })
}

#[cfg(test)]
mod tests {
    use ::image::{ImageFormat, RgbImage};

    use super::*;

    #[test]
    fn a_whole_stream_tells_its_frame_and_every_shorter_one_is_cut_off() {
        let mut bytes = std::io::Cursor::new(Vec::new());
        RgbImage::from_fn(21, 13, |x, y| ::image::Rgb([(x * 11) as u8, (y * 17) as u8, (x * y) as u8]))
            .write_to(&mut bytes, ImageFormat::Jpeg)
            .unwrap();
        let bytes = bytes.into_inner();
        let header = Header {
            process: 0,
            precision: 8,
            height: 13,
            width: 21,
            components: 3,
            restarts: false,
            point_transform: 0,
        };
        assert_eq!(inspect(&bytes), Ok(header));
        assert_eq!(inspect(&[&bytes[..], b"trailing"].concat()), Ok(header));
        for length in 0..bytes.len() {
            assert!(inspect(&bytes[..length]).is_err(), "{length} of {} bytes", bytes.len());
        }
    }
}
