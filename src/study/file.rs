//! A study's file: what is compared, how often, from which checkpoint, and what chooses.

use std::{collections::BTreeSet, fs, path::Path, path::PathBuf};

use addendum_rewards::ClinicalScores;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::place::Source;
use crate::train::settings::{Place, Problem, SettingsError};

/// An experiment as its file has it. What its settings mean is found out by [`Plan::new`](super::Plan::new).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Study {
    /// What the study is called, and its folder where none is named.
    pub name: String,
    /// Every arm runs once under each of these.
    pub seeds: Vec<u64>,
    /// Seeds that the points of a grid run under; the first of `seeds` where there are none.
    #[serde(default)]
    pub grid_seeds: Vec<u64>,
    /// The score that chooses a point of a grid.
    #[serde(default)]
    pub choose: Choose,
    /// How the test sets are scored, once, at the end.
    #[serde(default)]
    pub tests: Tests,
    /// Findings by their words. A report says one if an entity that it asserts contains them.
    #[serde(default)]
    pub watch: Vec<String>,
    /// The arm that differences are taken against; the first one where none is named.
    pub baseline: Option<String>,
    /// Further arms that differences are taken against.
    #[serde(default)]
    pub compare: Vec<String>,
    /// How long every arm runs; as its settings say where it is not given.
    pub budget: Option<Budget>,
    /// A settings file that `settings` are put on.
    pub config: Option<PathBuf>,
    /// Settings of every run, as in a settings file.
    #[serde(default)]
    pub settings: Table,
    /// How checkpoints are taught, by name: `from`, `data`, and the plan of supervised fine-tuning.
    #[serde(default)]
    pub teach: Table,
    /// The taught checkpoint that runs start from; `policy.path` where none is named.
    pub start: Option<String>,
    /// What is compared; at least one.
    #[serde(rename = "arm")]
    pub arms: Vec<Arm>,
    /// The whole study at each of these.
    #[serde(rename = "level", default)]
    pub levels: Vec<Level>,
    #[serde(skip)]
    pub(super) source: Option<Source>,
}

/// A score on validation studies.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Choose {
    /// The name of a score, such as `average` or `radgraph_f1`.
    pub metric: String,
    /// A validation set by name, or `all`: the mean over them.
    pub on: String,
    /// The level that chooses for all of them; each for itself where none is named.
    pub level: Option<String>,
}

impl Default for Choose {
    fn default() -> Self {
        Self { metric: "average".into(), on: "all".into(), level: None }
    }
}

/// How the test sets are scored.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tests {
    /// 0 is greedy.
    pub temperatures: Vec<f64>,
}

impl Default for Tests {
    fn default() -> Self {
        Self { temperatures: vec![0.0] }
    }
}

/// How long a run takes; one of the three.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Budget {
    /// Of the learner.
    pub steps: Option<u64>,
    /// Reports that are learnt from, edited ones included.
    pub rollouts: Option<u64>,
    /// Wall time; the result is not reproducible then. `run.steps` is a bound still.
    pub minutes: Option<f64>,
}

/// What is done to the checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Nothing.
    Checkpoint,
    /// Its adapter learns from the references of the studies that reinforcement sees, in the same order.
    Supervised,
    /// It is trained by rewards, as `addendum train` does.
    #[default]
    Reinforcement,
}

/// One of the things that are compared.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arm {
    /// Unique in the study.
    pub name: String,
    /// What makes its policy of the checkpoint.
    #[serde(default)]
    pub method: Method,
    /// Settings by key that differ from the study's; `sft.` and a key of the supervised plan.
    #[serde(default)]
    pub set: Table,
    /// The supervised plan, where it differs from the run's learner.
    #[serde(default)]
    pub sft: Table,
    /// Whether supervision trains the run's adapter, or all weights.
    #[serde(default = "yes")]
    pub lora: bool,
    /// Values to choose from, by key.
    #[serde(default)]
    pub grid: Table,
    /// Instead of the study's.
    pub budget: Option<Budget>,
}

fn yes() -> bool {
    true
}

/// A condition that the whole study is repeated under, such as a harder world of phantoms.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Level {
    /// Unique in the study.
    pub name: String,
    /// Settings by key; `teach.NAME.` and a key of a teaching.
    #[serde(default)]
    pub set: Table,
    /// Instead of the study's.
    #[serde(default)]
    pub seeds: Vec<u64>,
}

impl Study {
    /// Reads a study and checks what can be told without its settings.
    ///
    /// # Errors
    /// An unreadable file, what is not TOML, unknown keys, values of another kind or out of range; with file, line and
    /// column.
    pub fn read(path: &Path) -> Result<Self, SettingsError> {
        let text = fs::read_to_string(path).map_err(|reason| SettingsError::Read { path: path.into(), reason })?;
        let source = Source::new(path, text);
        let mut study: Self = toml::from_str(&source.text).map_err(|error| {
            let place = error.span().map_or(Place::Nowhere, |span| source.at(span.start));
            SettingsError::Malformed { place, reason: error.message().trim().replace('\n', ", ") }
        })?;
        study.source = Some(source);
        study.check().map_err(|problem| study.invalid(std::slice::from_ref(&problem.key), problem.clone()))?;
        Ok(study)
    }

    /// A problem at the first of these places that the file gives.
    pub(super) fn invalid(&self, paths: &[String], problem: Problem) -> SettingsError {
        let place = self.source.as_ref().map_or(Place::Nowhere, |source| source.place(paths));
        SettingsError::Invalid { place, problem }
    }

    fn check(&self) -> Result<(), Problem> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if self.name.is_empty() || self.name.starts_with('.') || !self.name.chars().all(plain) {
            return Err(Problem::new(
                "name",
                format!("is `{}`, expected the name of a folder: letters, digits, -, _ and .", self.name),
            ));
        }
        let of_levels =
            self.levels.iter().enumerate().map(|(index, level)| (format!("level.{index}.seeds"), &level.seeds));
        for (key, seeds) in
            [("seeds".into(), &self.seeds), ("grid_seeds".into(), &self.grid_seeds)].into_iter().chain(of_levels)
        {
            if seeds.iter().collect::<BTreeSet<_>>().len() != seeds.len() {
                return Err(Problem::new(key, format!("are {seeds:?}, expected seeds that differ")));
            }
        }
        if self.seeds.is_empty() {
            return Err(Problem::new("seeds", "are none, expected at least one"));
        }
        if !ClinicalScores::NAMES.contains(&self.choose.metric.as_str()) {
            let reason =
                format!("`{}` is no score; there are {}", self.choose.metric, ClinicalScores::NAMES.join(", "));
            return Err(Problem::new("choose.metric", reason));
        }
        let temperatures = &self.tests.temperatures;
        if temperatures.is_empty() || temperatures.iter().any(|t| !(t.is_finite() && *t >= 0.0)) {
            return Err(Problem::new(
                "tests.temperatures",
                format!("are {temperatures:?}, expected numbers from 0 on"),
            ));
        }
        if let Some(words) = self.watch.iter().find(|words| words.trim().is_empty()) {
            return Err(Problem::new("watch", format!("has `{words}`, expected the words of a finding")));
        }
        if self.arms.is_empty() {
            return Err(Problem::new("arm", "there is none, expected at least one [[arm]]"));
        }
        distinct("arm", self.arms.iter().map(|arm| &arm.name))?;
        distinct("level", self.levels.iter().map(|level| &level.name))?;
        let arms: Vec<&str> = self.arms.iter().map(|arm| arm.name.as_str()).collect();
        let named = self.baseline.iter().map(|name| ("baseline", name));
        for (key, name) in named.chain(self.compare.iter().map(|name| ("compare", name))) {
            if !arms.contains(&name.as_str()) {
                return Err(Problem::new(key, format!("names `{name}`; there are the arms {}", arms.join(", "))));
            }
        }
        let levels: Vec<&str> = self.levels.iter().map(|level| level.name.as_str()).collect();
        if let Some(name) = &self.choose.level
            && !levels.contains(&name.as_str())
        {
            let reason = format!("names `{name}`; there are the levels {}", levels.join(", "));
            return Err(Problem::new("choose.level", reason));
        }
        if let Some(name) = &self.start
            && !self.teach.contains_key(name)
        {
            return Err(Problem::new("start", format!("names `{name}`, expected one of [teach.NAME]")));
        }
        let budgets = self.arms.iter().enumerate().map(|(index, arm)| (format!("arm.{index}.budget"), &arm.budget));
        for (key, budget) in budgets.chain([("budget".into(), &self.budget)]) {
            budget.as_ref().map_or(Ok(()), |budget| budget.check(&key))?;
        }
        self.arms.iter().enumerate().try_for_each(|(index, arm)| arm.check(&format!("arm.{index}")))
    }

    /// Seeds that the points of a grid run under.
    pub(super) fn grid_seeds(&self) -> &[u64] {
        if self.grid_seeds.is_empty() { &self.seeds[..1] } else { &self.grid_seeds }
    }

    /// The arms that differences are taken against, the baseline first.
    pub(super) fn baselines(&self) -> Vec<usize> {
        let place = |name: &String| self.arms.iter().position(|arm| arm.name == *name);
        let first = self.baseline.as_ref().map_or(Some(0), place);
        let mut places: Vec<usize> = Vec::new();
        for place in first.into_iter().chain(self.compare.iter().filter_map(place)) {
            if !places.contains(&place) {
                places.push(place);
            }
        }
        places
    }
}

impl Budget {
    fn check(&self, key: &str) -> Result<(), Problem> {
        let given =
            [self.steps.map(|n| n > 0), self.rollouts.map(|n| n > 0), self.minutes.map(|n| n.is_finite() && n > 0.0)];
        match given.iter().flatten().collect::<Vec<_>>()[..] {
            [true] => Ok(()),
            _ => Err(Problem::new(key, "expected one of steps, rollouts and minutes, above 0")),
        }
    }
}

impl Arm {
    fn check(&self, place: &str) -> Result<(), Problem> {
        for (key, values) in &flat(&self.grid) {
            if values.as_array().is_none_or(Vec::is_empty) {
                return Err(Problem::new(
                    format!("{place}.grid.{key}"),
                    format!("is {values}, expected a list of values"),
                ));
            }
        }
        if self.method != Method::Supervised && !(self.lora && self.sft.is_empty()) {
            let reason = "is given, expected it in arms with method = \"supervised\" only";
            return Err(Problem::new(format!("{place}.{}", if self.lora { "sft" } else { "lora" }), reason));
        }
        if self.method == Method::Checkpoint && !(self.grid.is_empty() && self.budget.is_none()) {
            return Err(Problem::new(
                format!("{place}.grid"),
                "nothing is trained, so there is nothing to choose or bound",
            ));
        }
        Ok(())
    }
}

fn distinct<'a>(what: &str, names: impl Iterator<Item = &'a String>) -> Result<(), Problem> {
    let mut seen = BTreeSet::new();
    for (index, name) in names.enumerate() {
        if name.is_empty() || !seen.insert(name) {
            let reason = format!("is `{name}`, expected a name of its own");
            return Err(Problem::new(format!("{what}.{index}.name"), reason));
        }
    }
    Ok(())
}

/// The values of a table and of those within it, by their whole keys.
pub(super) fn flat(table: &Table) -> Vec<(String, Value)> {
    let below = |(key, value): (&String, &Value)| match value {
        Value::Table(inner) if !inner.is_empty() => {
            flat(inner).into_iter().map(|(below, value)| (format!("{key}.{below}"), value)).collect()
        }
        value => vec![(key.clone(), value.clone())],
    };
    table.iter().flat_map(below).collect()
}
