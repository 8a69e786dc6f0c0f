//! An invented source folder, and what becomes of it.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use addendum_studies::{
    Dataset, Folder, Prompt, Split, Study,
    layouts::{Conversion, Counted, Layout, Options, convert},
};
use flate2::{Compression, write::GzEncoder};
use image::{GrayImage, ImageBuffer, Luma};
use tempfile::TempDir;

pub struct Source {
    /// Goes away with the test.
    dir: TempDir,
}

impl Source {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("source")).unwrap();
        Self { dir }
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("source")
    }

    pub fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    fn create(&self, name: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    pub fn file(&self, name: &str, contents: impl AsRef<[u8]>) -> &Self {
        fs::write(self.create(name), contents).unwrap();
        self
    }

    pub fn gz(&self, name: &str, contents: &str) -> &Self {
        let mut file = GzEncoder::new(fs::File::create(self.create(name)).unwrap(), Compression::fast());
        file.write_all(contents.as_bytes()).unwrap();
        file.finish().unwrap();
        self
    }

    /// Image files of 8 bits.
    pub fn images(&self, names: &[&str]) -> &Self {
        for name in names {
            GrayImage::from_pixel(4, 4, Luma([99])).save(self.create(name)).unwrap();
        }
        self
    }

    /// A PNG file of 16 bits whose upper eight are 200.
    pub fn deep_image(&self, name: &str) -> &Self {
        ImageBuffer::from_pixel(4, 4, Luma([200u16 << 8])).save(self.create(name)).unwrap();
        self
    }

    pub fn convert(&self, layout: &dyn Layout, options: &Options) -> Conversion {
        convert(layout, &self.path(), &self.out(), options).unwrap()
    }

    pub fn refused(&self, layout: &dyn Layout, options: &Options) -> String {
        convert(layout, &self.path(), &self.out(), options).unwrap_err().to_string()
    }

    /// The studies of a split as a run reads them, by id. All of their images are read.
    pub fn studies(&self, split: Split) -> BTreeMap<String, Study> {
        let folder = Folder::load(self.out(), split).unwrap();
        let studies = (0..folder.len()).map(|at| folder.study(at).unwrap());
        let read = |study: &Study| study.views.iter().for_each(|view| _ = view.load().unwrap());
        studies.inspect(read).map(|study| (study.id.clone(), study)).collect()
    }
}

/// Prompt and reference.
pub fn exchange(study: &Study) -> (String, String) {
    (Prompt::new(study).text, study.reference.text().to_owned())
}

/// How often each reason is named.
pub fn counts<'a>(counted: &'a BTreeMap<&'static str, Counted>) -> Vec<(&'a str, usize)> {
    counted.iter().map(|(reason, counted)| (*reason, counted.count)).collect()
}

pub fn read(dir: &Path) -> Vec<(String, Vec<u8>)> {
    ["train.json", "val.json", "test.json", "conversion.json"]
        .map(|name| (name.to_owned(), fs::read(dir.join(name)).unwrap()))
        .to_vec()
}
