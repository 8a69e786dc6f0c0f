//! The checkpoints that a study teaches.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use toml::{Table, Value};

use super::{
    file::Study,
    job::{Checkpoint, Contents, Job, Work},
};
use crate::train::{
    data::DataConfig,
    settings::{Problem, Settings, SettingsError},
    supervised::SftPlan,
};

/// Jobs by the names of their teachings.
type Made = BTreeMap<String, Arc<Job>>;

/// The teachings of a level.
pub struct Teachings<'a> {
    pub study: &'a Study,
    pub contents: &'a Contents,
    /// Its place in the file, and its name.
    pub level: (usize, &'a str),
    /// Settings of the level's runs.
    pub given: &'a Table,
    /// By name, as the level has them.
    pub teachings: &'a Table,
}

impl Teachings<'_> {
    /// # Errors
    /// A teaching that cannot be used, with its place in the file.
    pub fn jobs(&self) -> Result<BTreeMap<String, Arc<Job>>, SettingsError> {
        let mut made = Made::new();
        for name in self.teachings.keys() {
            self.job(name, &mut Vec::new(), &mut made)?;
        }
        Ok(made)
    }

    /// Makes the job of a teaching, and those of the ones that it starts from.
    fn job(&self, name: &str, open: &mut Vec<String>, made: &mut Made) -> Result<Arc<Job>, SettingsError> {
        if let Some(job) = made.get(name) {
            return Ok(job.clone());
        }
        let place = format!("teach.{name}");
        let (study, (index, level)) = (self.study, self.level);
        let wrong = |key: &str, reason: String| {
            let whole = if key.is_empty() { place.clone() } else { format!("{place}.{key}") };
            let paths = [format!("level.{index}.set.{whole}"), whole.clone()];
            study.invalid(&paths, Problem::new(whole, reason))
        };
        if open.iter().any(|above| above == name) {
            return Err(wrong("from", format!("leads back to itself: {} from {name}", open.join(" from "))));
        }
        let Some(Value::Table(given)) = self.teachings.get(name) else {
            return Err(wrong("", "expected a table".into()));
        };
        let mut given = given.clone();
        let from = given.remove("from");
        let data = given.remove("data");
        let data = match data {
            Some(Value::Table(data)) => {
                Settings::of_given(&[("data".to_owned(), Value::Table(data))].into_iter().collect())
            }
            Some(other) => return Err(wrong("data", format!("is {other}, expected a table"))),
            None => Settings::of_given(self.given),
        };
        let data: DataConfig = data.map_err(|problem| wrong(&problem.key, problem.reason))?.data;
        data.validate().map_err(|problem| wrong(&format!("data.{}", problem.key), problem.reason))?;
        let plan: SftPlan = given.try_into().map_err(|error: toml::de::Error| wrong("", error.message().into()))?;
        plan.validate().map_err(|error| wrong("", format!("{error:#}")))?;
        let from = match from {
            None if plan.lora.is_some() => return Err(wrong("lora", "is given, expected it with `from` only".into())),
            None => None,
            Some(Value::String(other)) if self.teachings.contains_key(&other) => {
                open.push(name.to_owned());
                let job = self.job(&other, open, made)?;
                open.pop();
                Some(Checkpoint::Taught(job))
            }
            Some(Value::String(path)) => {
                Some(self.contents.checkpoint(Path::new(&path)).map_err(|error| wrong("from", format!("{error:#}")))?)
            }
            Some(other) => return Err(wrong("from", format!("is {other}, expected a path or the name of a teaching"))),
        };
        let about = [level, "teach", name].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
        let job = Job::new(about.join(" "), Work::Teach { from, data, plan }, self.contents)
            .map_err(|error| wrong("data", format!("{error:#}")))?;
        made.insert(name.to_owned(), job.clone());
        Ok(job)
    }
}
