//! Puts the images of a source into the new folder, where [`crate::Folder`] looks for them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::options::Placement;
use crate::error::{Error, Result};

/// The images of the new folder.
pub struct Images {
    source: PathBuf,
    folder: PathBuf,
    placement: Placement,
}

impl Images {
    /// `source` is canonical; `out` is there.
    ///
    /// # Errors
    /// `out/images` is something else than is asked for, or cannot be made.
    pub fn new(source: &Path, out: &Path, placement: Placement) -> Result<Self> {
        let folder = out.join("images");
        let linked = folder.is_symlink();
        match placement {
            Placement::Link if linked && fs::canonicalize(&folder).is_ok_and(|target| target == source) => {}
            Placement::Link if linked || folder.exists() => return Err(taken(&folder, "no link to the source")),
            Placement::Link => link(source, &folder)?,
            Placement::HardLink | Placement::Copy if linked => return Err(taken(&folder, "a link")),
            Placement::HardLink | Placement::Copy => fs::create_dir_all(&folder).map_err(Error::io(&folder))?,
        }
        Ok(Self { source: source.to_owned(), folder, placement })
    }

    /// Puts an image of the source in its place and tells its path in the new folder.
    ///
    /// # Errors
    /// It cannot be linked or copied.
    pub fn place(&self, file: &str) -> Result<String> {
        let (from, to) = (self.source.join(file), self.folder.join(file));
        if self.placement != Placement::Link && !same(&from, &to) {
            let folder = to.parent().unwrap_or(&self.folder);
            fs::create_dir_all(folder).map_err(Error::io(folder))?;
            _ = fs::remove_file(&to);
            let placed = match self.placement {
                // Of a file, not of a link to it, which would lead nowhere from here.
                Placement::HardLink => fs::canonicalize(&from).and_then(|file| fs::hard_link(file, &to)),
                _ => fs::copy(&from, &to).map(drop),
            };
            placed.map_err(Error::io(&to))?;
        }
        Ok(format!("images/{file}"))
    }
}

/// Whether an earlier conversion has put the image there.
fn same(from: &Path, to: &Path) -> bool {
    let len = |path| fs::metadata(path).ok().map(|file| file.len());
    len(to).is_some() && len(from) == len(to)
}

fn taken(folder: &Path, what: &str) -> Error {
    let reason = format!("is there already, and is {what}; name another folder or remove it");
    Error::Layout { dir: folder.to_owned(), reason }
}

#[cfg(unix)]
fn link(source: &Path, folder: &Path) -> Result<()> {
    std::os::unix::fs::symlink(source, folder).map_err(Error::io(folder))
}

#[cfg(not(unix))]
fn link(_: &Path, folder: &Path) -> Result<()> {
    let reason = "cannot be a link on this system; ask for hard links or copies of the images".into();
    Err(Error::Layout { dir: folder.to_owned(), reason })
}
