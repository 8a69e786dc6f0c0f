//! A study as a dataset file tells it, whatever form the file has. All rules on fields that all forms share are here.

use serde_json::Value;

use super::{
    columns::{Column, Fields, ID, PATIENT, SPLIT},
    content::{Content, Picture},
    conversation, flat,
    paths::Images,
    record::{Record, mistyped},
};
use crate::{
    dataset::Split,
    error::Problem,
    study::{ImageSource, Reference, Study, View},
};

/// A study as an entry tells it.
#[derive(Debug)]
pub struct Row {
    pub id: Option<String>,
    pub patient: Option<String>,
    pub content: Content,
}

/// The split that an entry names.
pub fn split(fields: &Fields) -> Result<Option<Split>, Problem> {
    let Some((field, name)) = named(fields, SPLIT)? else { return Ok(None) };
    let wrong = || Problem::new(field, format!("is `{name}`; expected train, val (or validate, validation) or test"));
    Split::named(&name).ok_or_else(wrong).map(Some)
}

impl Row {
    /// `fields` are those of the record.
    pub fn read(record: &Record, fields: &Fields) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut name = |column| {
            named(fields, column).unwrap_or_else(|problem| {
                problems.push(problem);
                None
            })
        };
        let talk = conversation::field(record);
        let (id, patient) = (name(if talk.is_some() { Column(&["id"]) } else { ID }), name(PATIENT));
        let content = match talk {
            Some(field) => conversation::read(record, field),
            None => flat::read(fields),
        };
        match content {
            Ok(content) if problems.is_empty() => {
                let name = |name: Option<(&str, String)>| name.map(|(_, name)| name);
                Ok(Self { id: name(id), patient: name(patient), content })
            }
            Ok(_) => Err(problems),
            Err(more) => {
                problems.extend(more);
                Err(problems)
            }
        }
    }

    /// All that is wrong with the images' files, without opening them.
    pub fn missing(&self, images: &Images) -> Vec<Problem> {
        let wrong = |picture: &Picture| Some(Problem::new(&picture.field, images.check(&picture.path).err()?));
        self.content.pictures.iter().filter_map(wrong).collect()
    }

    /// The study; `entry` is its number where it has no id.
    pub fn study(self, entry: u32, images: &Images) -> Result<Study, Problem> {
        let Content { pictures, indication, technique, comparison, reference, .. } = self.content.settled();
        let view = |picture: Picture| {
            let file = images.resolve(&picture.path).map_err(|reason| Problem::new(picture.field, reason))?;
            let (timing, projection) = picture.role;
            Ok(View { projection, timing, image: ImageSource::File(file) })
        };
        let mut views: Vec<View> = pictures.into_iter().map(view).collect::<Result<_, _>>()?;
        views.sort_by_key(|view| (view.timing, view.projection));
        let id = self.id.unwrap_or_else(|| entry.to_string());
        Ok(Study { id, views, indication, technique, comparison, reference: Reference::new(reference) })
    }
}

/// The name of something: text or a number. What is blank names nothing.
fn named<'a>(fields: &Fields<'a>, column: Column) -> Result<Option<(&'a str, String)>, Problem> {
    match fields.get(column) {
        None => Ok(None),
        Some((_, Value::String(name))) if name.trim().is_empty() => Ok(None),
        Some((field, Value::String(name))) => Ok(Some((field, name.trim().to_owned()))),
        Some((field, Value::Number(name))) => Ok(Some((field, name.to_string()))),
        Some((field, other)) => Err(mistyped(field, "a string or a number", other)),
    }
}
