//! A run as its folder tells it: finished, interrupted, under way, or of an older version that wrote less.
//!
//! A file that is not there is empty, and so is the last line of a file that a run is writing at this moment. What is
//! there and damaged is an error that names the file and the line.

use std::{
    collections::BTreeMap,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use addendum_actors::{RolloutSample, Scores, StepRecord};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    ReportError,
    events::{EVENTS, Happening},
    lines::read_if_there,
    metrics::Metrics,
    tested::{TESTS, Tested},
    timeline::{TIMELINE, Timeline},
};

/// Every setting.
pub const CONFIG: &str = "config.toml";
/// One line per step.
pub const METRICS: &str = "metrics.jsonl";
/// Some rollouts of each step.
pub const ROLLOUTS: &str = "rollouts.jsonl";
/// Scores on held-out studies by policy version.
pub const EVALUATIONS: &str = "evaluations.jsonl";
/// The final scores.
pub const SUMMARY: &str = "summary.json";

/// A policy by name, and its scores on each test set.
pub type Summary = Vec<(String, Vec<Scores>)>;

/// A run that was read.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// The folder.
    pub path: PathBuf,
    /// The folder's name.
    pub name: String,
    /// Those of `config.toml`, by key.
    pub settings: Keys,
    /// What was measured, a line per step; a value that was not recorded is a gap.
    pub metrics: Metrics,
    /// The same with types; a value that was not recorded is its default.
    pub steps: Vec<StepRecord>,
    /// In order of steps, those of a group together.
    pub rollouts: Vec<RolloutSample>,
    /// In order of versions.
    pub evaluations: Vec<Evaluated>,
    /// In the order in which they happened, those before a resume included.
    pub events: Vec<Happening>,
    /// By set and study; empty before the run has ended, and in runs that test nothing.
    pub tests: Vec<Tested>,
    /// Scores before and after, where there are no `tests`: of an older run.
    pub summary: Summary,
    /// What the actors did in the first steps, if that was recorded.
    pub timeline: Option<Timeline>,
}

/// Scores of a policy version on held-out studies.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Evaluated {
    /// The policy version that was evaluated.
    pub version: u64,
    /// By set and score, as in `validation/radgraph_f1`.
    #[serde(deserialize_with = "finite")]
    pub scores: Scores,
}

impl Run {
    /// Reads the run in `folder`.
    ///
    /// # Errors
    /// No run was begun there; a file that cannot be read, or a damaged line before the last.
    pub fn read(folder: &Path) -> Result<Self, ReportError> {
        let file = |name: &str| folder.join(name);
        fs::read_dir(folder).map_err(ReportError::io(folder))?;
        let settings = Keys::read(&file(CONFIG))?;
        if settings.is_none() && !file(METRICS).exists() {
            return Err(ReportError::NoRun { path: folder.into() });
        }
        let (lines, steps) = read_if_there(&file(METRICS), step)?.into_iter().unzip();
        let name = fs::canonicalize(folder).ok().and_then(|path| path.file_name().map(|name| name.to_owned()));
        Ok(Self {
            path: folder.into(),
            name: name.unwrap_or_else(|| folder.as_os_str().to_owned()).to_string_lossy().into_owned(),
            settings: settings.unwrap_or_default(),
            metrics: Metrics::of(lines),
            steps,
            rollouts: read_if_there(&file(ROLLOUTS), rollout)?,
            evaluations: read_if_there(&file(EVALUATIONS), |line| serde_json::from_slice(line))?,
            events: read_if_there(&file(EVENTS), |line| serde_json::from_slice(line))?,
            tests: read_if_there(&file(TESTS), |line| serde_json::from_slice(line))?,
            summary: summary(&file(SUMMARY))?,
            timeline: Timeline::read(&file(TIMELINE))?,
        })
    }

    /// Steps of the whole run, as far as its settings tell.
    pub fn planned_steps(&self) -> Option<u64> {
        self.settings.get("run.steps")?.as_integer().and_then(|steps| steps.try_into().ok())
    }
}

/// Settings by key, as in `run.steps`; also those that this version does not know.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Keys(pub BTreeMap<String, toml::Value>);

impl Keys {
    /// Reads a settings file; none if it is not there.
    ///
    /// # Errors
    /// A file that cannot be read, or is not TOML.
    pub fn read(path: &Path) -> Result<Option<Self>, ReportError> {
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            text => text.map_err(ReportError::io(path))?,
        };
        let table: toml::Table = toml::from_str(&text)
            .map_err(|error| ReportError::Settings { path: path.into(), reason: error.to_string() })?;
        let mut keys = BTreeMap::new();
        flatten("", table, &mut keys);
        Ok(Some(Self(keys)))
    }

    /// The value of a key such as `run.steps`; none where it is not set.
    pub fn get(&self, key: &str) -> Option<&toml::Value> {
        self.0.get(key)
    }

    /// The same of a key that holds a word.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_str()
    }
}

fn flatten(prefix: &str, table: toml::Table, keys: &mut BTreeMap<String, toml::Value>) {
    for (key, value) in table {
        let key = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
        match value {
            toml::Value::Table(inner) => flatten(&key, inner, keys),
            value => drop(keys.insert(key, value)),
        }
    }
}

/// A line of metrics with and without types. A mean over nothing is not written as a number; within a list by name it is
/// as good as not there.
pub(crate) fn step(line: &[u8]) -> serde_json::Result<(Map<String, Value>, StepRecord)> {
    let fields: Map<String, Value> = serde_json::from_slice(line)?;
    let record = serde_json::from_value(without_nulls(fields.clone())).or_else(|_| {
        let known = fields.clone().into_iter().filter(|(_, value)| !value.is_null());
        serde_json::from_value(without_nulls(known.collect()))
    });
    Ok((fields, record?))
}

pub(crate) fn rollout(line: &[u8]) -> serde_json::Result<RolloutSample> {
    let mut fields: Map<String, Value> = serde_json::from_slice(line)?;
    // A reward that is no number.
    fields.entry("reward").and_modify(|reward| *reward = if reward.is_null() { 0.0.into() } else { reward.take() });
    serde_json::from_value(without_nulls(fields))
}

fn without_nulls(mut fields: Map<String, Value>) -> Value {
    let inner = fields.values_mut().filter_map(Value::as_object_mut);
    inner.for_each(|object| object.retain(|_, value| !value.is_null()));
    Value::Object(fields)
}

fn finite<'de, D: serde::Deserializer<'de>>(scores: D) -> Result<Scores, D::Error> {
    let scores: BTreeMap<String, Option<f64>> = Deserialize::deserialize(scores)?;
    Ok(scores.into_iter().filter_map(|(name, score)| Some((name, score?))).collect())
}

fn summary(path: &Path) -> Result<Summary, ReportError> {
    let text = match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Summary::new()),
        text => text.map_err(ReportError::io(path))?,
    };
    serde_json::from_slice(&text).map_err(|reason| ReportError::Json { path: path.into(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        files.iter().for_each(|(name, text)| fs::write(folder.path().join(name), text).unwrap());
        folder
    }

    fn refused(files: &[(&str, &str)]) -> String {
        Run::read(folder(files).path()).unwrap_err().to_string()
    }

    #[test]
    fn a_run_that_has_only_begun_is_empty_and_no_run_is_an_error() {
        let run = Run::read(folder(&[(CONFIG, "[run]\nsteps = 7\n[later]\nkey.deep = [1]\n")]).path()).unwrap();
        assert_eq!((run.planned_steps(), run.metrics.len(), run.steps.len()), (Some(7), 0, 0));
        assert!(run.settings.get("later.key.deep").is_some());
        assert!(refused(&[("thesis.tex", "")]).contains("holds no run: it has neither metrics.jsonl nor config.toml"));
        assert!(Run::read(Path::new("/nowhere")).unwrap_err().to_string().contains("/nowhere"));
    }

    #[test]
    fn lines_of_an_older_run_of_a_live_one_and_with_gaps_are_read() {
        let metrics = "{\"step\":0,\"advantage_spread\":0.5,\"kl\":null,\"edit_gains\":{\"delete\":null,\"append\":1}}\n\
                       {\"step\":1,\"new\":3}\n{\"step\":2,\"kl";
        let rollouts = "{\"step\":0,\"ticket\":3,\"study\":\"a\",\"rollout\":0,\"origin\":\"sampled\",\"source\":null,\
                        \"edits\":[],\"reward\":null,\"components\":{\"rate\":null},\"text\":\"Clear.\"}\n";
        let evaluations = "{\"version\":0,\"scores\":{\"val/rate\":0.5,\"val/other\":null}}\n";
        let folder = folder(&[(METRICS, metrics), (ROLLOUTS, rollouts), (EVALUATIONS, evaluations)]);
        let run = Run::read(folder.path()).unwrap();
        assert_eq!((run.metrics.len(), run.steps.len()), (2, 2));
        assert_eq!(run.steps[0].edit_gains.keys().collect::<Vec<_>>(), ["append"]);
        assert!(run.steps[0].stats.kl.is_nan() && run.metrics.column("kl")[1].is_nan());
        assert_eq!((run.rollouts[0].ticket, run.rollouts[0].draw), (3, 0));
        assert_eq!(run.evaluations[0].scores, Scores::from([("val/rate".into(), 0.5)]));
        assert_eq!(run.name, folder.path().file_name().unwrap().to_str().unwrap());
    }

    #[test]
    fn damage_is_told_by_file_and_line() {
        let line = "{\"step\":0}\n";
        for (files, expected) in [
            ([(METRICS, "{\"step\":0}\n[]\n{}\n"), (CONFIG, "")], "metrics.jsonl, line 2: "),
            (
                [(METRICS, line), (EVALUATIONS, "{\"version\":0,\"scores\":{}}\n{}\n")],
                "line 2: missing field `version`",
            ),
            ([(METRICS, line), (ROLLOUTS, "nonsense\n")], "rollouts.jsonl, line 1: is not JSON"),
            ([(METRICS, line), (TESTS, "{\"set\":1}\n")], "tests.jsonl, line 1: invalid type"),
            ([(METRICS, line), (EVENTS, "\n\nnonsense\n")], "events.jsonl, line 3: is not JSON"),
            ([(METRICS, line), (CONFIG, "a = \n")], "config.toml: is not TOML"),
            ([(METRICS, line), (SUMMARY, "{")], "summary.json"),
        ] {
            let message = refused(&files);
            assert!(message.contains(expected), "{message}");
        }
    }
}
