//! Finds the image files of a dataset folder, and nothing outside of it.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

use crate::error::{Error, Result};

/// Where the images of a folder may lie. Its `images` directory may be a link to elsewhere, single files may not.
#[derive(Debug)]
pub struct Images {
    dir: PathBuf,
    /// Canonical.
    roots: Vec<PathBuf>,
}

impl Images {
    pub fn new(dir: &Path) -> Result<Self> {
        let mut roots = vec![fs::canonicalize(dir).map_err(Error::io(dir))?];
        roots.extend(fs::canonicalize(dir.join("images")).ok());
        Ok(Self { dir: dir.to_owned(), roots })
    }

    /// The file that `written` means, or why there is none.
    pub fn resolve(&self, written: &str) -> Result<PathBuf, String> {
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
        let Some(real) = candidates.iter().find_map(|file| fs::canonicalize(file).ok()) else {
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
}
