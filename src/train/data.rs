//! Where a job's studies come from: the built-in phantoms, or a dataset folder.

use std::{path::Path, sync::Arc};

use addendum_studies::{Dataset, Folder, Phantom, PhantomConfig, Result as StudyResult, Site, Split, Study};
use anyhow::{Result, bail};

/// Named sets of held-out studies.
pub type HeldOutSets = Vec<(String, Arc<dyn Dataset>)>;

/// The studies of a job. Nothing is tuned on the tests.
#[derive(Clone)]
pub struct Data {
    /// For supervised fine-tuning.
    pub supervised: Arc<dyn Dataset>,
    /// For reinforcement. A small policy sees its supervised studies so often that it knows them by heart, and on those
    /// its errors would teach nothing; so phantoms bring further ones. In a folder they are the same.
    pub training: Arc<dyn Dataset>,
    pub validation: HeldOutSets,
    pub tests: HeldOutSets,
}

/// How many phantoms each set has.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    pub supervised: usize,
    pub training: usize,
    pub held_out: usize,
}

impl Default for Counts {
    fn default() -> Self {
        Self { supervised: 1500, training: 6000, held_out: 600 }
    }
}

impl Data {
    /// Phantoms: trained on site A, validated and tested on A ("in-domain") and B ("out-of-domain").
    pub fn phantoms(seed: u64, counts: Counts) -> Result<Self> {
        let phantom =
            |site, split, count| Phantom::new(PhantomConfig { seed, site, split, count, ..PhantomConfig::default() });
        let both = |split| -> Result<HeldOutSets> {
            Ok(vec![
                ("in-domain".into(), Arc::new(phantom(Site::A, split, counts.held_out)?)),
                ("out-of-domain".into(), Arc::new(phantom(Site::B, split, counts.held_out)?)),
            ])
        };
        Ok(Self {
            supervised: Arc::new(phantom(Site::A, Split::Train, counts.supervised)?),
            training: Arc::new(After {
                inner: phantom(Site::A, Split::Train, counts.supervised + counts.training)?,
                first: counts.supervised,
            }),
            validation: both(Split::Val)?,
            tests: both(Split::Test)?,
        })
    }

    /// A folder in the LLaVA-style form with `train.json`, `val.json` and `test.json`.
    ///
    /// # Errors
    /// Those of [`Folder::load`], and a split without studies.
    pub fn folder(dir: &Path) -> Result<Self> {
        let load = |split: Split| -> Result<Arc<dyn Dataset>> {
            let folder = Folder::load(dir, split)?;
            if folder.is_empty() {
                bail!("{}: the {split} split holds no study, expected at least one", dir.display());
            }
            Ok(Arc::new(folder))
        };
        let training = load(Split::Train)?;
        Ok(Self {
            supervised: training.clone(),
            training,
            validation: vec![("validation".into(), load(Split::Val)?)],
            tests: vec![("test".into(), load(Split::Test)?)],
        })
    }
}

/// The studies from `first` on.
struct After<D> {
    inner: D,
    first: usize,
}

impl<D: Dataset> Dataset for After<D> {
    fn len(&self) -> usize {
        self.inner.len().saturating_sub(self.first)
    }

    fn study(&self, index: usize) -> StudyResult<Study> {
        self.inner.study(index + self.first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_an_empty_split_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let phantoms = |count| Phantom::new(PhantomConfig { count, ..PhantomConfig::default() }).unwrap();
        for (split, count) in [(Split::Train, 1), (Split::Val, 0), (Split::Test, 1)] {
            addendum_studies::folder::write(dir.path(), split, &phantoms(count)).unwrap();
        }
        let message = Data::folder(dir.path()).err().unwrap().to_string();
        assert!(message.contains("the val split holds no study"), "{message}");
    }

    #[test]
    fn supervised_and_training_studies_are_different_ones() {
        let data = Data::phantoms(0, Counts { supervised: 3, training: 4, held_out: 2 }).unwrap();
        let ids = |set: &Arc<dyn Dataset>| (0..set.len()).map(|i| set.study(i).unwrap().id).collect::<Vec<_>>();
        let (supervised, training) = (ids(&data.supervised), ids(&data.training));
        assert_eq!((supervised.len(), training.len()), (3, 4));
        assert!(supervised.iter().all(|id| !training.contains(id)));
    }
}
