//! Datasets as folders in the LLaVA-style form that the paper's code reads: one JSON file per split and image files.
//!
//! ```json
//! [{"id": "1", "image": ["images/1.png"],
//!   "conversations": [{"from": "human", "value": "<image> Indication: Cough. Write the findings."},
//!                     {"from": "gpt", "value": "The lungs are clear."}]}]
//! ```
//!
//! Folders come from other programs, often from other people: every path is confined to the folder and every problem
//! is reported with file, entry and field. How entries are understood is described in [`Folder::load`].

mod context;
mod entry;
mod paths;
mod roles;
mod write;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

pub use write::{entry, save, write};

use crate::{
    dataset::{Dataset, Split},
    error::{Error, Result},
    json,
    study::Study,
};
use paths::Images;

/// One split of a dataset folder. Images are decoded when a study's view is loaded, not before.
#[derive(Clone, Debug)]
pub struct Folder {
    studies: Vec<Study>,
}

impl Folder {
    /// Reads `train.json`, `val.json` (or `validation.json`, `valid.json`) or `test.json` in `dir`.
    ///
    /// Of each entry it reads
    /// - `id`: a string or a number; without one, the index of the entry. Must be unique;
    /// - `image` (or `images`): a string or a list of paths, relative to `dir` or to `dir/images`, of files that
    ///   [`crate::decode`] reads;
    /// - `conversations`: the first human (or user) turn is the prompt, the first gpt (or assistant) turn the report. The
    ///   prompt has one `<image>` marker per image;
    /// - `indication`, `technique`, `comparison`: strings. Without them, the prompt is searched for headings of these
    ///   names ("Indication: …", also "History:", "Clinical history:"); a section ends at the next heading, at the
    ///   end of its line, or before a sentence that starts with Write, Provide, Generate, Describe or Please;
    /// - `views`: a list of `{"projection": "frontal"|"lateral", "timing": "current"|"prior"}`, one per image. Without
    ///   it, the words frontal, lateral, PA, AP, current and prior (or previous) between the last line or sentence end
    ///   and the marker decide; where no marker has such a label, the images are current frontal, current lateral,
    ///   prior frontal, prior lateral, and any further ones prior frontal.
    ///
    /// Other keys are ignored. `NaN` and `Infinity`, which Python writes, count as null, and null as an absent key. The
    /// rest of the prompt's text is dropped: [`crate::Prompt`] writes its own. Of a report with sections, those that speak
    /// are the reference, see [`crate::sections::spoken`].
    ///
    /// # Errors
    /// Each names the file and, where there is one, the entry and field: missing or unreadable file, invalid JSON or
    /// UTF-8, missing or mistyped field, duplicate id, markers that do not match the images, an image that is missing or
    /// outside the folder.
    pub fn load(dir: impl AsRef<Path>, split: Split) -> Result<Self> {
        let dir = dir.as_ref();
        let path = split_file(dir, split)?;
        let bytes = fs::read(&path).map_err(Error::io(&path))?;
        let entries = match json::parse(&bytes) {
            Ok(Value::Array(entries)) => entries,
            Ok(other) => {
                return Err(Error::NotAnArray { path, found: entry::type_name(&other) });
            }
            Err(reason) => return Err(Error::Json { entry: json::entry_at(&bytes, &reason), path, reason }),
        };
        let images = Images::new(dir)?;
        let mut seen = BTreeMap::new();
        let mut studies = Vec::with_capacity(entries.len());
        for (index, value) in entries.iter().enumerate() {
            let at =
                |(field, reason): (String, String)| Error::Entry { path: path.clone(), entry: index, field, reason };
            let study = entry::parse(value, index, &images).map_err(at)?;
            if let Some(first) = seen.insert(study.id.clone(), index) {
                return Err(at(("id".into(), format!("`{}` is already the id of entry {first}", study.id))));
            }
            studies.push(study);
        }
        Ok(Self { studies })
    }
}

impl Dataset for Folder {
    fn len(&self) -> usize {
        self.studies.len()
    }

    fn study(&self, index: usize) -> Result<Study> {
        self.studies.study(index)
    }
}

fn split_file(dir: &Path, split: Split) -> Result<PathBuf> {
    let names: &[&str] = match split {
        Split::Train => &["train.json"],
        Split::Val => &["val.json", "validation.json", "valid.json"],
        Split::Test => &["test.json"],
    };
    fs::metadata(dir).map_err(Error::io(dir))?;
    let found = names.iter().map(|name| dir.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| Error::NoSplit { dir: dir.to_owned(), split: split.name(), expected: names.join(", ") })
}
