//! Writes datasets as folders.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use image::{ColorType, ImageFormat};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{
    dataset::{Dataset, Split},
    error::{Error, Result},
    prompt::Prompt,
    study::{Study, View},
};

/// Writes `studies` as one split of the dataset folder `dir`: `SPLIT.json` and `images/SPLIT/*.png`.
///
/// Files of the same names are replaced; the JSON file is written last and appears whole or not at all. Besides the
/// usual keys it holds `views` and, where known, `indication`, `technique` and `comparison`, so that
/// [`crate::Folder::load`] gives back the same studies. Images become 8-bit PNG.
///
/// # Errors
/// Whatever a study or view answers; [`Error::Io`] and [`Error::ImageWrite`] name the file that could not be written.
pub fn write(dir: impl AsRef<Path>, split: Split, studies: &dyn Dataset) -> Result<()> {
    let dir = dir.as_ref();
    let images = format!("images/{split}");
    fs::create_dir_all(dir.join(&images)).map_err(Error::io(dir.join(&images)))?;
    let mut list = List::create(dir.join(format!("{split}.json")))?;
    for index in 0..studies.len() {
        let study = studies.study(index)?;
        let mut names = Vec::with_capacity(study.views.len());
        for (i, view) in study.views.iter().enumerate() {
            let name = format!("{images}/{index:06}_{i}.png");
            save(view, &dir.join(&name))?;
            names.push(name);
        }
        list.push(&entry(&study, &names))?;
    }
    list.finish()
}

/// A file of JSON values that appears whole or not at all.
pub(crate) struct List {
    path: PathBuf,
    partial: PathBuf,
    out: BufWriter<File>,
    empty: bool,
}

impl List {
    pub fn create(path: PathBuf) -> Result<Self> {
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
        fs::rename(&self.partial, &self.path).map_err(Error::io(&self.path))
    }
}

/// Writes what a view shows to `path`, as an 8-bit PNG.
///
/// # Errors
/// The view cannot be read, or the file not be written.
pub fn save(view: &View, path: &Path) -> Result<()> {
    let pixels = view.load()?;
    let colour = if pixels.channels() == 1 { ColorType::L8 } else { ColorType::Rgb8 };
    let (width, height) = (pixels.width() as u32, pixels.height() as u32);
    image::save_buffer_with_format(path, pixels.levels(), width, height, colour, ImageFormat::Png)
        .map_err(|reason| Error::ImageWrite { path: path.to_owned(), reason })
}

/// A study as an entry of a dataset folder whose images are called `names`.
pub fn entry(study: &Study, names: &[String]) -> Value {
    let views: Vec<Value> =
        study.views.iter().map(|view| json!({"projection": view.projection, "timing": view.timing})).collect();
    let mut entry = Map::new();
    entry.insert("id".into(), json!(study.id));
    entry.insert("image".into(), json!(names));
    entry.insert("views".into(), json!(views));
    let context =
        [("indication", &study.indication), ("technique", &study.technique), ("comparison", &study.comparison)];
    for (key, text) in context {
        if let Some(text) = text {
            entry.insert(key.into(), json!(text));
        }
    }
    let conversation = [("human", Prompt::new(study).text), ("gpt", study.reference.text().to_owned())]
        .map(|(from, value)| json!({"from": from, "value": value}));
    entry.insert("conversations".into(), json!(conversation));
    Value::Object(entry)
}
