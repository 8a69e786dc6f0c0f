//! Writes the JSON files of the new folder.

use std::{
    borrow::Cow,
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use serde::Serialize;

use crate::{
    error::{Error, Result},
    prompt::Prompt,
    study::{Projection, Study, Timing, View},
};

/// An entry of a split's file.
#[derive(Serialize)]
pub struct Entry<'a> {
    id: &'a str,
    patient: &'a str,
    image: &'a [String],
    views: Vec<Role>,
    #[serde(skip_serializing_if = "Option::is_none")]
    indication: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    technique: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comparison: Option<&'a str>,
    conversations: [Turn<'a>; 2],
}

#[derive(Serialize)]
struct Role {
    projection: Projection,
    timing: Timing,
}

#[derive(Serialize)]
struct Turn<'a> {
    from: &'static str,
    value: Cow<'a, str>,
}

impl<'a> Entry<'a> {
    /// `images` are the paths of the study's views in the new folder.
    pub fn new(study: &'a Study, patient: &'a str, images: &'a [String]) -> Self {
        let role = |view: &View| Role { projection: view.projection, timing: view.timing };
        Self {
            id: &study.id,
            patient,
            image: images,
            views: study.views.iter().map(role).collect(),
            indication: study.indication.as_deref(),
            technique: study.technique.as_deref(),
            comparison: study.comparison.as_deref(),
            conversations: [
                Turn { from: "human", value: Prompt::new(study).text.into() },
                Turn { from: "gpt", value: study.reference.text().into() },
            ],
        }
    }
}

/// A file of JSON values that appears whole or not at all.
pub struct Lines<'a> {
    path: &'a Path,
    partial: PathBuf,
    out: BufWriter<File>,
    empty: bool,
}

impl<'a> Lines<'a> {
    pub fn create(path: &'a Path) -> Result<Self> {
        let partial = path.with_extension("json.partial");
        let out = BufWriter::new(File::create(&partial).map_err(Error::io(&partial))?);
        Ok(Self { path, partial, out, empty: true })
    }

    /// One more value of the array.
    pub fn push(&mut self, value: &impl Serialize) -> Result<()> {
        let start: &[u8] = if self.empty { b"[\n" } else { b",\n" };
        self.empty = false;
        let written = self.out.write_all(start).and_then(|()| Ok(serde_json::to_writer(&mut self.out, value)?));
        written.map_err(Error::io(&self.partial))
    }

    pub fn finish(mut self) -> Result<()> {
        let end: &[u8] = if self.empty { b"[]\n" } else { b"\n]\n" };
        self.out.write_all(end).and_then(|()| self.out.flush()).map_err(Error::io(&self.partial))?;
        fs::rename(&self.partial, self.path).map_err(Error::io(self.path))
    }
}

/// One value for people to read.
pub fn pretty(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Error::io(path)(error.into()))?;
    fs::write(path, text + "\n").map_err(Error::io(path))
}
