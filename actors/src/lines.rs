//! Files of JSON objects, one per line, that only grow.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufRead, BufReader, ErrorKind, Write},
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    RunError,
    disk::{UNFINISHED, put_in_place, write_synced},
};

/// A file of JSON objects, one per line, that only grows.
pub(crate) struct Lines {
    pub path: PathBuf,
    /// Where a shorter version of the file is written before it takes the file's place.
    beside: PathBuf,
    file: File,
}

impl Lines {
    pub fn open(folder: &Path, name: &str) -> Result<Self, RunError> {
        let (path, beside) = (folder.join(name), folder.join(format!("{UNFINISHED}{name}")));
        let file = append_to(&path)?;
        Ok(Self { path, beside, file })
    }

    pub fn append<'a, T: Serialize + 'a>(&mut self, values: impl IntoIterator<Item = &'a T>) -> Result<(), RunError> {
        let mut text = Vec::new();
        for value in values {
            serde_json::to_writer(&mut text, value).map_err(|error| RunError::io(&self.path)(error.into()))?;
            text.push(b'\n');
        }
        self.append_text(&text)
    }

    /// Appends whole lines.
    pub fn append_text(&mut self, text: &[u8]) -> Result<(), RunError> {
        self.is_in_place().and_then(|()| self.file.write_all(text)).map_err(RunError::io(&self.path))
    }

    /// Has what was appended on disk.
    pub fn sync(&self) -> Result<(), RunError> {
        self.file.sync_data().map_err(RunError::io(&self.path))
    }

    /// Whether what is written can be found: a file that was moved or removed would take lines for ever.
    #[cfg(unix)]
    fn is_in_place(&self) -> std::io::Result<()> {
        use std::os::unix::fs::MetadataExt;
        let (ours, there) = (self.file.metadata()?, fs::metadata(&self.path)?);
        match (ours.dev(), ours.ino()) == (there.dev(), there.ino()) {
            true => Ok(()),
            false => Err(std::io::Error::new(ErrorKind::NotFound, "another file has taken its place")),
        }
    }

    #[cfg(not(unix))]
    fn is_in_place(&self) -> std::io::Result<()> {
        Ok(())
    }

    /// Keeps the lines that `keep` wants, and returns them. A last line that was not finished goes too; it may end
    /// anywhere, even within a character. A complete line that is none of ours stays.
    pub fn cut<T: DeserializeOwned>(&mut self, keep: impl Fn(&T) -> bool) -> Result<Vec<T>, RunError> {
        let text = fs::read(&self.path).map_err(RunError::io(&self.path))?;
        let (mut kept, mut values) = (Vec::new(), Vec::new());
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let stays = match serde_json::from_slice::<T>(line) {
                Ok(value) => keep(&value).then(|| values.push(value)).is_some(),
                Err(_) => line.ends_with(b"\n"),
            };
            if stays {
                kept.extend_from_slice(line);
            }
        }
        if kept.last().is_some_and(|last| *last != b'\n') {
            kept.push(b'\n');
        }
        if kept != text {
            write_synced(&self.beside, &kept)?;
            put_in_place(&self.beside, &self.path)?;
            self.file = append_to(&self.path)?;
        }
        Ok(values)
    }

    /// Cuts the file off before the first line that `keep` does not want, or that is none. For files that may be larger
    /// than the memory: it is shortened where it is.
    pub fn cut_off<T: DeserializeOwned>(&mut self, keep: impl Fn(&T) -> bool) -> Result<(), RunError> {
        let failed = |error| RunError::io(&self.path)(error);
        let mut reader = BufReader::new(File::open(&self.path).map_err(failed)?);
        let (mut line, mut kept) = (Vec::new(), 0);
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line).map_err(failed)?;
            if !line.ends_with(b"\n") || !serde_json::from_slice::<T>(&line).is_ok_and(|value| keep(&value)) {
                break;
            }
            kept += read as u64;
        }
        let file = OpenOptions::new().write(true).open(&self.path).map_err(failed)?;
        if file.metadata().map_err(failed)?.len() > kept {
            file.set_len(kept).and_then(|()| file.sync_all()).map_err(failed)?;
        }
        Ok(())
    }
}

fn append_to(path: &Path) -> Result<File, RunError> {
    OpenOptions::new().create(true).append(true).open(path).map_err(RunError::io(path))
}
