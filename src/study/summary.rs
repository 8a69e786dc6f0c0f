//! What came of a study: every number that a table or a plot needs, by the files of its jobs alone.

use std::{collections::BTreeMap, path::Path};

use addendum_rewards::{
    ClinicalScores,
    assess::{Gap, Pair, Resampling, Seeds, gaps},
};
use anyhow::Result;
use serde::Serialize;

use super::{
    execution::validation,
    file::Method,
    job::Job,
    pages,
    plan::{ArmPlan, Choice, LevelPlan, Plan},
    results::{Curve, Finding, curves, findings, lines, scores, sets},
    work::Line,
};

/// All results of a study, as in its `results.json`.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// The study's.
    pub name: String,
    /// One for each level; a single one without a name where the study has none.
    pub levels: Vec<LevelSummary>,
}

/// The results of one level.
#[derive(Debug, Serialize)]
pub struct LevelSummary {
    /// Empty in a study without levels.
    pub name: String,
    /// That every arm ran under.
    pub seeds: Vec<u64>,
    /// In the order of the file.
    pub arms: Vec<ArmSummary>,
    /// One for each test set and temperature.
    pub tests: Vec<TestSummary>,
    /// The page that shows its runs side by side, within the study's folder; none where there is none.
    pub page: Option<String>,
}

/// How an arm was trained.
#[derive(Debug, Serialize)]
pub struct ArmSummary {
    /// As in the file.
    pub name: String,
    /// What made its policy of the checkpoint.
    pub method: Method,
    /// Seconds of the chosen point's training under each seed.
    pub seconds: Vec<f64>,
    /// Its length is a time, so it ends elsewhere on another machine.
    pub timed: bool,
    /// Empty where nothing was to be chosen.
    pub grid: Vec<PointSummary>,
    /// By name, one for each seed.
    pub curves: BTreeMap<String, Vec<Curve>>,
    /// Its runs' pages within the study's folder, by seed, as far as they are there.
    pub pages: BTreeMap<u64, String>,
}

/// A point of a grid that was tried.
#[derive(Debug, Serialize)]
pub struct PointSummary {
    /// The values that make it, such as `learner.schedule.learning_rate = 0.001`.
    pub point: String,
    /// The mean over the grid's seeds.
    pub validation: f64,
    /// Whether its runs are the arm's: it had the highest validation score.
    pub chosen: bool,
}

/// A test set at a temperature.
#[derive(Debug, Serialize)]
pub struct TestSummary {
    /// Such as `in-domain`.
    pub set: String,
    /// That reports were sampled at; 0 is greedy.
    pub temperature: f64,
    /// How many reports each arm wrote.
    pub studies: usize,
    /// In the order of the file.
    pub arms: Vec<ArmScores>,
    /// Differences of all other arms to each of the baselines.
    pub differences: Vec<Difference>,
}

/// What an arm's reports are worth on a test set.
#[derive(Debug, Serialize)]
pub struct ArmScores {
    /// Its name.
    pub arm: String,
    /// By name, one for each seed.
    pub scores: BTreeMap<String, Vec<f64>>,
    /// In order, one for each seed.
    pub findings: Vec<(String, Vec<Finding>)>,
}

/// How much better an arm is than a baseline, over the same studies and seeds.
#[derive(Debug, Serialize)]
pub struct Difference {
    /// The one that is compared.
    pub arm: String,
    /// The one that it is compared with.
    pub baseline: String,
    /// By the names of [`ClinicalScores::QUALITIES`].
    pub gaps: BTreeMap<&'static str, Gap>,
}

impl Summary {
    /// # Errors
    /// A file that is missing or damaged.
    pub fn new(plan: &Plan, choice: &Choice, out: &Path) -> Result<Self> {
        let level = |(place, (level, points)): (usize, (&LevelPlan, &Vec<usize>))| {
            let page = pages::of_level(plan, place);
            let arms = plan.study.arms.iter().zip(&level.arms).zip(points);
            let arms = arms.map(|((arm, made), point)| {
                let timed = arm.budget.or(plan.study.budget).is_some_and(|budget| budget.minutes.is_some());
                let timed = timed && arm.method != Method::Checkpoint;
                Ok(ArmSummary {
                    name: arm.name.clone(),
                    method: arm.method,
                    timed,
                    ..trained(plan, level, made, *point, out)?
                })
            });
            Ok(LevelSummary {
                name: level.name.clone(),
                seeds: level.seeds.clone(),
                arms: arms.collect::<Result<_>>()?,
                tests: tests(plan, level, points, out)?,
                page: out.join(&page).exists().then_some(page),
            })
        };
        let levels = plan.levels.iter().zip(choice).enumerate().map(level).collect::<Result<_>>()?;
        Ok(Self { name: plan.study.name.clone(), levels })
    }
}

fn trained(plan: &Plan, level: &LevelPlan, arm: &ArmPlan, chosen: usize, out: &Path) -> Result<ArmSummary> {
    let tried = arm.points.len() > 1 && plan.decides(level);
    let grid = arm.points.iter().enumerate().filter(|_| tried).map(|(index, point)| {
        let validation = validation(plan, point, out)?;
        Ok(PointSummary { point: point.label.clone(), validation, chosen: index == chosen })
    });
    let (mut seconds, mut all) = (Vec::new(), BTreeMap::<String, Vec<Curve>>::new());
    let mut pages = BTreeMap::new();
    for (seed, subject) in level.seeds.iter().filter_map(|seed| arm.points[chosen].subjects.get_key_value(seed)) {
        let Some(run) = &subject.run else { continue };
        pages.extend(pages::of_run(run, out).map(|page| (*seed, page)));
        seconds.extend(run.done(out).map(|done| done.seconds));
        let look = subject.look.as_ref().map(|look| look.folder(out));
        for (name, curve) in curves(&run.folder(out), look.as_deref())? {
            all.entry(name).or_default().push(curve);
        }
    }
    let (name, method, timed) = (String::new(), Method::Checkpoint, false);
    Ok(ArmSummary { name, method, seconds, timed, grid: grid.collect::<Result<_>>()?, curves: all, pages })
}

fn tests(plan: &Plan, level: &LevelPlan, points: &[usize], out: &Path) -> Result<Vec<TestSummary>> {
    let mut summaries = Vec::new();
    for (index, temperature) in plan.study.tests.temperatures.iter().enumerate() {
        // By arm and seed.
        let mut scored: Vec<Vec<Vec<Line>>> = Vec::new();
        for (arm, point) in level.arms.iter().zip(points) {
            let jobs = level.subjects(&arm.points[*point]).filter_map(|subject| subject.tests.get(index));
            scored.push(jobs.map(|job: &std::sync::Arc<Job>| lines(&job.folder(out))).collect::<Result<_>>()?);
        }
        let names: Vec<String> = match scored.first().and_then(|seeds| seeds.first()) {
            Some(lines) => sets(lines).into_iter().map(|(set, _)| set.to_owned()).collect(),
            None => Vec::new(),
        };
        for set in names {
            summaries.push(test(plan, &set, *temperature, &scored)?);
        }
    }
    summaries.sort_by(|a, b| a.set.cmp(&b.set));
    Ok(summaries)
}

fn test(plan: &Plan, set: &str, temperature: f64, scored: &[Vec<Vec<Line>>]) -> Result<TestSummary> {
    let study = &plan.study;
    let of_set = |lines: &'_ [Line]| -> Vec<Line> { lines.iter().filter(|line| line.set == set).cloned().collect() };
    let scored: Vec<Vec<Vec<Line>>> =
        scored.iter().map(|seeds| seeds.iter().map(|lines| of_set(lines)).collect()).collect();
    let mut arms = Vec::new();
    for (arm, seeds) in study.arms.iter().zip(&scored) {
        let (mut all, mut found) = (BTreeMap::<String, Vec<f64>>::new(), Vec::<(String, Vec<Finding>)>::new());
        for lines in seeds.iter().filter(|lines| !lines.is_empty()) {
            scores(lines).into_iter().for_each(|(name, score)| all.entry(name).or_default().push(score));
            for (index, (name, finding)) in findings(lines, &study.watch).into_iter().enumerate() {
                match found.get_mut(index) {
                    Some((_, seeds)) => seeds.push(finding),
                    None => found.push((name, vec![finding])),
                }
            }
        }
        arms.push(ArmScores { arm: arm.name.clone(), scores: all, findings: found });
    }
    let ids = |arm: usize| scored[arm].first().map(|lines| lines.iter().map(|line| &line.id).collect::<Vec<_>>());
    let pairs = study.baselines().into_iter().flat_map(|base| (0..study.arms.len()).map(move |arm| (arm, base)));
    // Arms with studies of their own cannot be compared in pairs.
    let between: Vec<(usize, usize)> = pairs.filter(|(arm, base)| arm != base && ids(*arm) == ids(*base)).collect();
    let mut needed: Vec<usize> = between.iter().flat_map(|(arm, base)| [*arm, *base]).collect();
    needed.sort_unstable();
    needed.dedup();
    let counted: Vec<Seeds> = needed
        .iter()
        .map(|arm| {
            scored[*arm].iter().map(|lines| lines.iter().map(|line| Pair::from(&line.judged)).collect()).collect()
        })
        .collect();
    let place = |arm: usize| needed.binary_search(&arm).unwrap_or_default();
    let places: Vec<(usize, usize)> = between.iter().map(|(arm, base)| (place(*arm), place(*base))).collect();
    let gaps = gaps(&counted, &places, &Resampling::default())?;
    let differences = between.iter().zip(gaps).map(|((arm, base), gaps)| Difference {
        arm: study.arms[*arm].name.clone(),
        baseline: study.arms[*base].name.clone(),
        gaps: ClinicalScores::QUALITIES.iter().copied().zip(gaps).collect(),
    });
    let studies = scored.iter().flatten().map(Vec::len).max().unwrap_or(0);
    let differences = differences.collect();
    Ok(TestSummary { set: set.into(), temperature, studies, arms, differences })
}
