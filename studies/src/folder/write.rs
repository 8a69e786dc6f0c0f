//! Writes datasets as folders.

use std::{fs, io::Write, path::Path};

use image::{ColorType, ImageFormat};
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
    let partial = dir.join(format!("{split}.json.partial"));
    let file = fs::File::create(&partial).map_err(Error::io(&partial))?;
    let mut out = std::io::BufWriter::new(file);
    for index in 0..studies.len() {
        let study = studies.study(index)?;
        let mut names = Vec::with_capacity(study.views.len());
        for (i, view) in study.views.iter().enumerate() {
            let name = format!("{images}/{index:06}_{i}.png");
            save(view, &dir.join(&name))?;
            names.push(name);
        }
        let start = if index == 0 { "[\n" } else { ",\n" };
        write!(out, "{start}{}", entry(&study, &names)).map_err(Error::io(&partial))?;
    }
    let end = if studies.is_empty() { "[]\n" } else { "\n]\n" };
    out.write_all(end.as_bytes()).and_then(|()| out.flush()).map_err(Error::io(&partial))?;
    let path = dir.join(format!("{split}.json"));
    fs::rename(&partial, &path).map_err(Error::io(&path))
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
