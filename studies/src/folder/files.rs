//! Which file of a dataset folder holds a split, and in which form: told by its name and by how it begins.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use crate::{
    dataset::Split,
    error::{Error, Result},
};

/// The file with all splits, whose rows name theirs.
const ALL: &str = "studies";
const EXTENSIONS: [&str; 6] = ["json", "jsonl", "ndjson", "csv", "tsv", "parquet"];
/// Bytes that tell the form of a file; a header may be long.
const HEAD: u64 = 1 << 16;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The form of a dataset file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A JSON array.
    Array,
    /// One JSON object per line.
    Lines,
    /// Rows of cells under a header.
    Table {
        separator: u8,
    },
    Parquet,
}

/// A dataset file.
#[derive(Clone, Debug)]
pub struct Found {
    pub path: PathBuf,
    pub form: Form,
    /// Bytes before the first entry: a byte order mark.
    pub skip: usize,
    /// Whether it holds all splits.
    pub all: bool,
}

/// The file that holds a split.
///
/// # Errors
/// None, two of them, or one in no form that is read.
pub fn find(dir: &Path, split: Split) -> Result<Found> {
    fs::metadata(dir).map_err(Error::io(dir))?;
    let stems: &[&str] = match split {
        Split::Train => &["train", ALL],
        Split::Val => &["val", "validation", "valid", ALL],
        Split::Test => &["test", ALL],
    };
    let names = |stem: &&str| EXTENSIONS.map(|extension| format!("{stem}.{extension}"));
    let mut found = stems.iter().flat_map(names).filter(|name| dir.join(name).is_file());
    let Some(name) = found.next() else {
        let [first, others @ ..] = EXTENSIONS;
        let names: Vec<String> = stems.iter().map(|stem| format!("{stem}.{first}")).collect();
        let expected = format!("{}, or the same with the ending {}", names.join(", "), others.join(", "));
        return Err(Error::NoSplit { dir: dir.to_owned(), split: split.name(), expected });
    };
    if let Some(other) = found.next() {
        return Err(Error::TwoFiles { dir: dir.to_owned(), split: split.name(), found: [name, other] });
    }
    let all = name.split('.').next() == Some(ALL);
    let path = dir.join(name);
    let mut head = Vec::new();
    let file = File::open(&path).map_err(Error::io(&path))?;
    file.take(HEAD).read_to_end(&mut head).map_err(Error::io(&path))?;
    let skip = if head.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
    match form(&path, &head[skip..]) {
        Ok(form) => Ok(Found { path, form, skip, all }),
        Err(reason) => Err(Error::Format { path, reason }),
    }
}

/// The form of a file that begins like this, or why it has none.
fn form(path: &Path, head: &[u8]) -> Result<Form, String> {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let start = head.trim_ascii_start();
    if head.starts_with(b"PAR1") {
        return Ok(Form::Parquet);
    }
    if head.starts_with(b"\x1f\x8b") || head.starts_with(b"PK\x03\x04") || head.starts_with(b"\x28\xb5\x2f\xfd") {
        return Err("is compressed; expected it unpacked".into());
    }
    if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") {
        return Err("is UTF-16 text; expected UTF-8".into());
    }
    match (extension, start.first()) {
        ("parquet", _) => Err("is no Parquet file: it does not start with PAR1".into()),
        ("csv", _) => Ok(Form::Table { separator: separator(start, b',') }),
        ("tsv", _) => Ok(Form::Table { separator: separator(start, b'\t') }),
        (_, Some(b'[')) => Ok(Form::Array),
        ("jsonl" | "ndjson", None | Some(b'{')) => Ok(Form::Lines),
        (_, Some(b'{')) if is_lines(start) => Ok(Form::Lines),
        (_, found) => {
            let found = match found {
                None => "nothing",
                Some(b'{') => "an object",
                Some(b'"') => "a string",
                Some(b'-' | b'0'..=b'9') => "a number",
                _ => "neither",
            };
            Err(format!("expected a JSON array of studies at the top level, or one object per line; found {found}"))
        }
    }
}

/// Whether the first line is a whole object and not the last line.
fn is_lines(start: &[u8]) -> bool {
    let end = start.iter().position(|byte| *byte == b'\n');
    let (first, rest) = start.split_at(end.unwrap_or(start.len()));
    !rest.trim_ascii().is_empty() && crate::json::parse(first).is_ok_and(|value| value.is_object())
}

/// What stands between the names of a header: the most frequent of comma, tab and semicolon outside of quotes.
fn separator(head: &[u8], usual: u8) -> u8 {
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let count = |separator: u8| {
        let mut quoted = false;
        let outside = |byte: &&u8| {
            quoted ^= **byte == b'"';
            !quoted && **byte == separator
        };
        line.iter().filter(outside).count()
    };
    // The last of equals wins.
    [b';', b'\t', b',', usual].into_iter().max_by_key(|separator| count(*separator)).unwrap_or(usual)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(name: &str, head: &[u8]) -> Result<Form, String> {
        form(Path::new(name), head)
    }

    #[test]
    fn the_form_of_a_file_is_told_by_its_name_and_by_how_it_begins() {
        let table = |separator| Ok(Form::Table { separator });
        for (name, head, expected) in [
            ("a.json", " [", Ok(Form::Array)),
            ("a.jsonl", "[", Ok(Form::Array)),
            ("a.jsonl", "", Ok(Form::Lines)),
            ("a.ndjson", "{", Ok(Form::Lines)),
            ("a.json", "{\"a\": 1}\n{", Ok(Form::Lines)),
            ("a.csv", "id,image;report,x\n1;2;3;4;5", table(b',')),
            ("a.csv", "id;\"a,b,c\"\n", table(b';')),
            ("a.csv", "id\timage\n", table(b'\t')),
            ("a.csv", "id\n", table(b',')),
            ("a.tsv", "id\n", table(b'\t')),
            ("a.csv", "PAR1", Ok(Form::Parquet)),
        ] {
            assert_eq!(told(name, head.as_bytes()), expected, "{name}: {head}");
        }
    }

    #[test]
    fn what_is_in_no_form_is_refused_with_what_it_is() {
        let refused = |name, head: &[u8]| told(name, head).unwrap_err();
        assert!(refused("a.json", b"{\n\"train\": []}").contains("found an object"));
        assert!(refused("a.json", b"{}\n").contains("found an object"));
        assert!(refused("a.json", b"").contains("found nothing"));
        assert!(refused("a.csv", b"\x1f\x8b\x08").contains("compressed"));
        assert!(refused("a.csv", b"\xff\xfei\0d\0").contains("UTF-16"));
        assert!(refused("a.parquet", b"id,image").contains("PAR1"));
    }
}
