//! Where a job's studies come from: the built-in phantoms, or a dataset folder.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use addendum_studies::{
    BadRow, BadRows, Dataset, Error as StudyError, Folder, Phantom, Place, Result as StudyResult, Site, Split, Study,
    World,
};
use anyhow::{Result, bail};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::settings::Problem;

/// Named sets of held-out studies.
pub type HeldOutSets = Vec<(String, Arc<dyn Dataset>)>;

/// Which studies a run is about. One of the two is named.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// A folder with a file for each of train, val and test, or one for all, and the images: JSON, JSON Lines, CSV, TSV or
    /// Parquet, as docs/data.md describes. A resumed run needs the same studies, wherever they are.
    #[schemars(extend("x-resume" = "free"))]
    pub folder: Option<PathBuf>,
    /// Leave out entries of the folder that are no studies, such as those whose image is missing or whose report is empty,
    /// and tell how many they are. Without it they are refused, all of them by file and line.
    pub skip_bad: bool,
    /// The built-in, procedurally drawn studies.
    pub phantoms: Option<PhantomConfig>,
}

/// What the phantoms are like, and how many each set has.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PhantomConfig {
    /// 1, plain to see and told as they are, or 2, a world with the knobs below.
    pub version: u32,
    /// What they are drawn from.
    pub seed: u64,
    /// Studies that the checkpoint was taught with; training goes on with the ones after them.
    pub supervised: usize,
    /// Studies to train on.
    pub training: usize,
    /// Studies of each validation and test set.
    pub held_out: usize,
    /// The knobs of version 2; its defaults without them.
    pub world: Option<World>,
}

impl Default for PhantomConfig {
    fn default() -> Self {
        Self { version: 1, seed: 0, supervised: 1500, training: 6000, held_out: 600, world: None }
    }
}

impl PhantomConfig {
    /// The world that the phantoms are of; `None` for version 1.
    pub fn world(&self) -> Option<World> {
        (self.version == 2).then(|| self.world.unwrap_or_default())
    }

    fn validate(&self) -> Result<(), Problem> {
        match (self.version, &self.world) {
            (1, Some(_)) => return Err(Problem::new("world", "is set beside version = 1, which has no knobs")),
            (1 | 2, _) => {}
            (version, _) => return Err(Problem::new("version", format!("is {version}, expected 1 or 2"))),
        }
        for (field, count) in [("training", self.training), ("held_out", self.held_out)] {
            if count == 0 {
                return Err(Problem::new(field, "is 0, expected at least 1"));
            }
        }
        self.world.iter().try_for_each(World::validate).map_err(|error| match error {
            StudyError::World { field, value, expected } => {
                Problem::new(format!("world.{field}"), format!("is {value}, expected {expected}"))
            }
            other => Problem::new("world", other),
        })
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
            (None, Some(phantoms)) => phantoms.validate().map_err(|problem| problem.within("phantoms")),
            (Some(_), None) => Ok(()),
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
    /// For what is chosen on the way, by name.
    pub validation: HeldOutSets,
    /// For the final scores, by name.
    pub tests: HeldOutSets,
    /// What a resumed run compares: it changes with the training studies.
    pub identity: String,
    /// Entries that were left out because they are no studies, by set.
    pub skipped: Vec<(String, BadRows)>,
}

impl Data {
    /// The studies that the settings name.
    ///
    /// # Errors
    /// As [`DataConfig::validate`] and [`Data::of_folder`].
    pub fn load(config: &DataConfig) -> Result<Self> {
        config.validate()?;
        match (&config.folder, &config.phantoms) {
            (Some(folder), _) => Self::of_folder(folder, config.skip_bad),
            (None, phantoms) => Self::of_phantoms(&phantoms.unwrap_or_default()),
        }
    }

    /// Phantoms: trained on site A, validated and tested on A ("in-domain") and B ("out-of-domain"), all in one world.
    pub fn of_phantoms(config: &PhantomConfig) -> Result<Self> {
        let phantom = |site, split, count| {
            let (seed, world) = (config.seed, config.world());
            Phantom::new(addendum_studies::PhantomConfig { seed, site, split, count, world, ..Default::default() })
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
            identity: {
                let PhantomConfig { seed, supervised, training, .. } = *config;
                let phantoms = format!("phantoms {supervised} to {} of seed {seed}", supervised + training);
                config.world().map_or(phantoms.clone(), |world| format!("{phantoms} in {world:?}"))
            },
            skipped: Vec::new(),
        })
    }

    /// One split of a folder. Entries that are no studies are refused, or left out with `skip_bad`.
    ///
    /// # Errors
    /// Those of [`Folder::load`], and a split without studies.
    pub fn split(dir: &Path, split: Split, skip_bad: bool) -> Result<Folder> {
        let folder = match if skip_bad { Folder::read(dir, split) } else { Folder::load(dir, split) } {
            Err(bad @ StudyError::Rows(_)) => {
                bail!("{bad}\ndata.skip_bad = true, or --skip-bad, leaves such entries out")
            }
            other => other?,
        };
        if folder.is_empty() {
            bail!("{}: the {split} split holds no study, expected at least one", dir.display());
        }
        Ok(folder)
    }

    /// A folder with a list of studies for every split.
    ///
    /// # Errors
    /// As [`Data::split`].
    pub fn of_folder(dir: &Path, skip_bad: bool) -> Result<Self> {
        let [training, validation, test] = Split::ALL.map(|split| Self::split(dir, split, skip_bad));
        let (training, validation, test) = (training?, validation?, test?);
        let sets = [("training", &training), ("validation", &validation), ("test", &test)];
        let skipped = sets.map(|(name, set)| Some((name.to_owned(), set.left_out()?)));
        let identity = training.identity();
        let training: Arc<dyn Dataset> = Arc::new(training);
        Ok(Self {
            identity,
            skipped: skipped.into_iter().flatten().collect(),
            supervised: training.clone(),
            training,
            validation: vec![("validation".into(), Arc::new(validation))],
            tests: vec![("test".into(), Arc::new(test))],
        })
    }

    /// Tells the metrics what was left out.
    pub(super) fn measure(&self) {
        for (set, bad) in &self.skipped {
            metrics::gauge!("addendum_data_skipped_entries", "set" => set.clone()).set(bad.rows.len() as f64);
        }
    }

    /// What was left out, in a line; none if nothing was.
    pub fn told_skipped(&self) -> Option<String> {
        let sets: Vec<String> = self.skipped.iter().map(|(name, bad)| format!("{} {name}", bad.rows.len())).collect();
        (!sets.is_empty()).then(|| format!("left out as no studies (data.skip_bad): {} entries", sets.join(", ")))
    }

    /// All that was left out, as JSON Lines: set, file, line, entry, problems.
    pub(super) fn skipped_lines(&self) -> String {
        let rows = self.skipped.iter().flat_map(|(set, bad)| bad.rows.iter().map(move |row| (set, row)));
        let line = |(set, BadRow { place, problems }): (&String, &BadRow)| {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            let Place { path, line, entry } = place;
            let file = path.display().to_string();
            let line = json!({"set": set, "file": file, "line": line, "entry": entry, "problems": problems});
            format!("{line}\n")
        };
        rows.map(line).collect()
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
        let message = Data::of_folder(dir.path(), false).err().unwrap().to_string();
        assert!(message.contains("the val split holds no study"), "{message}");
    }

    #[test]
    fn bad_entries_are_refused_by_the_line_or_left_out_and_counted() {
        let dir = tempfile::tempdir().unwrap();
        let phantoms = Phantom::new(addendum_studies::PhantomConfig { count: 2, ..Default::default() }).unwrap();
        for split in Split::ALL {
            addendum_studies::folder::write(dir.path(), split, &phantoms).unwrap();
        }
        let whole = Data::of_folder(dir.path(), true).unwrap();
        let list = std::fs::read(dir.path().join("train.json")).unwrap();
        assert_eq!(whole.identity, format!("train.json {} bytes, crc32 {:08x}", list.len(), crc32fast::hash(&list)));
        assert_eq!(whole.told_skipped(), None);
        for image in std::fs::read_dir(dir.path().join("images/train")).unwrap() {
            let path = image.unwrap().path();
            if path.display().to_string().contains("000001_") {
                std::fs::remove_file(path).unwrap();
            }
        }
        let message = Data::of_folder(dir.path(), false).err().unwrap().to_string();
        assert!(message.contains("train.json:3: entry 1: field `image`: no file"), "{message}");
        let rest = Data::of_folder(dir.path(), true).unwrap();
        assert_eq!((rest.training.len(), rest.validation[0].1.len()), (1, 2));
        assert_eq!(rest.told_skipped().unwrap(), "left out as no studies (data.skip_bad): 1 training entries");
        let line: serde_json::Value = serde_json::from_str(&rest.skipped_lines()).unwrap();
        assert_eq!((&line["set"], &line["line"], &line["entry"]), (&json!("training"), &json!(3), &json!(1)));
        assert!(line["problems"][0].as_str().unwrap().starts_with("field `image`: no file"), "{line}");
        assert_eq!(whole.skipped_lines(), "");
        assert_ne!(rest.identity, whole.identity);
    }

    #[test]
    fn phantoms_are_refused_by_the_field_that_is_wrong() {
        let refused = |phantoms| {
            DataConfig { phantoms: Some(phantoms), ..Default::default() }.validate().unwrap_err().to_string()
        };
        let base = PhantomConfig { version: 2, ..Default::default() };
        assert!(DataConfig { phantoms: Some(base), ..Default::default() }.validate().is_ok());
        let world = |world| Some(World { normal: 0.5, ..world });
        for (phantoms, expected) in [
            (PhantomConfig { version: 3, ..base }, "phantoms.version: is 3, expected 1 or 2"),
            (PhantomConfig { training: 0, ..base }, "phantoms.training: is 0, expected at least 1"),
            (PhantomConfig { held_out: 0, ..base }, "phantoms.held_out: is 0, expected at least 1"),
            (PhantomConfig { version: 1, world: world(World::default()), ..base }, "phantoms.world: is set beside"),
            (
                PhantomConfig { world: world(World { tail_named: 1.5, ..World::default() }), ..base },
                "phantoms.world.tail_named: is 1.5, expected 0 to 1",
            ),
        ] {
            let message = refused(phantoms);
            assert!(message.starts_with(expected), "{message}");
        }
    }

    #[test]
    fn a_world_of_the_settings_is_the_world_of_all_sets() {
        let world = World { sentences: [16, 16], ..World::default() };
        let config = PhantomConfig {
            version: 2,
            world: Some(world),
            supervised: 1,
            training: 1,
            held_out: 1,
            ..Default::default()
        };
        let data = Data::of_phantoms(&config).unwrap();
        let held_out = data.validation.iter().chain(&data.tests).map(|(_, set)| set);
        for set in [&data.supervised, &data.training].into_iter().chain(held_out) {
            let report = set.study(0).unwrap().reference.text().to_owned();
            assert_eq!(report.matches('.').count(), 16, "{report}");
        }
    }

    #[test]
    fn supervised_and_training_studies_are_different_ones() {
        let data = Data::of_phantoms(&PhantomConfig { supervised: 3, training: 4, held_out: 2, ..Default::default() })
            .unwrap();
        let ids = |set: &Arc<dyn Dataset>| (0..set.len()).map(|i| set.study(i).unwrap().id).collect::<Vec<_>>();
        let (supervised, training) = (ids(&data.supervised), ids(&data.training));
        assert_eq!((supervised.len(), training.len()), (3, 4));
        assert!(supervised.iter().all(|id| !training.contains(id)));
    }
}
