//! DICOM files.

use std::path::Path;

use addendum::studies::decode::decode;

/// An element in explicit little-endian form.
fn element(group: u16, number: u16, vr: &[u8; 2], value: &[u8]) -> Vec<u8> {
    let mut bytes = [group.to_le_bytes(), number.to_le_bytes()].concat();
    bytes.extend(vr);
    match vr {
        b"OB" | b"OW" | b"SQ" | b"UN" => {
            bytes.extend([0, 0]);
            bytes.extend((value.len() as u32).to_le_bytes());
        }
        _ => bytes.extend((value.len() as u16).to_le_bytes()),
    }
    bytes.extend(value);
    bytes
}

/// Text of even length.
fn padded(text: &str, with: char) -> Vec<u8> {
    let mut text = text.to_owned();
    if !text.len().is_multiple_of(2) {
        text.push(with);
    }
    text.into_bytes()
}

/// A file around a data set.
fn file(syntax: &str, data: &[Vec<u8>]) -> Vec<u8> {
    let meta = element(2, 0x10, b"UI", &padded(syntax, '\0'));
    let length = element(2, 0, b"UL", &(meta.len() as u32).to_le_bytes());
    [&[0; 128], &b"DICM"[..], &length, &meta, &data.concat()].concat()
}

/// What an image of 4 x 3 pixels says of itself.
fn header(photometric: &str, allocated: u16, stored: u16) -> Vec<Vec<u8>> {
    let number = |number: u16, value: u16| element(0x28, number, b"US", &value.to_le_bytes());
    vec![
        element(0x10, 0x10, b"PN", b"Doe^Jane"),
        number(0x02, 1),
        element(0x28, 0x04, b"CS", &padded(photometric, ' ')),
        number(0x10, 3),
        number(0x11, 4),
        number(0x100, allocated),
        number(0x101, stored),
        number(0x102, stored - 1),
        number(0x103, 0),
    ]
}

pub fn seeds() -> Vec<Vec<u8>> {
    const EXPLICIT: &str = "1.2.840.10008.1.2.1";
    const RLE: &str = "1.2.840.10008.1.2.5";
    let words: Vec<u8> = (0..12u16).flat_map(|i| (i * 300).to_le_bytes()).collect();
    let pixels = |vr, bytes: &[u8]| element(0x7fe0, 0x10, vr, bytes);
    let window = [element(0x28, 0x1050, b"DS", b"1000"), element(0x28, 0x1051, b"DS", b"2000")];
    let table =
        [element(0x28, 0x3002, b"US", &[3, 0, 0, 0, 8, 0]), element(0x28, 0x3006, b"OW", &[255, 0, 7, 0, 0, 0])]
            .concat();
    let item = [&[0xfe, 0xff, 0, 0xe0][..], &(table.len() as u32).to_le_bytes(), &table].concat();
    let packed = {
        let mut stream = [1u32, 64].map(u32::to_le_bytes).concat();
        stream.resize(64, 0);
        stream.extend([11, 0, 9, 18, 27, 36, 45, 54, 63, 72, 81, 90, 99, 0x80]);
        let item = |bytes: &[u8]| [&[0xfe, 0xff, 0, 0xe0][..], &(bytes.len() as u32).to_le_bytes(), bytes].concat();
        let start = [0xe0, 0x7f, 0x10, 0, b'O', b'B', 0, 0, 0xff, 0xff, 0xff, 0xff];
        [&start[..], &item(&[]), &item(&stream), &[0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0]].concat()
    };
    vec![
        file(EXPLICIT, &[header("MONOCHROME2", 16, 12), window.to_vec(), vec![pixels(b"OW", &words)]].concat()),
        file(EXPLICIT, &[header("MONOCHROME1", 8, 8), vec![pixels(b"OB", &words[..12])]].concat()),
        file(
            EXPLICIT,
            &[header("MONOCHROME2", 16, 16), vec![element(0x28, 0x3000, b"SQ", &item), pixels(b"OW", &words)]].concat(),
        ),
        file(RLE, &[header("MONOCHROME2", 8, 8), vec![packed]].concat()),
    ]
}

pub fn read(input: &[u8]) -> bool {
    let Ok(pixels) = decode(Path::new("view.dcm"), input) else { return false };
    assert_eq!(pixels.levels().len(), pixels.height() * pixels.width() * pixels.channels());
    true
}
