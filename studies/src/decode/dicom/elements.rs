//! The data elements of a DICOM data set, found in place: values are neither copied nor parsed, lengths are checked
//! against the bytes that are there, and sequences are skipped without recursion.

use std::{collections::BTreeMap, fmt};

use dicom_core::{DataElementHeader, Tag, VR};
use dicom_encoding::decode::{
    Decode, explicit_be::ExplicitVRBigEndianDecoder, explicit_le::ExplicitVRLittleEndianDecoder,
    implicit_le::StandardImplicitVRLittleEndianDecoder,
};

use crate::error::DicomError;

/// Deepest nesting of sequences and items of undefined length. Real objects have a handful of levels.
const MAX_DEPTH: usize = 64;

const ITEM: Tag = Tag(0xfffe, 0xe000);
const ITEM_END: Tag = Tag(0xfffe, 0xe00d);
const SEQUENCE_END: Tag = Tag(0xfffe, 0xe0dd);
const ROWS: Tag = Tag(0x0028, 0x0010);
const COLUMNS: Tag = Tag(0x0028, 0x0011);
const PIXEL_DATA: Tag = Tag(0x7fe0, 0x0010);

/// How element headers and binary values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    ImplicitLittle,
    ExplicitLittle,
    ExplicitBig,
}

impl Encoding {
    pub const ALL: [Self; 3] = [Self::ExplicitLittle, Self::ImplicitLittle, Self::ExplicitBig];
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ImplicitLittle => "implicit VR little endian",
            Self::ExplicitLittle => "explicit VR little endian",
            Self::ExplicitBig => "explicit VR big endian",
        })
    }
}

/// An element whose value lies in the data set.
#[derive(Debug, Clone, Copy)]
pub struct Element<'a> {
    pub tag: Tag,
    pub vr: VR,
    /// Whether the length was left open: the value holds items and their end marker.
    pub open: bool,
    pub value: &'a [u8],
}

/// The elements that say what an image is, up to its pixel data.
#[derive(Debug)]
pub struct Elements<'a> {
    pub encoding: Encoding,
    found: BTreeMap<Tag, Element<'a>>,
}

impl<'a> Elements<'a> {
    /// # Errors
    /// An element that goes beyond the end of the data, broken or bottomless nesting.
    pub fn read(data: &'a [u8], encoding: Encoding) -> Result<Self, DicomError> {
        let mut reader = Reader { data, encoding };
        let mut found = BTreeMap::new();
        while let Some(element) = reader.next_element()? {
            if matches!(element.tag.group(), 0x0028 | 0x7fe0) {
                found.insert(element.tag, element);
            }
            if element.tag == PIXEL_DATA {
                break;
            }
        }
        Ok(Self { encoding, found })
    }

    /// Whether there is what every image has.
    pub fn are_of_an_image(&self) -> bool {
        [ROWS, COLUMNS, PIXEL_DATA].into_iter().all(|tag| self.get(tag).is_some())
    }

    /// The element, unless it is absent or empty.
    pub fn get(&self, tag: Tag) -> Option<Element<'a>> {
        self.found.get(&tag).copied().filter(|element| !element.value.is_empty())
    }

    /// The elements of the first item of a sequence, which may be absent or empty.
    ///
    /// # Errors
    /// As [`Elements::read`].
    pub fn first_item(&self, sequence: Tag) -> Result<Option<Self>, DicomError> {
        let Some(element) = self.get(sequence) else { return Ok(None) };
        let mut reader = Reader { data: element.value, encoding: self.encoding };
        let item = reader.item()?;
        item.map(|item| Self::read(item, self.encoding)).transpose()
    }

    /// The fragments of compressed pixel data in one piece, without the offset table in front of them.
    ///
    /// # Errors
    /// Pixel data that are absent, not cut into fragments, or broken.
    pub fn fragments(&self) -> Result<Vec<u8>, DicomError> {
        let element = self.get(PIXEL_DATA).ok_or(DicomError::Missing { attribute: "Pixel Data (7FE0,0010)" })?;
        if !element.open {
            return Err(DicomError::pixels("a plain value", "fragments, as the transfer syntax announces"));
        }
        let mut reader = Reader { data: element.value, encoding: self.encoding };
        reader.item()?;
        let mut joined = Vec::new();
        while let Some(fragment) = reader.item()? {
            joined.extend_from_slice(fragment);
        }
        Ok(joined)
    }

    /// Uncompressed pixel data.
    ///
    /// # Errors
    /// Pixel data that are absent or cut into fragments.
    pub fn plain_pixels(&self) -> Result<Element<'a>, DicomError> {
        match self.get(PIXEL_DATA) {
            None => Err(DicomError::Missing { attribute: "Pixel Data (7FE0,0010)" }),
            Some(element) if element.open => {
                Err(DicomError::pixels("fragments", "a plain value, as the transfer syntax announces"))
            }
            Some(element) => Ok(element),
        }
    }
}

/// What an open sequence or item ends with.
#[derive(Clone, Copy)]
enum Open {
    Sequence,
    Item,
}

/// Walks over data elements; `data` is what is left of them.
pub struct Reader<'a> {
    pub data: &'a [u8],
    pub encoding: Encoding,
}

impl<'a> Reader<'a> {
    /// The next element, or none at the end of the data.
    pub fn next_element(&mut self) -> Result<Option<Element<'a>>, DicomError> {
        if self.data.is_empty() {
            return Ok(None);
        }
        let header = self.header(self.encoding)?;
        let Some(length) = header.len.get() else {
            let value = self.skip_open(nested(&header, self.encoding))?;
            return Ok(Some(Element { tag: header.tag, vr: header.vr, open: true, value }));
        };
        let value = self.take(header.tag, length)?;
        Ok(Some(Element { tag: header.tag, vr: header.vr, open: false, value }))
    }

    /// The content of the next item, or none at the end of its sequence. The content of an open item includes its end
    /// marker.
    fn item(&mut self) -> Result<Option<&'a [u8]>, DicomError> {
        if self.data.is_empty() {
            return Ok(None);
        }
        let header = self.header(self.encoding)?;
        match (header.tag, header.len.get()) {
            (SEQUENCE_END, _) => Ok(None),
            (ITEM, Some(length)) => self.take(ITEM, length).map(Some),
            (ITEM, None) => Ok(Some(std::mem::take(&mut self.data))),
            (tag, _) => Err(DicomError::NotAnItem { tag }),
        }
    }

    fn header(&mut self, encoding: Encoding) -> Result<DataElementHeader, DicomError> {
        let header = match encoding {
            Encoding::ImplicitLittle => StandardImplicitVRLittleEndianDecoder::default().decode_header(&mut self.data),
            Encoding::ExplicitLittle => ExplicitVRLittleEndianDecoder::default().decode_header(&mut self.data),
            Encoding::ExplicitBig => ExplicitVRBigEndianDecoder::default().decode_header(&mut self.data),
        };
        header.map(|(header, _)| header).map_err(|_| DicomError::cut_off("an element header"))
    }

    fn take(&mut self, tag: Tag, length: u32) -> Result<&'a [u8], DicomError> {
        let split = usize::try_from(length).ok().and_then(|length| self.data.split_at_checked(length));
        let (value, rest) = split.ok_or_else(|| {
            DicomError::cut_off(format!("element {tag}, which announces {length} bytes, of {} left", self.data.len()))
        })?;
        self.data = rest;
        Ok(value)
    }

    /// Goes to the end of a sequence of undefined length whose items are in `encoding`.
    fn skip_open(&mut self, encoding: Encoding) -> Result<&'a [u8], DicomError> {
        let whole = self.data;
        let mut levels = vec![(Open::Sequence, encoding)];
        while let Some(&(open, encoding)) = levels.last() {
            let header = self.header(encoding)?;
            match (open, header.tag, header.len.get()) {
                (Open::Sequence, SEQUENCE_END, _) | (Open::Item, ITEM_END, _) => {
                    levels.pop();
                }
                (Open::Sequence, ITEM, None) => levels.push((Open::Item, encoding)),
                (Open::Item, _, None) => levels.push((Open::Sequence, nested(&header, encoding))),
                (Open::Sequence, ITEM, Some(length)) | (Open::Item, _, Some(length)) => {
                    self.take(header.tag, length)?;
                }
                (Open::Sequence, tag, _) => return Err(DicomError::NotAnItem { tag }),
            }
            if levels.len() > MAX_DEPTH {
                return Err(DicomError::Nested(MAX_DEPTH));
            }
        }
        Ok(&whole[..whole.len() - self.data.len()])
    }
}

/// The encoding of a sequence's items: implicit where its own type is unknown (PS3.5 section 6.2.2, note 2).
fn nested(header: &DataElementHeader, outer: Encoding) -> Encoding {
    match outer {
        Encoding::ExplicitLittle if header.vr == VR::UN && header.tag.group() != 0xfffe => Encoding::ImplicitLittle,
        other => other,
    }
}
