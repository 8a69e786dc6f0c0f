//! The pages of a study: one for each chosen run, and one for each level that shows its arms side by side. They are made of
//! files that are there anyway; one that cannot be made is told, and no reason to fail.

use std::{path::Path, sync::Arc};

use addendum_policy::checkpoint::write_whole;
use anyhow::{Context, Result};

use super::{
    execution::Execution,
    job::{Job, Work},
    plan::{Choice, LevelPlan, Plan},
    results::lines,
    subject::Subject,
};
use crate::{
    report::{
        page::{Find, MOST_RUNS, Page},
        run::Run,
        run_folder::RunFolder,
        tested::{self, TESTS, Tested},
    },
    train::{
        data::{Data, DataConfig},
        recall::Recall,
        run::REPORT,
        settings::Settings,
    },
};

/// The page of a level within the study's folder.
pub(super) fn of_level(plan: &Plan, level: usize) -> String {
    if plan.levels.len() > 1 { format!("report-level-{}.html", level + 1) } else { REPORT.into() }
}

/// The page of a run within the study's folder, if there is one.
pub(super) fn of_run(job: &Job, out: &Path) -> Option<String> {
    job.folder(out).join(REPORT).exists().then(|| format!("jobs/{}/{REPORT}", job.id))
}

/// A run that has a page: by reinforcement, and so with a folder that says everything about it.
struct Shown<'a> {
    arm: &'a str,
    job: &'a Arc<Job>,
    settings: &'a Settings,
    subject: &'a Subject,
    /// The arm that it began as, if that was scored too.
    before: Option<(&'a str, &'a Subject)>,
}

impl Execution {
    /// Writes the pages of what was chosen. A run that has one keeps it.
    pub fn pages(&self, plan: &Plan, choice: &Choice) {
        let mut studies = Studies { load: &*self.load, known: Vec::new() };
        for (place, (level, points)) in plan.levels.iter().zip(choice).enumerate() {
            let shown = shown(plan, level, points);
            let written = shown.iter().try_for_each(|shown| self.page_of_run(shown, &mut studies));
            let written = written.and_then(|()| self.page_of_level(plan, place, &shown, &mut studies));
            if let Err(error) = written {
                self.progress.note(format!("warning: the study has not all of its pages: {error:#}"));
            }
        }
    }

    fn page_of_run(&self, shown: &Shown<'_>, studies: &mut Studies<'_>) -> Result<()> {
        let folder = RunFolder::open(shown.job.folder(&self.out))?;
        if !folder.path().join(TESTS).exists() {
            folder.write(TESTS, tested::lines(&shown.tested(&self.out)?)?.as_bytes())?;
        }
        if !folder.path().join(REPORT).exists() {
            let runs = [shown.read(&self.out)?];
            let recall = studies.of(shown.settings)?;
            let page = Page { title: None, runs: &runs, find: &|_, place| recall.find(place) };
            folder.write(REPORT, page.html()?.as_bytes())?;
        }
        Ok(())
    }

    fn page_of_level(&self, plan: &Plan, place: usize, shown: &[Shown<'_>], studies: &mut Studies<'_>) -> Result<()> {
        if shown.len() < 2 {
            return Ok(());
        }
        let mut arms: Vec<Vec<&Shown<'_>>> = Vec::new();
        for one in shown {
            match arms.last_mut().filter(|arm| arm[0].arm == one.arm) {
                Some(arm) => arm.push(one),
                None => arms.push(vec![one]),
            }
        }
        // As many seeds of each arm as there is room for.
        let seeds = (MOST_RUNS / arms.len()).max(1);
        let shown: Vec<&Shown<'_>> =
            arms.into_iter().flat_map(|arm| arm.into_iter().take(seeds)).take(MOST_RUNS).collect();
        let runs = shown.iter().map(|shown| shown.read(&self.out)).collect::<Result<Vec<_>>>()?;
        let recalls = shown.iter().map(|shown| studies.of(shown.settings)).collect::<Result<Vec<_>>>()?;
        let find: &Find<'_> = &|run, place| {
            let known = runs.iter().position(|other| other.path == run.path);
            known.map_or_else(|| Err("the run is not known".into()), |at| recalls[at].find(place))
        };
        let level = &plan.levels[place].name;
        let title = if level.is_empty() { plan.study.name.clone() } else { format!("{}, {level}", plan.study.name) };
        let page = Page { title: Some(&title), runs: &runs, find }.html()?;
        let path = self.out.join(of_level(plan, place));
        write_whole(&path, page.as_bytes()).with_context(|| format!("{}: cannot be written", path.display()))
    }
}

fn shown<'a>(plan: &'a Plan, level: &'a LevelPlan, points: &[usize]) -> Vec<Shown<'a>> {
    let chosen = plan.study.arms.iter().zip(&level.arms).zip(points);
    let subjects = chosen.flat_map(|((arm, made), point)| {
        level.subjects(&made.points[*point]).map(move |subject| (arm.name.as_str(), subject))
    });
    let subjects: Vec<(&str, &Subject)> = subjects.collect();
    let untrained = |subject: &&(&str, &Subject)| subject.1.run.is_none();
    let before = |settings: &Settings| {
        let same = |other: &&(&str, &Subject)| {
            let Work::Score { settings: other, .. } = &other.1.validation.work else { return false };
            (&other.policy.path, &other.data) == (&settings.policy.path, &settings.data)
        };
        subjects.iter().filter(untrained).find(same).copied()
    };
    let shown = subjects.iter().filter_map(|(arm, subject)| {
        let job = subject.run.as_ref()?;
        let Work::Reinforce { settings, .. } = &job.work else { return None };
        Some(Shown { arm, job, settings, subject, before: before(settings) })
    });
    shown.collect()
}

impl Shown<'_> {
    fn read(&self, out: &Path) -> Result<Run> {
        let run = Run::read(&self.job.folder(out))?;
        Ok(Run { name: self.job.about.clone(), ..run })
    }

    /// What was written for the test studies at the first temperature, before and after.
    fn tested(&self, out: &Path) -> Result<Vec<Tested>> {
        let after = (self.arm, self.subject);
        let mut all: Vec<Tested> = Vec::new();
        for (policy, subject) in self.before.into_iter().chain([after]) {
            let Some(job) = subject.tests.first() else { continue };
            for (place, line) in lines(&job.folder(out))?.iter().enumerate() {
                if all.len() <= place {
                    all.push(Tested::new(&line.set, &line.id, &line.judged));
                }
                all[place].add(policy, line.truncated, &line.judged);
            }
        }
        Ok(all)
    }
}

/// Datasets, each loaded when somebody first asks, and once.
struct Studies<'a> {
    load: &'a super::Load,
    known: Vec<(DataConfig, Data)>,
}

impl Studies<'_> {
    fn of(&mut self, settings: &Settings) -> Result<Recall> {
        let known = self.known.iter().position(|(config, _)| *config == settings.data);
        let place = match known {
            Some(place) => place,
            None => {
                self.known.push((settings.data.clone(), (self.load)(&settings.data)?));
                self.known.len() - 1
            }
        };
        Ok(Recall::new(self.known[place].1.clone(), settings.run.seed))
    }
}
