//! Where a job's studies come from: the built-in phantoms, or a dataset folder.

use std::{path::Path, sync::Arc};

use addendum_studies::{Dataset, Folder, Phantom, PhantomConfig, Site, Split};
use anyhow::Result;

/// Training, validation and test studies. Nothing is tuned on the tests.
#[derive(Clone)]
pub struct Data {
    pub training: Arc<dyn Dataset>,
    pub validation: Vec<(String, Arc<dyn Dataset>)>,
    pub tests: Vec<(String, Arc<dyn Dataset>)>,
}

/// How many phantoms each split has.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    pub training: usize,
    pub validation: usize,
    pub test: usize,
}

impl Data {
    /// Phantoms: trained on site A, validated and tested on A ("in-domain") and B ("out-of-domain").
    pub fn phantoms(seed: u64, counts: Counts) -> Result<Self> {
        let phantom = |site, split, count| -> Result<Arc<dyn Dataset>> {
            Ok(Arc::new(Phantom::new(PhantomConfig { seed, site, split, count, ..PhantomConfig::default() })?))
        };
        let both = |split, count| -> Result<Vec<(String, Arc<dyn Dataset>)>> {
            Ok(vec![
                ("in-domain".into(), phantom(Site::A, split, count)?),
                ("out-of-domain".into(), phantom(Site::B, split, count)?),
            ])
        };
        Ok(Self {
            training: phantom(Site::A, Split::Train, counts.training)?,
            validation: both(Split::Val, counts.validation)?,
            tests: both(Split::Test, counts.test)?,
        })
    }

    /// A folder in the LLaVA-style form with `train.json`, `val.json` and `test.json`.
    pub fn folder(dir: &Path) -> Result<Self> {
        let split = |split| -> Result<Arc<dyn Dataset>> { Ok(Arc::new(Folder::load(dir, split)?)) };
        Ok(Self {
            training: split(Split::Train)?,
            validation: vec![("validation".into(), split(Split::Val)?)],
            tests: vec![("test".into(), split(Split::Test)?)],
        })
    }
}
