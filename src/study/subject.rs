//! What an arm comes to under one seed: its run, and the scorings of what came of it.

use std::sync::Arc;

use anyhow::Result;
use toml::Table;

use super::{
    file::Study,
    job::{Checkpoint, Contents, Job, Sets, Work},
};
use crate::train::{
    settings::{Problem, Settings, merge},
    supervised::SftPlan,
};

/// What is scored: a checkpoint, or what a run made of it.
#[derive(Clone, Debug)]
pub struct Subject {
    pub run: Option<Arc<Job>>,
    /// What its sampled reports said.
    pub look: Option<Arc<Job>>,
    pub validation: Arc<Job>,
    /// One scoring for each temperature.
    pub tests: Vec<Arc<Job>>,
}

/// What the jobs of one subject have in common.
pub struct Jobs<'a> {
    pub contents: &'a Contents,
    pub settings: &'a Settings,
    pub start: &'a Checkpoint,
    pub minutes: Option<f64>,
}

impl Jobs<'_> {
    pub fn reinforced(&self, name: &str, study: &Study) -> Result<Subject> {
        let (settings, start, minutes) = (Box::new(self.settings.clone()), self.start.clone(), self.minutes);
        let run = Job::new(name.into(), Work::Reinforce { settings, start, minutes }, self.contents)?;
        let (settings, watch) = (Box::new(self.settings.clone()), study.watch.clone());
        let look = Work::Look { settings, run: run.clone(), watch };
        let look = Job::new(format!("{name}: its samples"), look, self.contents)?;
        Ok(Subject { look: Some(look), ..self.subject(name, Some(run), study)? })
    }

    pub fn supervised(&self, name: &str, plan: SftPlan, study: &Study) -> Result<Subject> {
        let (settings, start, minutes) = (Box::new(self.settings.clone()), self.start.clone(), self.minutes);
        let run = Job::new(name.into(), Work::Supervise { settings, start, plan, minutes }, self.contents)?;
        self.subject(name, Some(run), study)
    }

    pub fn subject(&self, name: &str, run: Option<Arc<Job>>, study: &Study) -> Result<Subject> {
        let score = |sets, temperature: f64| {
            let about = match sets {
                Sets::Validation => format!("{name}: validation"),
                Sets::Tests => format!("{name}: tests, T = {temperature}"),
            };
            let (settings, start, run) = (Box::new(self.settings.clone()), self.start.clone(), run.clone());
            Job::new(about, Work::Score { settings, start, run, sets, temperature }, self.contents)
        };
        let tests = study.tests.temperatures.iter().map(|temperature| score(Sets::Tests, *temperature));
        let (validation, tests) = (score(Sets::Validation, 0.0)?, tests.collect::<Result<_>>()?);
        Ok(Subject { run, look: None, validation, tests })
    }
}

/// Supervision as long and as fast as the run's reinforcement, unless `given` says otherwise.
pub fn supervision(settings: &Settings, given: Table, lora: bool) -> Result<SftPlan, Problem> {
    let schedule = &settings.learner.schedule;
    let usual = SftPlan {
        steps: settings.run.steps,
        batch_size: usize::try_from(settings.run.batch_groups).unwrap_or(usize::MAX),
        learning_rate: schedule.learning_rate,
        warmup_steps: schedule.warmup_steps,
        weight_decay: settings.learner.optimizer.weight_decay,
        decay: schedule.decay,
        seed: settings.run.seed,
        lora: lora.then(|| settings.lora.clone()),
        ..SftPlan::default()
    };
    let mut whole = Table::try_from(&usual).map_err(|error| Problem::new("sft", error))?;
    merge(&mut whole, given);
    let plan: SftPlan = whole.try_into().map_err(|error: toml::de::Error| Problem::new("sft", error.message()))?;
    plan.validate().map_err(|error| Problem::new("sft", format!("{error:#}")))?;
    Ok(plan)
}
