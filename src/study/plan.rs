//! The jobs of a study, as its file and nothing else decides: what chooses, what runs, what is tested.

use std::{collections::BTreeMap, sync::Arc};

use toml::{Table, Value};

use super::{
    file::{Arm, Budget, Level, Method, Study, flat},
    job::{Checkpoint, Contents, Job},
    subject::{Jobs, Subject, supervision},
    teachings::Teachings,
};
use crate::train::settings::{Problem, Settings, SettingsError, merge, set};

/// A study with its settings made out.
#[derive(Debug)]
pub struct Plan {
    /// As its file has it, with what follows from it.
    pub study: Study,
    pub(crate) levels: Vec<LevelPlan>,
}

#[derive(Debug)]
pub struct LevelPlan {
    /// Empty in a study without levels.
    pub name: String,
    pub seeds: Vec<u64>,
    /// In the order of the study's arms.
    pub arms: Vec<ArmPlan>,
}

#[derive(Debug)]
pub struct ArmPlan {
    pub points: Vec<Point>,
}

/// One choice of every value of an arm's grid.
#[derive(Debug)]
pub struct Point {
    /// The values that were chosen from several, such as `learner.schedule.learning_rate = 0.001`.
    pub label: String,
    pub subjects: BTreeMap<u64, Subject>,
}

/// The points of every level's arms that were chosen.
pub type Choice = Vec<Vec<usize>>;

impl Plan {
    /// # Errors
    /// Settings of an arm, a level or a teaching that cannot be used, with their place in the file; checkpoints that
    /// cannot be read.
    pub fn new(study: Study) -> Result<Self, SettingsError> {
        let base = study.config.as_deref().map(Settings::given).transpose()?.unwrap_or_default();
        let alone = [Level { name: String::new(), set: Table::new(), seeds: Vec::new() }];
        let named = if study.levels.is_empty() { &alone[..] } else { &study.levels };
        let (mut levels, contents) = (Vec::new(), Contents::default());
        for level in named.iter().enumerate() {
            let level = Making::new(&study, &contents, &base, level)?;
            let arms = study.arms.iter().enumerate().map(|(place, arm)| level.arm(place, arm));
            let arms = arms.collect::<Result<_, _>>()?;
            levels.push(LevelPlan { arms, name: level.name.clone(), seeds: level.seeds.to_vec() });
        }
        Ok(Self { study, levels })
    }

    /// The scorings that choose among the points of a grid.
    pub fn candidates(&self) -> Vec<Arc<Job>> {
        let deciding = self.levels.iter().filter(|level| self.decides(level));
        let arms = deciding.flat_map(|level| &level.arms).filter(|arm| arm.points.len() > 1);
        arms.flat_map(|arm| &arm.points).flat_map(|point| self.validation(point)).collect()
    }

    /// Whether the points of a level's grids are tried.
    pub(crate) fn decides(&self, level: &LevelPlan) -> bool {
        self.study.choose.level.as_ref().is_none_or(|name| level.name == *name)
    }

    /// The scorings of a point on validation studies.
    pub(crate) fn validation(&self, point: &Point) -> Vec<Arc<Job>> {
        let subjects = self.study.grid_seeds().iter().filter_map(|seed| point.subjects.get(seed));
        subjects.map(|subject| subject.validation.clone()).collect()
    }

    /// The runs of the chosen points, and what their samples said.
    pub fn runs(&self, choice: &Choice) -> Vec<Arc<Job>> {
        self.chosen(choice).flat_map(|subject| [subject.run.clone(), subject.look.clone()]).flatten().collect()
    }

    /// The scorings of the chosen points on test studies.
    pub fn tests(&self, choice: &Choice) -> Vec<Arc<Job>> {
        self.chosen(choice).flat_map(|subject| &subject.tests).cloned().collect()
    }

    /// The first point everywhere.
    pub fn first(&self) -> Choice {
        self.levels.iter().map(|level| vec![0; level.arms.len()]).collect()
    }

    fn chosen<'a>(&'a self, choice: &'a Choice) -> impl Iterator<Item = &'a Subject> {
        let arms = self
            .levels
            .iter()
            .zip(choice)
            .flat_map(|(level, points)| level.arms.iter().zip(points).map(move |(arm, point)| (level, arm, point)));
        arms.flat_map(|(level, arm, point)| level.subjects(&arm.points[*point]))
    }
}

impl LevelPlan {
    /// What a point's results are taken from.
    pub fn subjects<'a>(&'a self, point: &'a Point) -> impl Iterator<Item = &'a Subject> {
        self.seeds.iter().filter_map(|seed| point.subjects.get(seed))
    }
}

/// A level whose jobs are being made.
struct Making<'a> {
    study: &'a Study,
    contents: &'a Contents,
    index: usize,
    name: String,
    seeds: &'a [u64],
    given: Table,
    taught: BTreeMap<String, Arc<Job>>,
}

impl<'a> Making<'a> {
    fn new(
        study: &'a Study,
        contents: &'a Contents,
        base: &Table,
        (index, level): (usize, &'a Level),
    ) -> Result<Self, SettingsError> {
        let (mut given, mut teachings) = (base.clone(), study.teach.clone());
        merge(&mut given, study.settings.clone());
        for (key, value) in flat(&level.set) {
            match key.strip_prefix("teach.") {
                Some(key) => set(&mut teachings, key, value),
                None => set(&mut given, key.strip_prefix("settings.").unwrap_or(&key), value),
            }
        }
        let name = level.name.clone();
        let taught =
            Teachings { study, contents, level: (index, &name), given: &given, teachings: &teachings }.jobs()?;
        let seeds = if level.seeds.is_empty() { &study.seeds } else { &level.seeds };
        Ok(Self { study, contents, index, name, seeds, given, taught })
    }

    fn arm(&self, place: usize, arm: &Arm) -> Result<ArmPlan, SettingsError> {
        let points = points(&arm.grid).into_iter().map(|values| self.point(place, arm, &values));
        Ok(ArmPlan { points: points.collect::<Result<_, _>>()? })
    }

    fn point(&self, place: usize, arm: &Arm, values: &[(String, Value)]) -> Result<Point, SettingsError> {
        let open: Vec<_> = values.iter().map(|(key, value)| format!("{key} = {value}")).collect();
        let seeds: &[u64] = if arm.method == Method::Checkpoint { &self.seeds[..1] } else { self.seeds };
        let further = if values.is_empty() { &[][..] } else { self.study.grid_seeds() };
        let mut subjects = BTreeMap::new();
        for seed in seeds.iter().chain(further) {
            let subject = self.subject(arm, values, *seed).map_err(|problem| self.located(place, problem))?;
            subjects.insert(*seed, subject);
        }
        Ok(Point { label: open.join(", "), subjects })
    }

    fn located(&self, place: usize, problem: Problem) -> SettingsError {
        let key = &problem.key;
        let arm = |part: &str| format!("arm.{place}.{part}.{key}");
        let level = |part: &str| format!("level.{}.set.{part}{key}", self.index);
        let paths = [
            arm("grid"),
            arm("set"),
            format!("arm.{place}.{key}"),
            level(""),
            level("settings."),
            format!("settings.{key}"),
            key.clone(),
        ];
        let name = &self.study.arms[place].name;
        self.study.invalid(&paths, Problem { reason: format!("{} (arm `{name}`)", problem.reason), ..problem })
    }

    fn subject(&self, arm: &Arm, values: &[(String, Value)], seed: u64) -> Result<Subject, Problem> {
        let (mut given, mut sft) = (self.given.clone(), arm.sft.clone());
        for (key, value) in flat(&arm.set).iter().chain(values) {
            match key.strip_prefix("sft.") {
                Some(_) if arm.method != Method::Supervised => {
                    return Err(Problem::new(key, "is given, expected it in arms with method = \"supervised\" only"));
                }
                Some(key) => set(&mut sft, key, value.clone()),
                None => set(&mut given, key, value.clone()),
            }
        }
        let integer = |number: u64| i64::try_from(number).map(Value::Integer);
        set(&mut given, "run.seed", integer(seed).map_err(|error| Problem::new("seeds", error))?);
        let budget = arm.budget.or(self.study.budget).unwrap_or_default();
        if let Some(steps) = steps(&budget, &Settings::of_given(&given)?) {
            set(&mut given, "run.steps", integer(steps).map_err(|error| Problem::new("budget", error))?);
        }
        let taught = self.study.start.as_ref().and_then(|name| self.taught.get(name));
        if let Some(job) = taught {
            set(&mut given, "policy.path", Value::String(job.id.clone()));
        }
        let mut settings = Settings::of_given(&given)?;
        let recorded = given.get("run").and_then(|run| run.get("recorded_groups")).is_some();
        if !recorded {
            settings.run.recorded_groups = usize::try_from(settings.run.batch_groups).unwrap_or(usize::MAX);
        }
        settings.validate()?;
        let failed = |key: &'static str| move |error: anyhow::Error| Problem::new(key, format!("{error:#}"));
        let start = match taught {
            Some(job) => Checkpoint::Taught(job.clone()),
            None => self.contents.checkpoint(&settings.policy.path).map_err(failed("policy.path"))?,
        };
        let level = if self.name.is_empty() { String::new() } else { format!("{}, ", self.name) };
        let point: String = values.iter().map(|(key, value)| format!(", {key} = {value}")).collect();
        let name = match arm.method {
            Method::Checkpoint => format!("{level}{}", arm.name),
            _ => format!("{level}{}{point}, seed {seed}", arm.name),
        };
        let jobs = Jobs { contents: self.contents, settings: &settings, start: &start, minutes: budget.minutes };
        let jobs = match arm.method {
            Method::Checkpoint => jobs.subject(&name, None, self.study),
            Method::Reinforcement => jobs.reinforced(&name, self.study),
            Method::Supervised => jobs.supervised(&name, supervision(&settings, sft, arm.lora)?, self.study),
        };
        jobs.map_err(failed("data.folder"))
    }
}

/// Every choice of one value for each key; one empty choice without keys.
fn points(grid: &Table) -> Vec<Vec<(String, Value)>> {
    let mut points = vec![Vec::new()];
    for (key, values) in flat(grid) {
        let values = values.as_array().cloned().unwrap_or_default();
        let with = |point: &Vec<(String, Value)>| {
            let longer = |value: &Value| point.iter().cloned().chain([(key.clone(), value.clone())]).collect();
            values.iter().map(longer).collect::<Vec<_>>()
        };
        points = points.iter().flat_map(with).collect();
    }
    points
}

/// The steps of a budget that is not one of time.
fn steps(budget: &Budget, settings: &Settings) -> Option<u64> {
    let per_step = settings.run.batch_groups.saturating_mul(settings.run.group_size as u64).max(1);
    budget.steps.or_else(|| budget.rollouts.map(|rollouts| rollouts.div_ceil(per_step)))
}
