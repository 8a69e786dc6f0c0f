//! Finds the files of a layout, whose folders people move and rename.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use super::conversion::CONVERSION;
use crate::error::{Error, Result};

/// Folders within folders that are searched.
const DEPTH: usize = 5;

/// The first of these folders of `source` that is there; empty for `source` itself.
pub fn folder<'a>(source: &Path, candidates: &[&'a str]) -> Option<&'a str> {
    candidates.iter().copied().find(|name| source.join(name).is_dir())
}

/// The file in one of these folders of `source` whose name fits; of several the last by name, which is the newest.
pub fn file(source: &Path, folders: &[&str], fits: impl Fn(&str) -> bool) -> Option<PathBuf> {
    let in_folder = |folder: &&str| {
        let names = names(&source.join(folder)).unwrap_or_default();
        names.into_iter().rfind(|name| fits(name)).map(|name| source.join(folder).join(name))
    };
    folders.iter().find_map(in_folder)
}

/// A file that the layout cannot do without.
///
/// # Errors
/// It is not there; the error names it and says where to get it.
pub fn needed(source: &Path, folders: &[&str], what: &str, fits: impl Fn(&str) -> bool) -> Result<PathBuf> {
    let missing = || Error::Layout { dir: source.to_owned(), reason: format!("there is no {what}") };
    file(source, folders, fits).ok_or_else(missing)
}

/// All image files below `source`, by name: paths relative to it with `/` between folders. Of several files of one name,
/// the first path counts. Links and folders that a conversion has written are not entered.
///
/// # Errors
/// A folder cannot be read.
pub fn images(source: &Path) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    let mut open = vec![(String::new(), 0)];
    while let Some((folder, depth)) = open.pop() {
        let path = source.join(&folder);
        let names = names(&path)?;
        if names.iter().any(|name| name == CONVERSION) {
            continue;
        }
        for name in names {
            let relative = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            if is_image(&name) {
                let known: &mut String = found.entry(name).or_insert_with(|| relative.clone());
                if relative < *known {
                    *known = relative;
                }
            } else if depth < DEPTH && path.join(&name).is_dir() && !path.join(&name).is_symlink() {
                open.push((relative, depth + 1));
            }
        }
    }
    Ok(found)
}

fn is_image(name: &str) -> bool {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    ending.is_some_and(|ending| ["png", "jpg", "jpeg", "dcm"].contains(&ending.as_str()))
}

/// Sorted. Names that are not text are none of a dataset's.
fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder).map_err(Error::io(folder))?;
    let mut names: Vec<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort_unstable();
    Ok(names)
}
