//! Reads reports to be scored from files: JSON, JSON lines, CSV, or one report per line.
//!
//! One file may hold reports and references (the paper's evaluation script reads such a JSON file), or each has its own.
//! Whatever is wrong with a file is told with its place in it.

mod csv;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use addendum::report::not_json;
use serde_json::{Map, Value};

/// A report and its reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The study's name, if the files tell.
    pub id: Option<String>,
    pub hypothesis: String,
    pub reference: String,
}

/// What can be wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{}: {reason}", path.display())]
    Read { path: PathBuf, reason: io::Error },
    /// A place in a file, and what is wrong there.
    #[error("{place}: {problem}")]
    Content { place: String, problem: String },
    #[error("{} holds {hypotheses} reports and {} holds {references}; expected as many of both", hyps.display(), refs.display())]
    Counts { hyps: PathBuf, hypotheses: usize, refs: PathBuf, references: usize },
}

pub type Result<T> = std::result::Result<T, Error>;

/// Names of the fields that hold reports and references, where they are not the usual ones.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    pub hypothesis: Option<String>,
    pub reference: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Hypothesis,
    Reference,
}

impl Side {
    /// The usual names; the first that an item has counts.
    fn usual(self) -> &'static [&'static str] {
        match self {
            Self::Hypothesis => &["response", "hypothesis", "hyp", "prediction", "report", "text"],
            Self::Reference => &["answer", "reference", "ref", "ground_truth", "report", "text"],
        }
    }
}

/// Reads the pairs of two files, or of one that holds both.
///
/// Files whose items all have an `id` (or `study_id`, `dicom_id`) are joined by it, others by order.
///
/// # Errors
/// Unreadable and malformed files, absent or non-text fields, ids that occur twice or on one side only, unequal or zero
/// numbers of reports; each with file and line or item.
pub fn pairs(hypotheses: &Path, references: Option<&Path>, fields: &Fields) -> Result<Vec<Pair>> {
    let (ours, theirs) = (fields.hypothesis.as_deref(), fields.reference.as_deref());
    let items = items(hypotheses)?;
    let Some(path) = references else {
        let pair = |item: &Item| {
            if let Row::Text(_) = item.row {
                return Err(
                    item.wrong("is a report without reference; expected fields of both, or a file of references")
                );
            }
            Ok(Pair {
                id: item.id(),
                hypothesis: item.report(Side::Hypothesis, ours)?,
                reference: item.report(Side::Reference, theirs)?,
            })
        };
        ids(&items)?;
        return items.iter().map(pair).collect();
    };
    let others = self::items(path)?;
    if let (Some(ids), Some(by_id)) = (ids(&items)?, ids(&others)?) {
        if let Some((id, item)) = by_id.iter().find(|(id, _)| !ids.contains_key(*id)) {
            return Err(item.wrong(format!("id `{id}` is not in {}", hypotheses.display())));
        }
        let pair = |item: &Item| {
            let id = item.id();
            let other = id.as_ref().and_then(|id| by_id.get(id));
            let other = other.ok_or_else(|| {
                item.wrong(format!("id `{}` is not in {}", id.as_deref().unwrap_or_default(), path.display()))
            })?;
            joined(item, other, ours, theirs)
        };
        return items.iter().map(pair).collect();
    }
    if items.len() != others.len() {
        let (hyps, refs) = (hypotheses.to_owned(), path.to_owned());
        return Err(Error::Counts { hyps, hypotheses: items.len(), refs, references: others.len() });
    }
    items.iter().zip(&others).map(|(item, other)| joined(item, other, ours, theirs)).collect()
}

fn joined(item: &Item, other: &Item, ours: Option<&str>, theirs: Option<&str>) -> Result<Pair> {
    let (hypothesis, reference) = (item.report(Side::Hypothesis, ours)?, other.report(Side::Reference, theirs)?);
    Ok(Pair { id: item.id().or_else(|| other.id()), hypothesis, reference })
}

/// Items by id if all have one.
fn ids(items: &[Item]) -> Result<Option<BTreeMap<String, &Item>>> {
    let mut by_id = BTreeMap::new();
    for (id, item) in items.iter().filter_map(|item| Some((item.id()?, item))) {
        if by_id.insert(id.clone(), item).is_some() {
            return Err(item.wrong(format!("id `{id}` occurs a second time")));
        }
    }
    Ok((by_id.len() == items.len()).then_some(by_id))
}

/// One entry of a file and where it stands.
struct Item {
    place: String,
    row: Row,
}

enum Row {
    Text(String),
    Fields(Map<String, Value>),
}

impl Item {
    fn wrong(&self, problem: impl Into<String>) -> Error {
        Error::Content { place: self.place.clone(), problem: problem.into() }
    }

    fn id(&self) -> Option<String> {
        let Row::Fields(fields) = &self.row else { return None };
        match ["id", "study_id", "dicom_id"].iter().find_map(|name| fields.get(*name))? {
            Value::String(id) => Some(id.clone()),
            Value::Number(id) => Some(id.to_string()),
            _ => None,
        }
    }

    fn report(&self, side: Side, named: Option<&str>) -> Result<String> {
        let fields = match &self.row {
            Row::Text(text) => return Ok(text.clone()),
            Row::Fields(fields) => fields,
        };
        let list = |names: &[&str]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let usual = match &named {
            Some(name) => std::slice::from_ref(name),
            None => side.usual(),
        };
        let Some((name, value)) = usual.iter().find_map(|name| Some((name, fields.get(*name)?))) else {
            let has: Vec<&str> = fields.keys().map(String::as_str).collect();
            return Err(self.wrong(format!("no field {}; there are {}", list(usual), list(&has))));
        };
        let text = value.as_str().map(str::to_owned);
        text.ok_or_else(|| self.wrong(format!("field `{name}` is {value}, expected text")))
    }
}

fn items(path: &Path) -> Result<Vec<Item>> {
    let read = |reason| Error::Read { path: path.to_owned(), reason };
    let bytes = fs::read(path).map_err(read)?;
    let name = path.display().to_string();
    let wrong = |place: String, problem: String| Error::Content { place, problem };
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..at].iter().filter(|&&byte| byte == b'\n').count() + 1;
        wrong(format!("{name}:{line}"), "is not UTF-8 text".into())
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default().to_lowercase();
    let items = match extension.as_str() {
        "json" => json(&name, text)?,
        "jsonl" | "ndjson" => json_lines(&name, text)?,
        "csv" => table(&name, text, ',')?,
        "tsv" => table(&name, text, '\t')?,
        _ => (text.lines().enumerate())
            .map(|(at, line)| Item { place: format!("{name}:{}", at + 1), row: Row::Text(line.to_owned()) })
            .collect(),
    };
    match items.is_empty() {
        true => Err(wrong(name, "holds no report, expected at least one".into())),
        false => Ok(items),
    }
}

fn item(place: String, value: Value) -> Result<Item> {
    let row = match value {
        Value::String(text) => Row::Text(text),
        Value::Object(fields) => Row::Fields(fields),
        other => {
            let problem = format!("is {other}, expected an object or a string");
            return Err(Error::Content { place, problem });
        }
    };
    Ok(Item { place, row })
}

fn json(name: &str, text: &str) -> Result<Vec<Item>> {
    let value: Value = serde_json::from_str(text)
        .map_err(|error| Error::Content { place: format!("{name}:{}", error.line()), problem: not_json(&error) })?;
    let Value::Array(values) = value else {
        return Err(Error::Content { place: name.to_owned(), problem: "expected a list of items".into() });
    };
    values.into_iter().enumerate().map(|(at, value)| item(format!("{name}: item {}", at + 1), value)).collect()
}

fn json_lines(name: &str, text: &str) -> Result<Vec<Item>> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let read = |(at, line): (usize, &str)| {
        let place = format!("{name}:{}", at + 1);
        match serde_json::from_str(line) {
            Ok(value) => item(place, value),
            Err(error) => Err(Error::Content { place, problem: not_json(&error) }),
        }
    };
    lines.map(read).collect()
}

fn table(name: &str, text: &str, separator: char) -> Result<Vec<Item>> {
    let place = |line: usize| format!("{name}:{line}");
    let mut rows = csv::rows(text, separator)
        .map_err(|(line, problem)| Error::Content { place: place(line), problem: problem.into() })?
        .into_iter();
    let Some((first, header)) = rows.next() else { return Ok(Vec::new()) };
    let header: Vec<&str> = header.iter().map(|name| name.trim()).collect();
    let twice = |at: &usize| header[..*at].contains(&header[*at]);
    if let Some(at) = (0..header.len()).find(twice) {
        let problem = format!("the header names `{}` twice", header[at]);
        return Err(Error::Content { place: place(first), problem });
    }
    let row = |(line, cells): (usize, Vec<String>)| {
        if cells.len() != header.len() {
            let problem = format!("{} cells under a header of {}", cells.len(), header.len());
            return Err(Error::Content { place: place(line), problem });
        }
        let fields = header.iter().map(|name| (*name).to_owned()).zip(cells.into_iter().map(Value::String)).collect();
        Ok(Item { place: place(line), row: Row::Fields(fields) })
    };
    rows.map(row).collect()
}

#[cfg(test)]
mod tests;
