//! One pass over a dataset file: which of its entries are studies of a split, and what is wrong with the others.

use std::{
    fs::File,
    io::{BufReader, Read},
    sync::Mutex,
};

use super::{
    cells, columns,
    cut::{Broken, Cut, Raw},
    entries::{Bytes, Entries, Writing},
    files::{Form, Found},
    lister::Lister,
    paths::Images,
};
use crate::{
    dataset::Split,
    error::{BadRow, Error, Result},
};

const BUFFER: usize = 1 << 20;

/// What a pass over a file found.
#[derive(Debug)]
pub struct Listing {
    /// The studies of the split.
    pub studies: Entries,
    /// The other entries of the split.
    pub bad: Vec<BadRow>,
    /// Entries of the file.
    pub entries: u32,
    /// Bytes of the file, and their CRC-32.
    pub read: (u64, u32),
}

/// Lists the file of a split.
///
/// # Errors
/// A file that cannot be read, or not to its end.
pub fn list(found: &Found, split: Split, images: &Images) -> Result<Listing> {
    let mut file = File::open(&found.path).map_err(Error::io(&found.path))?;
    let mut skipped = vec![0; found.skip];
    file.read_exact(&mut skipped).map_err(Error::io(&found.path))?;
    let reading = BufReader::with_capacity(BUFFER, file.try_clone().map_err(Error::io(&found.path))?);
    let (lister, read) = match Cut::new(reading, found.form, &skipped) {
        Some(cut) => entries(cut, found, file, split, images)?,
        None => rows(found, file, split, images)?,
    };
    let (studies, bad, entries) = lister.done();
    Ok(Listing { studies, bad, entries, read })
}

/// What was listed, and bytes and CRC-32 of the file.
type Listed<'a> = (Lister<'a>, (u64, u32));

fn entries<'a>(
    mut cut: Cut<BufReader<File>>,
    found: &Found,
    file: File,
    split: Split,
    images: &'a Images,
) -> Result<Listed<'a>> {
    let mut writing = Writing { path: found.path.as_path().into(), form: found.form, header: Vec::new() };
    if let Form::Table { separator } = found.form {
        let header = cut.next().map_err(|broken| told(broken, &writing, 0))?;
        let header = header.ok_or_else(|| "expected a header, found nothing".to_owned());
        writing.header = header
            .and_then(|raw| header_of(&raw, separator))
            .map_err(|reason| Error::Format { path: found.path.clone(), reason })?;
    }
    let mut lister = Lister::new(Entries::new(writing, Bytes::File(Mutex::new(file))), found.all, split, images);
    loop {
        match cut.next() {
            Ok(Some(raw)) => lister.take(raw),
            Ok(None) => return Ok((lister, cut.read())),
            Err(broken) => return Err(told(broken, &lister.entries.writing, lister.taken())),
        }
    }
}

fn told(broken: Broken, writing: &Writing, entry: u32) -> Error {
    match broken {
        Broken::Io(reason) => Error::io(&*writing.path)(reason),
        Broken::Content(line, reason) => Error::Broken { place: writing.place(line, entry), reason },
    }
}

fn header_of(raw: &Raw, separator: u8) -> Result<Vec<String>, String> {
    let header: Vec<String> = cells::of(&raw.bytes, separator)?.iter().map(|name| name.trim().to_owned()).collect();
    if let Some(at) = (0..header.len()).find(|&at| header[..at].contains(&header[at])) {
        return Err(format!("the header names `{}` twice", header[at]));
    }
    columns::check(&header).map(|()| header)
}

#[cfg(feature = "parquet")]
use super::parquet::rows;

#[cfg(not(feature = "parquet"))]
fn rows<'a>(found: &Found, _: File, _: Split, _: &'a Images) -> Result<Listed<'a>> {
    let reason = "is Parquet, which this build does not read; expected a build with `--features parquet`".into();
    Err(Error::Format { path: found.path.clone(), reason })
}
