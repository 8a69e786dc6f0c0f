//! Where the entries of a dataset file stand, so that each is read when it is asked for: some bytes of memory for an
//! entry, whatever it says. An entry that is no longer what it was when the file was listed is an error, never another
//! study.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    cut::Raw,
    files::Form,
    record::{self, Record},
};
use crate::error::{Error, Place, Problem, Result};

/// An entry's place in the file, and what its bytes were.
#[derive(Clone, Copy, Debug)]
struct Slot {
    at: u64,
    length: u32,
    crc: u32,
    line: u32,
    entry: u32,
}

/// Where the bytes of entries are.
#[derive(Debug)]
pub enum Bytes {
    File(Mutex<File>),
    /// Rows of Parquet, which are stored by column, as JSON.
    #[cfg(feature = "parquet")]
    Memory(Vec<u8>),
}

/// How the entries of a file are written.
#[derive(Clone, Debug)]
pub struct Writing {
    pub path: Arc<Path>,
    pub form: Form,
    /// Names of a table's columns.
    pub header: Vec<String>,
}

impl Writing {
    /// Where an entry stands that begins in this line.
    pub fn place(&self, line: u32, entry: u32) -> Place {
        Place { path: self.path.clone(), line: Some(line).filter(|_| self.form != Form::Parquet), entry }
    }

    pub fn record(&self, bytes: &[u8]) -> Result<Record, Problem> {
        record::read(self.form, &self.header, bytes)
    }
}

/// Entries of a file, by their index among those that were kept.
#[derive(Debug)]
pub struct Entries {
    pub writing: Writing,
    bytes: Bytes,
    slots: Vec<Slot>,
}

impl Entries {
    pub fn new(writing: Writing, bytes: Bytes) -> Self {
        Self { writing, bytes, slots: Vec::new() }
    }

    pub fn keep(&mut self, raw: &Raw, entry: u32) {
        let at = match &mut self.bytes {
            Bytes::File(_) => raw.at,
            #[cfg(feature = "parquet")]
            Bytes::Memory(all) => {
                all.extend_from_slice(&raw.bytes);
                (all.len() - raw.bytes.len()) as u64
            }
        };
        // The cutter bounds the length.
        let length = u32::try_from(raw.bytes.len()).unwrap_or(u32::MAX);
        self.slots.push(Slot { at, length, crc: crc32fast::hash(&raw.bytes), line: raw.line, entry });
    }

    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Number among all entries of the file, and place.
    pub fn place(&self, index: usize) -> Result<Place> {
        let slot = self.slot(index)?;
        Ok(self.writing.place(slot.line, slot.entry))
    }

    pub fn record(&self, index: usize) -> Result<Record> {
        let slot = self.slot(index)?;
        let place = || self.writing.place(slot.line, slot.entry);
        let bytes = match self.bytes.read(slot.at, slot.length as usize) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Err(Error::Changed(place())),
            Err(reason) => return Err(Error::io(&*self.writing.path)(reason)),
        };
        if crc32fast::hash(&bytes) != slot.crc {
            return Err(Error::Changed(place()));
        }
        self.writing.record(&bytes).map_err(|problem| Error::entry(place(), vec![problem]))
    }

    fn slot(&self, index: usize) -> Result<&Slot> {
        self.slots.get(index).ok_or(Error::OutOfRange { index, len: self.slots.len() })
    }
}

impl Bytes {
    fn read(&self, at: u64, length: usize) -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        match self {
            Self::File(file) => {
                // A reader that panicked leaves a file that is sought anew.
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                file.seek(SeekFrom::Start(at))?;
                file.read_exact(&mut bytes)?;
            }
            #[cfg(feature = "parquet")]
            Self::Memory(all) => {
                let start = usize::try_from(at).unwrap_or(usize::MAX);
                let found = all.get(start..start.saturating_add(length)).ok_or(std::io::ErrorKind::UnexpectedEof)?;
                bytes.copy_from_slice(found);
            }
        }
        Ok(bytes)
    }
}
