//! Finds the image files of a dataset folder, and nothing outside of it.

use std::{
    collections::HashMap,
    fs,
    path::{Component, Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use crate::error::{Error, Result};

/// Where the images of a folder may lie. Its `images` directory may be a link to elsewhere, single files may not.
#[derive(Debug)]
pub struct Images {
    dir: PathBuf,
    /// Canonical.
    roots: Vec<PathBuf>,
    /// Directories that were met, by where they really are. A list of a quarter of a million images asks for few of them
    /// often, and asking the system costs more than reading the list.
    met: Mutex<HashMap<PathBuf, PathBuf>>,
}

/// Directories to remember; they are forgotten together, so a study's own folder takes no lasting memory.
const MET: usize = 4096;

impl Images {
    pub fn new(dir: &Path) -> Result<Self> {
        let mut roots = vec![fs::canonicalize(dir).map_err(Error::io(dir))?];
        roots.extend(fs::canonicalize(dir.join("images")).ok());
        Ok(Self { dir: dir.to_owned(), roots, met: Mutex::default() })
    }

    /// The file that `written` means, or why there is none.
    pub fn resolve(&self, written: &str) -> Result<PathBuf, String> {
        self.find(written, |file| fs::canonicalize(file).ok())
    }

    /// Whether there is such a file; where directories lead is asked once.
    pub fn check(&self, written: &str) -> Result<(), String> {
        self.find(written, |file| self.real(file)).map(drop)
    }

    fn find(&self, written: &str, real: impl Fn(&Path) -> Option<PathBuf>) -> Result<PathBuf, String> {
        let unix = written.strip_prefix("file://").unwrap_or(written).replace('\\', "/");
        let path = Path::new(&unix);
        if unix.trim().is_empty() {
            return Err("empty path".into());
        }
        if let Some(kind) = ["http:", "https:", "data:", "s3:", "gs:"].iter().find(|kind| unix.starts_with(**kind)) {
            return Err(format!("expected a file of the dataset folder, found a {kind} address"));
        }
        if path.components().any(|part| part == Component::ParentDir) {
            return Err(format!("`{written}` leads out of the dataset folder: `..` is not allowed"));
        }
        // Joining an absolute path replaces the folder; the check of the canonical path below then decides.
        let candidates = [self.dir.join(path), self.dir.join("images").join(path)];
        let Some(real) = candidates.iter().find_map(|file| real(file.as_path())) else {
            if path.is_absolute() {
                return Err(format!("`{written}` is an absolute path outside the dataset folder, or missing"));
            }
            return Err(format!("no file `{}` nor `{}`", candidates[0].display(), candidates[1].display()));
        };
        if !self.roots.iter().any(|root| real.starts_with(root)) {
            return Err(format!("`{written}` lies outside the dataset folder, at {}", real.display()));
        }
        if !real.is_file() {
            return Err(format!("`{written}` is not a file"));
        }
        Ok(real)
    }

    /// As [`fs::canonicalize`], but of a file that is no link only its own directory is followed, and that once.
    fn real(&self, file: &Path) -> Option<PathBuf> {
        let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
        let (Some(parent), Some(name)) = (parent, file.file_name()) else { return fs::canonicalize(file).ok() };
        let real = self.directory(parent)?.join(name);
        match fs::symlink_metadata(&real).ok()?.is_symlink() {
            true => fs::canonicalize(real).ok(),
            false => Some(real),
        }
    }

    fn directory(&self, dir: &Path) -> Option<PathBuf> {
        let met = || self.met.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(real) = met().get(dir) {
            return Some(real.clone());
        }
        let real = self.real(dir)?;
        let mut met = met();
        if met.len() == MET {
            met.clear();
        }
        met.insert(dir.to_owned(), real.clone());
        Some(real)
    }
}
