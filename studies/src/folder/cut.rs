//! Cuts a dataset file into its entries, in one pass and without holding more than one of them. What an entry says is not
//! understood here: an entry that is nonsense is cut like any other, so that the ones after it can still be read.

mod array;
mod lines;
mod step;
mod table;

use std::io::{self, BufRead};

use array::Array;
use lines::Lines;
use step::Step;
use table::Table;

use super::files::Form;

/// Most bytes of an entry. Reports have thousands; images written into a file have millions.
const MOST_BYTES: usize = 1 << 24;

/// An entry as it is written.
#[derive(Debug, PartialEq, Eq)]
pub struct Raw {
    /// Bytes of the file before it.
    pub at: u64,
    /// The line it begins in, from 1.
    pub line: u32,
    pub bytes: Vec<u8>,
}

enum Cutter {
    Array(Array),
    Lines(Lines),
    Table(Table),
}

/// Why a file cannot be cut further.
pub enum Broken {
    Io(io::Error),
    /// The line, and what is wrong there.
    Content(u32, String),
}

/// The entries of a file from where its reader stands.
pub struct Cut<R> {
    input: R,
    cutter: Cutter,
    at: u64,
    line: u32,
    crc: crc32fast::Hasher,
}

impl<R: BufRead> Cut<R> {
    /// `skipped` are the bytes that the reader has left behind. None for Parquet, which is cut by its own reader.
    pub fn new(input: R, form: Form, skipped: &[u8]) -> Option<Self> {
        let cutter = match form {
            Form::Array => Cutter::Array(Array::default()),
            Form::Lines => Cutter::Lines(Lines::default()),
            Form::Table { separator } => Cutter::Table(Table::new(separator)),
            Form::Parquet => return None,
        };
        let mut crc = crc32fast::Hasher::new();
        crc.update(skipped);
        Some(Self { input, cutter, at: skipped.len() as u64, line: 1, crc })
    }

    /// The next entry; none at the end of the file.
    pub fn next(&mut self) -> Result<Option<Raw>, Broken> {
        let mut raw: Option<Raw> = None;
        loop {
            let buffer = match self.input.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Broken::Io(error)),
            };
            if buffer.is_empty() {
                let begun = raw.as_ref().map_or(self.line, |raw| raw.line);
                self.cutter.end().map_err(|reason| Broken::Content(begun, reason.into()))?;
                return Ok(raw);
            }
            let (mut used, mut ended) = (0, false);
            while !ended && used < buffer.len() {
                let byte = buffer[used];
                let start = |bytes| Raw { at: self.at + used as u64, line: self.line, bytes };
                match self.cutter.step(byte) {
                    Step::Between => {}
                    Step::Within => raw.get_or_insert_with(|| start(Vec::new())).bytes.push(byte),
                    Step::Ends => {
                        raw.get_or_insert_with(|| start(Vec::new()));
                        ended = true;
                    }
                    Step::Wrong(reason) => return Err(Broken::Content(self.line, reason.into())),
                }
                self.line = self.line.saturating_add(u32::from(byte == b'\n'));
                used += 1;
            }
            self.crc.update(&buffer[..used]);
            self.at += used as u64;
            self.input.consume(used);
            if let Some(raw) = raw.as_ref().filter(|raw| raw.bytes.len() > MOST_BYTES) {
                return Err(Broken::Content(raw.line, format!("an entry has more than {MOST_BYTES} bytes")));
            }
            if ended {
                return Ok(raw);
            }
        }
    }

    /// Bytes of the file up to here, and their CRC-32.
    pub fn read(self) -> (u64, u32) {
        (self.at, self.crc.finalize())
    }
}

impl Cutter {
    fn step(&mut self, byte: u8) -> Step {
        match self {
            Self::Array(array) => array.step(byte),
            Self::Lines(lines) => lines.step(byte),
            Self::Table(table) => table.step(byte),
        }
    }

    fn end(&self) -> Result<(), &'static str> {
        match self {
            Self::Array(array) => array.end(),
            Self::Lines(_) => Ok(()),
            Self::Table(table) => table.end(),
        }
    }
}

#[cfg(test)]
mod tests;
