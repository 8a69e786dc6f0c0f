//! Pairs of reports and references, out of one file that holds both (the paper's evaluation script reads such a JSON
//! file), or out of two that are joined by a column or by order.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::items::{self, Item, Row};

/// Columns that name an image or a study, the finest first; the last ones do so only together, where studies are
/// numbered within a patient.
const KEYS: &[&[&str]] = &[
    &["id"],
    &["dicom_id"],
    &["image_id"],
    &["ImageID"],
    &["sop_instance_uid"],
    &["study_id"],
    &["StudyID"],
    &["study_instance_uid"],
    &["case_id"],
    &["uid"],
    &["subject_id", "study_id"],
    &["patient_id", "study_id"],
];

/// A report and its reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The name of the image or study, if the files tell.
    pub id: Option<String>,
    pub hypothesis: String,
    pub reference: String,
}

/// What can be wrong with one or two files.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    File(#[from] items::Error),
    /// Reports and references have no ids in common, so their order joins them, and there are not as many of both. Name
    /// their ids with `--id`, or see which are missing.
    #[error("{} holds {hypotheses} reports and {} holds {references}; expected as many of both", hyps.display(), refs.display())]
    Counts { hyps: PathBuf, hypotheses: usize, refs: PathBuf, references: usize },
}

pub type Result<T> = std::result::Result<T, Error>;

/// Names of fields where they are not the usual ones.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    pub hypothesis: Option<String>,
    pub reference: Option<String>,
    /// The columns that join two files, together.
    pub id: Vec<String>,
}

#[derive(Clone, Copy)]
enum Side {
    Hypothesis,
    Reference,
}

impl Fields {
    /// The names that may hold a report; the first that an item has counts.
    fn of(&self, side: Side) -> Vec<&str> {
        let (named, usual) = match side {
            Side::Hypothesis => (&self.hypothesis, ["response", "hypothesis", "hyp", "prediction", "report", "text"]),
            Side::Reference => (&self.reference, ["answer", "reference", "ref", "ground_truth", "report", "text"]),
        };
        named.as_deref().map_or(usual.into(), |name| vec![name])
    }

    /// What may join two files.
    fn keys(&self) -> Vec<Vec<&str>> {
        match self.id.is_empty() {
            true => KEYS.iter().map(|key| key.to_vec()).collect(),
            false => vec![self.id.iter().map(String::as_str).collect()],
        }
    }

    /// Reads a file, which must have the columns that are named to join it.
    fn read(&self, path: &Path) -> Result<Vec<Item>> {
        let items = items::read(path)?;
        let missing = |item: &Item| self.id.iter().find(|column| item.name(column).is_none());
        match items.iter().find_map(|item| Some((item, missing(item)?))) {
            Some((item, column)) => Err(item.wrong(format!("has no `{column}`, which --id names")).into()),
            None => Ok(items),
        }
    }
}

/// Reads the pairs of two files, or of one that holds both.
///
/// Two files are joined by the first key that names each item once in both, else by the first such key of each, else by
/// order. Names are the same if all of their characters are. One file with both needs no names.
///
/// # Errors
/// Unreadable and malformed files, absent or non-text fields, keys that occur twice, in some items or on one side only,
/// unequal or zero numbers of reports; each with file and line or item.
pub fn pairs(hypotheses: &Path, references: Option<&Path>, fields: &Fields) -> Result<Vec<Pair>> {
    let ours = fields.read(hypotheses)?;
    let keys = fields.keys();
    let Some(path) = references else { return ours.iter().map(|item| alone(item, &keys, fields)).collect() };
    let theirs = fields.read(path)?;
    if let Some((ours_named, theirs_named)) = named(&ours, &theirs, &keys)? {
        if let Some((name, item)) = theirs_named.items.iter().find(|(name, _)| !ours_named.items.contains_key(*name)) {
            return Err(item.wrong(format!("id `{}` is not in {}", shown(name), hypotheses.display())).into());
        }
        let pair = |item| {
            let name = name(item, ours_named.key).unwrap_or_default();
            match theirs_named.items.get(&name) {
                Some(other) => joined(item, other, Some(shown(&name)), fields),
                None => Err(item.wrong(format!("id `{}` is not in {}", shown(&name), path.display())).into()),
            }
        };
        return ours.iter().map(pair).collect();
    }
    if ours.len() != theirs.len() {
        let (hyps, refs) = (hypotheses.to_owned(), path.to_owned());
        return Err(Error::Counts { hyps, hypotheses: ours.len(), refs, references: theirs.len() });
    }
    let any_name = |item| keys.iter().find_map(|key| name(item, key));
    let pair = |(item, other)| {
        let name = any_name(item).or_else(|| any_name(other));
        joined(item, other, name.as_ref().map(shown), fields)
    };
    ours.iter().zip(&theirs).map(pair).collect()
}

/// The pair that one item holds.
fn alone(item: &Item, keys: &[Vec<&str>], fields: &Fields) -> Result<Pair> {
    let missing = "is a report without reference; expected fields of both, or a file of references";
    let Row::Fields(values) = &item.row else { return Err(item.wrong(missing).into()) };
    let (ours, hypothesis) = item.text(values, &fields.of(Side::Hypothesis))?;
    let (theirs, reference) = item.text(values, &fields.of(Side::Reference))?;
    if ours == theirs {
        return Err(item.wrong(format!("`{ours}` {missing}")).into());
    }
    let id = keys.iter().find_map(|key| name(item, key));
    Ok(Pair { id: id.as_ref().map(shown), hypothesis, reference })
}

fn joined(item: &Item, other: &Item, id: Option<String>, fields: &Fields) -> Result<Pair> {
    let text = |item: &Item, side| match &item.row {
        Row::Text(text) => Ok(text.clone()),
        Row::Fields(values) => item.text(values, &fields.of(side)).map(|(_, text)| text),
    };
    Ok(Pair { id, hypothesis: text(item, Side::Hypothesis)?, reference: text(other, Side::Reference)? })
}

/// One value for each column of a key.
type Name = Vec<String>;

/// A file whose items each have a name of their own.
struct Named<'a> {
    key: &'a [&'a str],
    items: BTreeMap<Name, &'a Item>,
}

/// Both files by their names, if both have any.
fn named<'a>(ours: &'a [Item], theirs: &'a [Item], keys: &'a [Vec<&'a str>]) -> Result<Option<(Named<'a>, Named<'a>)>> {
    let mut refusal = None;
    for key in keys {
        match (by_name(ours, key), by_name(theirs, key)) {
            (Ok(Some(ours)), Ok(Some(theirs))) => return Ok(Some((ours, theirs))),
            (Ok(None), _) | (_, Ok(None)) => {}
            (Err(error), _) | (_, Err(error)) => refusal = refusal.or(Some(error)),
        }
    }
    if let Some(error) = refusal {
        return Err(error.into());
    }
    let own = |items: &'a [Item]| keys.iter().find_map(|key| by_name(items, key).ok().flatten());
    Ok(own(ours).zip(own(theirs)))
}

/// Items by name; none if none of them has the columns.
///
/// # Errors
/// A name occurs twice, or only some items have one.
fn by_name<'a>(items: &'a [Item], key: &'a [&'a str]) -> std::result::Result<Option<Named<'a>>, items::Error> {
    let columns = key.join(", ");
    let mut by_name: BTreeMap<Name, &Item> = BTreeMap::new();
    let mut unnamed = None;
    for item in items {
        let Some(name) = name(item, key) else {
            unnamed = unnamed.or(Some(item));
            continue;
        };
        if let Some(first) = by_name.get(&name) {
            return Err(item.wrong(format!(
                "{columns} `{}` occurs a second time, first in {}; expected a column without repeats, which --id names",
                shown(&name),
                first.place
            )));
        }
        by_name.insert(name, item);
    }
    match unnamed {
        Some(item) if !by_name.is_empty() => {
            Err(item.wrong(format!("has no {columns}, but others have; expected a column of all, which --id names")))
        }
        Some(_) => Ok(None),
        None => Ok(Some(Named { key, items: by_name })),
    }
}

/// The values of a key's columns; none unless the item has them all.
fn name(item: &Item, key: &[&str]) -> Option<Name> {
    key.iter().map(|column| item.name(column)).collect()
}

fn shown(name: &Name) -> String {
    name.join(" ")
}

#[cfg(test)]
mod tests;
