//! Studies that a command is told to work on: a split of a dataset folder, or built-in phantoms.

use std::{path::Path, sync::Arc};

use addendum::{
    studies::{Dataset, Phantom, PhantomConfig, Site, Split},
    train::data::{Data, HeldOutSets},
};
use anyhow::Result;

/// What a command works on.
pub struct Studies {
    pub sets: HeldOutSets,
    /// Entries of the folder that were left out, which a warning has listed.
    pub skipped: usize,
}

/// The studies of a split of `folder`, where `skip_bad` leaves out entries that are none; without a folder, `phantoms` of
/// each site ("in-domain" and "out-of-domain"; training phantoms are those of the first site).
///
/// # Errors
/// Those of [`Data::split`].
pub fn of(folder: Option<&Path>, split: Split, skip_bad: bool, phantoms: usize) -> Result<Studies> {
    if let Some(folder) = folder {
        let studies = Data::split(folder, split, skip_bad)?;
        if let Some(bad) = studies.left_out() {
            tracing::warn!("left out: {bad}");
        }
        let skipped = studies.bad().len();
        return Ok(Studies { sets: vec![(split.name().into(), Arc::new(studies))], skipped });
    }
    let sites = [("in-domain", Site::A), ("out-of-domain", Site::B)];
    let phantoms = |(name, site): (&str, Site)| -> Result<(String, Arc<dyn Dataset>)> {
        let config = PhantomConfig { site, split, count: phantoms, ..PhantomConfig::default() };
        Ok((name.to_owned(), Arc::new(Phantom::new(config)?)))
    };
    let sites = sites.into_iter().take(if split == Split::Train { 1 } else { 2 });
    Ok(Studies { sets: sites.map(phantoms).collect::<Result<_>>()?, skipped: 0 })
}
