//! Studies that a command is told to work on: a split of a dataset folder, or built-in phantoms.

use std::{path::Path, sync::Arc};

use addendum::{
    studies::{Dataset, Folder, Phantom, PhantomConfig, Site, Split},
    train::data::HeldOutSets,
};
use anyhow::{Result, ensure};

/// The studies of a split of `folder`; without one, `phantoms` of each site ("in-domain" and "out-of-domain"; training
/// phantoms are those of the first site).
///
/// # Errors
/// Those of [`Folder::load`]; a split without studies.
pub fn sets(folder: Option<&Path>, split: Split, phantoms: usize) -> Result<HeldOutSets> {
    if let Some(folder) = folder {
        let studies = Folder::load(folder, split)?;
        ensure!(!studies.is_empty(), "{}: the {split} split holds no study, expected at least one", folder.display());
        return Ok(vec![(split.name().into(), Arc::new(studies))]);
    }
    let sites = [("in-domain", Site::A), ("out-of-domain", Site::B)];
    let phantoms = |(name, site): (&str, Site)| -> Result<(String, Arc<dyn Dataset>)> {
        let config = PhantomConfig { site, split, count: phantoms, ..PhantomConfig::default() };
        Ok((name.to_owned(), Arc::new(Phantom::new(config)?)))
    };
    sites.into_iter().take(if split == Split::Train { 1 } else { 2 }).map(phantoms).collect()
}
