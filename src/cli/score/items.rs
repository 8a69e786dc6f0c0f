//! Files of reports as items with a place each: JSON, JSON lines, tables with a header, or one report per line.
//!
//! Whatever is wrong with a file is told with its place in it. Knows nothing of which field holds what.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use addendum::{report::not_json, studies::json};
use serde_json::{Map, Value};

/// What can be wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of reports cannot be read. Check its path.
    #[error("{}: {reason}", path.display())]
    Read { path: PathBuf, reason: io::Error },
    /// A file of reports is not in the form that its ending names, or an entry lacks a report. Correct it at the place in
    /// the message.
    #[error("{place}: {problem}")]
    Content { place: String, problem: String },
}

type Result<T> = std::result::Result<T, Error>;

/// One entry of a file.
pub struct Item {
    /// File and line, or file and number.
    pub place: String,
    pub row: Row,
}

pub enum Row {
    Text(String),
    Fields(Map<String, Value>),
}

impl Item {
    pub fn wrong(&self, problem: impl Into<String>) -> Error {
        Error::Content { place: self.place.clone(), problem: problem.into() }
    }

    /// The value of a field, as text: none for what is absent, null, blank, or neither text nor a number.
    pub fn name(&self, field: &str) -> Option<String> {
        let Row::Fields(fields) = &self.row else { return None };
        match fields.get(field)? {
            Value::String(name) if !name.trim().is_empty() => Some(name.clone()),
            Value::Number(name) => Some(name.to_string()),
            _ => None,
        }
    }

    /// The first of some fields that there is, and its text.
    ///
    /// # Errors
    /// None of them, and one that is not text.
    pub fn text<'a>(&self, fields: &Map<String, Value>, names: &[&'a str]) -> Result<(&'a str, String)> {
        let list = |names: &[&str]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        match names.iter().find_map(|name| Some((*name, fields.get(*name)?))) {
            Some((name, Value::String(text))) => Ok((name, text.clone())),
            Some((name, Value::Null)) => Err(self.wrong(format!("field `{name}` is null or NaN, expected text"))),
            Some((name, value)) => Err(self.wrong(format!("field `{name}` is {value}, expected text"))),
            None => {
                let has: Vec<&str> = fields.keys().map(String::as_str).collect();
                Err(self.wrong(format!("no field {}; there are {}", list(names), list(&has))))
            }
        }
    }
}

/// Reads a file by its extension.
///
/// # Errors
/// Unreadable and malformed files, and those without an item.
pub fn read(path: &Path) -> Result<Vec<Item>> {
    let bytes = fs::read(path).map_err(|reason| Error::Read { path: path.to_owned(), reason })?;
    let name = path.display().to_string();
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        wrong(format!("{name}:{}", 1 + breaks(&error.as_bytes()[..at])), "is not UTF-8 text")
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default().to_lowercase();
    let items = match extension.as_str() {
        "json" => list(&name, text)?,
        "jsonl" | "ndjson" => lines(&name, text)?,
        "csv" => table(&name, text, b',')?,
        "tsv" => table(&name, text, b'\t')?,
        _ => (text.lines().enumerate())
            .map(|(at, line)| Item { place: format!("{name}:{}", at + 1), row: Row::Text(line.to_owned()) })
            .collect(),
    };
    match items.is_empty() {
        true => Err(wrong(name, "holds no report, expected at least one")),
        false => Ok(items),
    }
}

fn wrong(place: String, problem: impl Into<String>) -> Error {
    Error::Content { place, problem: problem.into() }
}

fn breaks(text: &[u8]) -> usize {
    text.iter().filter(|&&byte| byte == b'\n').count()
}

fn item(place: String, value: Value) -> Result<Item> {
    match value {
        Value::String(text) => Ok(Item { place, row: Row::Text(text) }),
        Value::Object(fields) => Ok(Item { place, row: Row::Fields(fields) }),
        other => Err(wrong(place, format!("is {other}, expected an object or a string"))),
    }
}

fn list(name: &str, text: &str) -> Result<Vec<Item>> {
    let value = json::parse(text.as_bytes()).map_err(|error| {
        let entry = json::entry_at(text.as_bytes(), &error).map(|at| format!(", in item {}", at + 1));
        wrong(format!("{name}:{}", error.line()), not_json(&error) + &entry.unwrap_or_default())
    })?;
    let Value::Array(values) = value else { return Err(wrong(name.to_owned(), "expected a list of items")) };
    values.into_iter().enumerate().map(|(at, value)| item(format!("{name}: item {}", at + 1), value)).collect()
}

fn lines(name: &str, text: &str) -> Result<Vec<Item>> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let read = |(at, line): (usize, &str)| {
        let place = format!("{name}:{}", at + 1);
        match json::parse(line.as_bytes()) {
            Ok(value) => item(place, value),
            Err(error) => Err(wrong(place, not_json(&error))),
        }
    };
    lines.map(read).collect()
}

/// An empty cell is an empty text. The cell `nan`, which is how Python prints a missing value, is null.
fn table(name: &str, text: &str, separator: u8) -> Result<Vec<Item>> {
    let rows = rows(name, text, separator)?;
    let Some(((place, header), rows)) = rows.split_first() else { return Ok(Vec::new()) };
    let header: Vec<&str> = header.iter().map(str::trim).collect();
    if let Some(at) = (0..header.len()).find(|&at| header[..at].contains(&header[at])) {
        return Err(wrong(place.clone(), format!("the header names `{}` twice", header[at])));
    }
    let value = |cell: &str| if cell.eq_ignore_ascii_case("nan") { Value::Null } else { cell.into() };
    let item = |(place, cells): &(String, csv::StringRecord)| {
        if cells.len() != header.len() {
            return Err(wrong(place.clone(), format!("{} cells under a header of {}", cells.len(), header.len())));
        }
        let fields = header.iter().map(|name| (*name).to_owned()).zip(cells.iter().map(value)).collect();
        Ok(Item { place: place.clone(), row: Row::Fields(fields) })
    };
    rows.iter().map(item).collect()
}

/// Rows with their places. Quotes that end elsewhere than their cell, which the reader takes as they come, are refused:
/// one that is left open would swallow all that follows.
fn rows(name: &str, text: &str, separator: u8) -> Result<Vec<(String, csv::StringRecord)>> {
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).delimiter(separator).from_reader(text.as_bytes());
    let (mut rows, mut cells) = (Vec::new(), csv::StringRecord::new());
    let (mut line, mut start) = (1, 0);
    while reader.read_record(&mut cells).map_err(|error| wrong(name.to_owned(), error.to_string()))? {
        let end = usize::try_from(reader.position().byte()).unwrap_or(text.len());
        // Blank lines before a row, and the second byte of a line break, are read with it.
        let written = text[start..end].trim_start_matches(['\r', '\n']);
        line += breaks(&text.as_bytes()[start..end - written.len()]);
        let place = format!("{name}:{line}");
        if !is_written(&cells, written, separator.into()) {
            return Err(wrong(place, "a quoted cell has no end, or text follows its closing quote"));
        }
        line += breaks(written.as_bytes());
        start = end;
        rows.push((place, cells.clone()));
    }
    Ok(rows)
}

/// Whether the text is what these cells are written as.
fn is_written(cells: &csv::StringRecord, mut text: &str, separator: char) -> bool {
    for cell in cells {
        let quoted = text.starts_with('"').then(|| format!("\"{}\"", cell.replace('"', "\"\"")));
        let Some(rest) = text.strip_prefix(quoted.as_deref().unwrap_or(cell)) else { return false };
        text = rest.strip_prefix(separator).unwrap_or(rest);
    }
    text.trim_matches(['\r', '\n']).is_empty()
}

#[cfg(test)]
mod tests;
