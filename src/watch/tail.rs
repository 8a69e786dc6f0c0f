//! What was added to a file of lines since it was last read, while somebody else writes it.

use std::{
    fs::{File, Metadata},
    io::{self, ErrorKind, Read, Seek, SeekFrom},
    path::PathBuf,
};

/// A file of JSON objects, one a line, that grows, that a resumed run replaces by a shorter one, and that need not be
/// there yet.
pub struct Tail {
    path: PathBuf,
    /// Read no more than so many of the last bytes the first time.
    last: u64,
    /// Where the first line begins that was not complete.
    at: u64,
    identity: Option<Identity>,
}

/// What was new.
pub struct News<T> {
    /// What was read before is no longer in the file.
    pub anew: bool,
    pub values: Vec<T>,
    /// Complete lines that could not be read.
    pub damaged: usize,
}

impl Tail {
    pub fn new(path: PathBuf) -> Self {
        Self { path, last: u64::MAX, at: 0, identity: None }
    }

    /// Of a file that only its end is wanted of.
    pub fn last(self, bytes: u64) -> Self {
        Self { last: bytes, ..self }
    }

    /// The complete lines that are new.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub fn read<T>(&mut self, parse: impl Fn(&[u8]) -> serde_json::Result<T>) -> io::Result<News<T>> {
        let mut news = News { anew: false, values: Vec::new(), damaged: 0 };
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                news.anew = self.at > 0;
                (self.at, self.identity) = (0, None);
                return Ok(news);
            }
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        let identity = Identity::of(&metadata);
        if self.identity.is_some_and(|known| known != identity) || metadata.len() < self.at {
            news.anew = true;
            self.at = 0;
        }
        self.identity = Some(identity);
        let skips = self.at == 0 && metadata.len() > self.last;
        if skips {
            self.at = metadata.len() - self.last;
        }
        let mut text = Vec::new();
        file.seek(SeekFrom::Start(self.at))?;
        file.take(metadata.len() - self.at).read_to_end(&mut text)?;
        let end = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        self.at += end as u64;
        let mut lines = text[..end].split_inclusive(|byte| *byte == b'\n');
        if skips {
            // It may have begun anywhere.
            lines.next();
        }
        for line in lines.filter(|line| !line.trim_ascii().is_empty()) {
            match parse(line) {
                Ok(value) => news.values.push(value),
                Err(_) => news.damaged += 1,
            }
        }
        Ok(news)
    }
}

/// Tells a file from another one that took its place.
#[derive(Clone, Copy, PartialEq)]
struct Identity {
    #[cfg(unix)]
    inode: u64,
}

impl Identity {
    #[cfg(unix)]
    fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self { inode: metadata.ino() }
    }

    /// Where files have no such number, only one that became shorter is noticed.
    #[cfg(not(unix))]
    fn of(_: &Metadata) -> Self {
        Self {}
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, OpenOptions},
        io::Write,
    };

    use super::*;

    struct Place {
        _folder: tempfile::TempDir,
        path: PathBuf,
    }

    fn place() -> Place {
        let folder = tempfile::tempdir().unwrap();
        Place { path: folder.path().join("lines.jsonl"), _folder: folder }
    }

    fn append(place: &Place, text: &[u8]) {
        OpenOptions::new().create(true).append(true).open(&place.path).unwrap().write_all(text).unwrap();
    }

    fn read(tail: &mut Tail) -> (bool, Vec<u64>, usize) {
        let News { anew, values, damaged } = tail.read(|line| serde_json::from_slice(line)).unwrap();
        (anew, values, damaged)
    }

    #[test]
    fn lines_come_once_each_and_only_when_they_are_complete() {
        let place = place();
        let mut tail = Tail::new(place.path.clone());
        assert_eq!(read(&mut tail), (false, vec![], 0), "it is not there yet");
        for byte in b"17\n23\n" {
            append(&place, &[*byte]);
            let (anew, values, damaged) = read(&mut tail);
            let expected = if *byte == b'\n' { 1 } else { 0 };
            assert_eq!((anew, values.len(), damaged), (false, expected, 0));
        }
        append(&place, b"4\nnonsense\n\n5\n6");
        assert_eq!(read(&mut tail), (false, vec![4, 5], 1));
    }

    #[test]
    fn a_cut_off_line_that_gives_way_to_another_leaves_no_trace() {
        let place = place();
        let mut tail = Tail::new(place.path.clone());
        append(&place, b"1\n2");
        assert_eq!(read(&mut tail), (false, vec![1], 0));
        OpenOptions::new().write(true).open(&place.path).unwrap().set_len(2).unwrap();
        append(&place, b"345\n");
        assert_eq!(read(&mut tail), (false, vec![345], 0));
    }

    #[test]
    fn a_file_that_was_cut_or_replaced_or_removed_is_read_anew() {
        let place = place();
        let mut tail = Tail::new(place.path.clone());
        append(&place, b"1\n2\n3\n");
        assert_eq!(read(&mut tail), (false, vec![1, 2, 3], 0));
        // As a resumed run does it: no shorter than before by the time one looks.
        let beside = place.path.with_extension("beside");
        fs::write(&beside, "1\n8\n9\n").unwrap();
        fs::rename(&beside, &place.path).unwrap();
        if cfg!(unix) {
            assert_eq!(read(&mut tail), (true, vec![1, 8, 9], 0));
        }
        fs::write(&place.path, "4\n").unwrap();
        assert_eq!(read(&mut tail), (true, vec![4], 0));
        fs::remove_file(&place.path).unwrap();
        assert_eq!(read(&mut tail), (true, vec![], 0));
        assert_eq!(read(&mut tail), (false, vec![], 0));
    }

    #[test]
    fn of_a_long_file_the_end_is_enough() {
        let place = place();
        (0..100).for_each(|line| append(&place, format!("{line}\n").as_bytes()));
        let mut tail = Tail::new(place.path.clone()).last(8);
        assert_eq!(read(&mut tail), (false, vec![98, 99], 0));
        append(&place, b"100\n");
        assert_eq!(read(&mut tail), (false, vec![100], 0));
    }
}
