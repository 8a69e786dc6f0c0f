//! Where a job's studies come from: the built-in phantoms, or a dataset folder.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use addendum_studies::{Dataset, Folder, Phantom, Result as StudyResult, Site, Split, Study};
use anyhow::{Context, Result, bail};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::settings::Problem;

/// Named sets of held-out studies.
pub type HeldOutSets = Vec<(String, Arc<dyn Dataset>)>;

/// Which studies a run is about. One of the two is named.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// A folder with train.json, val.json and test.json in the LLaVA-style form, and the images. A resumed run
    /// needs the same studies, wherever they are.
    #[schemars(extend("x-resume" = "free"))]
    pub folder: Option<PathBuf>,
    /// The built-in, procedurally drawn studies.
    pub phantoms: Option<PhantomConfig>,
}

/// How many phantoms each set has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PhantomConfig {
    /// What they are drawn from.
    pub seed: u64,
    /// Studies that the checkpoint was taught with; training goes on with the ones after them.
    pub supervised: usize,
    /// Studies to train on.
    pub training: usize,
    /// Studies of each validation and test set.
    pub held_out: usize,
}

impl Default for PhantomConfig {
    fn default() -> Self {
        Self { seed: 0, supervised: 1500, training: 6000, held_out: 600 }
    }
}

impl DataConfig {
    /// # Errors
    /// None or both of the two are named; a set without studies.
    pub fn validate(&self) -> Result<(), Problem> {
        match (&self.folder, &self.phantoms) {
            (None, None) => {
                Err(Problem::new("folder", "not set; name a dataset folder, or the built-in [data.phantoms]"))
            }
            (Some(_), Some(_)) => Err(Problem::new("folder", "is set beside [data.phantoms]; expected one of them")),
            (None, Some(PhantomConfig { training: 0, .. })) => {
                Err(Problem::new("phantoms.training", "is 0, expected at least 1"))
            }
            (None, Some(PhantomConfig { held_out: 0, .. })) => {
                Err(Problem::new("phantoms.held_out", "is 0, expected at least 1"))
            }
            _ => Ok(()),
        }
    }
}

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
    /// What a resumed run compares: it changes with the training studies.
    pub identity: String,
}

impl Data {
    /// The studies that the settings name.
    ///
    /// # Errors
    /// As [`DataConfig::validate`] and [`Data::of_folder`].
    pub fn load(config: &DataConfig) -> Result<Self> {
        config.validate()?;
        match (&config.folder, &config.phantoms) {
            (Some(folder), _) => Self::of_folder(folder),
            (None, phantoms) => Self::of_phantoms(&phantoms.unwrap_or_default()),
        }
    }

    /// Phantoms: trained on site A, validated and tested on A ("in-domain") and B ("out-of-domain").
    pub fn of_phantoms(config: &PhantomConfig) -> Result<Self> {
        let phantom = |site, split, count| {
            let seed = config.seed;
            Phantom::new(addendum_studies::PhantomConfig { seed, site, split, count, ..Default::default() })
        };
        let both = |split| -> Result<HeldOutSets> {
            Ok(vec![
                ("in-domain".into(), Arc::new(phantom(Site::A, split, config.held_out)?)),
                ("out-of-domain".into(), Arc::new(phantom(Site::B, split, config.held_out)?)),
            ])
        };
        Ok(Self {
            supervised: Arc::new(phantom(Site::A, Split::Train, config.supervised)?),
            training: Arc::new(After {
                inner: phantom(Site::A, Split::Train, config.supervised + config.training)?,
                first: config.supervised,
            }),
            validation: both(Split::Val)?,
            tests: both(Split::Test)?,
            identity: format!(
                "phantoms {} to {} of seed {}",
                config.supervised,
                config.supervised + config.training,
                config.seed
            ),
        })
    }

    /// One split of a folder.
    ///
    /// # Errors
    /// Those of [`Folder::load`], and a split without studies.
    pub fn split(dir: &Path, split: Split) -> Result<Arc<dyn Dataset>> {
        let folder = Folder::load(dir, split)?;
        if folder.is_empty() {
            bail!("{}: the {split} split holds no study, expected at least one", dir.display());
        }
        Ok(Arc::new(folder))
    }

    /// A folder in the LLaVA-style form with `train.json`, `val.json` and `test.json`.
    ///
    /// # Errors
    /// As [`Data::split`].
    pub fn of_folder(dir: &Path) -> Result<Self> {
        let training = Self::split(dir, Split::Train)?;
        let list = dir.join("train.json");
        let bytes = fs::read(&list).with_context(|| format!("{}: cannot be read", list.display()))?;
        Ok(Self {
            identity: format!("train.json {} bytes, crc32 {:08x}", bytes.len(), crc32fast::hash(&bytes)),
            supervised: training.clone(),
            training,
            validation: vec![("validation".into(), Self::split(dir, Split::Val)?)],
            tests: vec![("test".into(), Self::split(dir, Split::Test)?)],
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
        let phantoms = |count| Phantom::new(addendum_studies::PhantomConfig { count, ..Default::default() }).unwrap();
        for (split, count) in [(Split::Train, 1), (Split::Val, 0), (Split::Test, 1)] {
            addendum_studies::folder::write(dir.path(), split, &phantoms(count)).unwrap();
        }
        let message = Data::of_folder(dir.path()).err().unwrap().to_string();
        assert!(message.contains("the val split holds no study"), "{message}");
    }

    #[test]
    fn supervised_and_training_studies_are_different_ones() {
        let data = Data::of_phantoms(&PhantomConfig { seed: 0, supervised: 3, training: 4, held_out: 2 }).unwrap();
        let ids = |set: &Arc<dyn Dataset>| (0..set.len()).map(|i| set.study(i).unwrap().id).collect::<Vec<_>>();
        let (supervised, training) = (ids(&data.supervised), ids(&data.training));
        assert_eq!((supervised.len(), training.len()), (3, 4));
        assert!(supervised.iter().all(|id| !training.contains(id)));
    }
}
