//! Tables of comma-separated values, compressed or not, as spreadsheets and Python write them.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use csv::{ByteRecord, Reader, ReaderBuilder};
use flate2::bufread::MultiGzDecoder;

use super::text;
use crate::error::{Error, Result};

/// An open table. Its head may start with a byte order mark; quoted cells may hold line ends.
pub struct Table {
    path: PathBuf,
    head: Vec<String>,
    reader: Reader<Box<dyn Read>>,
}

/// A row.
pub struct Row(ByteRecord);

/// Where a column is.
#[derive(Clone, Copy)]
pub struct Column(usize);

impl Table {
    /// # Errors
    /// The file cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        let mut file = BufReader::with_capacity(1 << 16, File::open(path).map_err(Error::io(path))?);
        let compressed = file.fill_buf().map_err(Error::io(path))?.starts_with(&[0x1f, 0x8b]);
        let bytes: Box<dyn Read> = if compressed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
        let mut reader = ReaderBuilder::new().flexible(true).from_reader(bytes);
        let head = reader.byte_headers().map_err(wrong(path))?;
        let name = |cell: &[u8]| String::from_utf8_lossy(cell).trim_start_matches('\u{feff}').trim().to_lowercase();
        let head = head.iter().map(name).collect();
        Ok(Self { path: path.to_owned(), head, reader })
    }

    /// # Errors
    /// No column has one of these names, in capitals or not.
    pub fn column(&self, names: &[&str]) -> Result<Column> {
        self.optional(names).ok_or_else(|| {
            let reason = format!("no column {}, found {}", names.join(" or "), self.head.join(", "));
            Error::Source { path: self.path.clone(), reason }
        })
    }

    pub fn optional(&self, names: &[&str]) -> Option<Column> {
        names.iter().find_map(|name| self.head.iter().position(|cell| *cell == name.to_lowercase())).map(Column)
    }

    /// # Errors
    /// Of each row: the file breaks off.
    pub fn rows(self) -> impl Iterator<Item = Result<Row>> {
        let path = self.path;
        self.reader.into_byte_records().map(move |row| row.map(Row).map_err(wrong(&path)))
    }
}

impl Row {
    /// The cell, without blanks around it; none if it is empty or says that it is, as Python's `nan`.
    pub fn get(&self, column: Column) -> Option<String> {
        self.0.get(column.0).and_then(|cell| text::cell(&String::from_utf8_lossy(cell)))
    }

    /// As [`Row::get`], of a column that may be missing.
    pub fn find(&self, column: Option<Column>) -> Option<String> {
        column.and_then(|column| self.get(column))
    }

    /// The line on which the row starts.
    pub fn line(&self) -> u64 {
        self.0.position().map_or(0, csv::Position::line)
    }
}

fn wrong(path: &Path) -> impl FnOnce(csv::Error) -> Error {
    let path = path.to_owned();
    move |reason| Error::Source { path, reason: reason.to_string() }
}
