//! How each kind of job is done.

use std::{
    fs,
    io::ErrorKind,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use addendum_actors::Scores;
use addendum_policy::{
    Adapter, Policy, SamplingConfig, checkpoint::write_whole, device::device, merge::merge_folder, sft::SftTrainer,
};
use addendum_replay::{StudyOrder, TicketId};
use addendum_rewards::evaluate::Judged;
use addendum_studies::Dataset;
use anyhow::{Context, Result};
use candle_core::DType;
use serde::{Deserialize, Serialize};

use super::{
    job::{ADAPTER, CHECKPOINT, Checkpoint, Job, REPORTS, Sets, Work},
    samples,
    supervision::{HeldOutScores, SAVE_EVERY, Supervision, begun},
};
use crate::{
    qwen::Prompts,
    report::{progress::Progress, run_folder::RunFolder},
    train::{
        Settings, Training,
        data::{Data, DataConfig},
        held_out::HeldOut,
        interrupt::Interrupt,
        supervised::{self, SftPlan},
        training::CONFIG,
    },
};

/// A report of a scoring.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Line {
    /// Such as `in-domain`.
    pub set: String,
    /// The study's id.
    pub id: String,
    /// The length limit came before its end.
    pub truncated: bool,
    /// The report with its reference and what both say.
    #[serde(flatten)]
    pub judged: Judged,
}

/// Studies as a configuration names them.
pub type Load = dyn Fn(&DataConfig) -> Result<Data> + Send + Sync;

/// Where a job is done.
pub struct Bench<'a> {
    /// The study's folder.
    pub out: &'a Path,
    /// Instead of those that the settings name.
    pub device: Option<&'a str>,
    pub load: &'a Load,
    pub progress: &'a Progress,
    pub interrupt: &'a Interrupt,
}

impl Bench<'_> {
    /// Does the job, or what is left of it. Its needs are done.
    ///
    /// # Errors
    /// Whatever fails; the user wants to stop.
    pub fn work(&self, job: &Job) -> Result<()> {
        self.interrupt.check()?;
        let (folder, clock) = (job.folder(self.out), Instant::now());
        match &job.work {
            Work::Reinforce { settings, start, minutes } => {
                let seconds = self.reinforce(job, &self.placed(settings, start), *minutes)?;
                return job.finish(self.out, seconds);
            }
            Work::Teach { .. } | Work::Supervise { .. } if begun(&folder) => {}
            _ => empty(&folder)?,
        }
        match &job.work {
            Work::Reinforce { .. } => {}
            Work::Teach { from, data, plan } => return self.teach(job, from.as_ref(), data, plan),
            Work::Supervise { settings, start, plan, minutes } => {
                return self.supervise(job, &self.placed(settings, start), plan, *minutes);
            }
            Work::Look { settings, run, watch } => {
                let data = (self.load)(&settings.data)?;
                let metrics = settings.reward_models.load()?.patient(settings.patience)?.scoring;
                samples::look(&run.folder(self.out), &folder, settings, &data, &metrics, watch)?;
            }
            Work::Score { settings, start, run, sets, temperature } => {
                let settings = self.placed(settings, start);
                let text = self.score(job, &settings, run.as_deref(), *sets, *temperature)?;
                write_whole(&folder.join(REPORTS), text.as_bytes())?;
            }
        }
        job.finish(self.out, clock.elapsed().as_secs_f64())
    }

    /// The settings with the checkpoint where it is, on this bench's device.
    fn placed(&self, settings: &Settings, start: &Checkpoint) -> Settings {
        let mut settings = settings.clone();
        settings.policy.path = start.path(self.out);
        if let Some(device) = self.device {
            settings.policy.device = device.into();
            settings.policy.sampler_devices.clear();
            settings.policy.learner_devices.clear();
        }
        settings
    }

    fn teach(&self, job: &Job, from: Option<&Checkpoint>, data: &DataConfig, plan: &SftPlan) -> Result<()> {
        let place = device(self.device.unwrap_or("cpu"))?;
        let studies = (self.load)(data)?.supervised;
        let path = from.map(|from| from.path(self.out));
        let policy = match &path {
            Some(path) => Policy::load(path, DType::F32, &place)?,
            None => supervised::fresh_policy(&*studies, plan, &place)?,
        };
        let order = supervised::epochs(plan.seed, studies.len());
        let supervision = self.supervision(job);
        let (trainer, seconds) = supervision.train(&policy, &*studies, order, plan, None)?;
        let folder = &supervision.folder;
        match (supervised::adapter(&policy, plan, &trainer)?, path) {
            (Some(adapter), Some(path)) => {
                adapter.save_peft(&folder.join(ADAPTER), &path.display().to_string())?;
                merge_folder(&path, &folder.join(ADAPTER), &folder.join(CHECKPOINT))?;
            }
            _ => supervised::trained(&policy, &trainer)?.save(&folder.join(CHECKPOINT))?,
        }
        supervision.end()?;
        job.finish(self.out, seconds)
    }

    fn supervise(&self, job: &Job, settings: &Settings, plan: &SftPlan, minutes: Option<f64>) -> Result<()> {
        let data = (self.load)(&settings.data)?;
        let policy = Arc::new(load(settings, plan.lora.is_none())?);
        let mut tickets = StudyOrder::new(settings.run.seed, data.training.len());
        let order = (0..).map(move |ticket| tickets.study_of(TicketId(ticket), 0));
        let metrics = settings.reward_models.load()?.patient(settings.patience)?.scoring;
        let score = |trainer: &SftTrainer| {
            let adapter = supervised::adapter(&policy, plan, trainer)?;
            let writer = match &adapter {
                Some(_) => policy.clone(),
                None => Arc::new(supervised::trained(&policy, trainer)?),
            };
            let prompts = Arc::new(Prompts::new(writer, 0));
            let mut all = Scores::new();
            for (set, dataset) in &data.validation {
                let held_out = HeldOut {
                    prompts: prompts.clone(),
                    dataset: dataset.clone(),
                    studies: settings.evaluation.studies,
                    sampling: settings.evaluation.sampling(),
                    metrics: metrics.clone(),
                };
                let scores = held_out.evaluate(adapter.as_ref(), |_| self.interrupt.check())?.named();
                all.extend(scores.into_iter().map(|(metric, score)| (format!("{set}/{metric}"), score)));
            }
            Ok(all)
        };
        let every = settings.run.evaluate_every;
        let held_out = (every > 0).then_some(HeldOutScores { every, score: &score });
        let supervision = Supervision { held_out, ..self.supervision(job) };
        let (trainer, seconds) = supervision.train(&policy, &*data.training, order, plan, minutes)?;
        let folder = &supervision.folder;
        match supervised::adapter(&policy, plan, &trainer)? {
            Some(adapter) => adapter.save_peft(&folder.join(ADAPTER), &settings.policy.base_name())?,
            None => supervised::trained(&policy, &trainer)?.save(&folder.join(CHECKPOINT))?,
        }
        supervision.end()?;
        job.finish(self.out, seconds)
    }

    fn supervision<'b>(&'b self, job: &'b Job) -> Supervision<'b> {
        Supervision {
            folder: job.folder(self.out),
            about: &job.about,
            save_every: SAVE_EVERY,
            progress: self.progress,
            interrupt: self.interrupt,
            held_out: None,
        }
    }

    /// The seconds that the run's steps took, those before it was resumed included.
    fn reinforce(&self, job: &Job, settings: &Settings, minutes: Option<f64>) -> Result<f64> {
        let folder = job.folder(self.out);
        let training = if folder.join(CONFIG).exists() {
            Training::resumed(&folder, |_| Ok(settings.clone()))?
        } else {
            Training::new(settings.clone()).out(&folder)
        };
        let mut training = training.data((self.load)(&settings.data)?).name(&job.about).progress(self.progress.clone());
        if let Some(minutes) = minutes {
            let spent = Duration::from_secs_f64(samples::seconds(&folder)?);
            training = training.at_most(Duration::from_secs_f64(60.0 * minutes).saturating_sub(spent));
        }
        let run = training.interrupt(self.interrupt.clone()).prepare()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.context("the asynchronous runtime could not be started")?.block_on(run.train())?;
        samples::seconds(&folder)
    }

    fn score(&self, job: &Job, settings: &Settings, run: Option<&Job>, sets: Sets, temperature: f64) -> Result<String> {
        let data = (self.load)(&settings.data)?;
        let metrics = settings.reward_models.load()?.patient(settings.patience)?.scoring;
        let mut settings = settings.clone();
        let mut adapter = None;
        if let Some(folder) = run.map(|run| run.folder(self.out)) {
            if folder.join(CHECKPOINT).exists() {
                settings.policy.path = folder.join(CHECKPOINT);
            } else {
                adapter = Some(folder.join(ADAPTER));
            }
        }
        let policy = load(&settings, false)?;
        let adapter = adapter.map(|path| Adapter::load_peft(policy.config(), &path, policy.device())).transpose()?;
        let prompts = Arc::new(Prompts::new(Arc::new(policy), 0));
        let mut text = String::new();
        let held_out = match sets {
            Sets::Validation => data.validation,
            Sets::Tests => data.tests,
        };
        for (set, dataset) in held_out {
            let mut counting = self.progress.counting(format!("{}, {set}", job.about), dataset.len() as u64, "studies");
            let sampling = SamplingConfig { temperature, ..settings.evaluation.sampling() };
            let held_out =
                HeldOut { prompts: prompts.clone(), dataset, studies: usize::MAX, sampling, metrics: metrics.clone() };
            let evaluation = held_out.evaluate(adapter.as_ref(), |reports| {
                counting.advance(reports.len() as u64);
                self.interrupt.check()
            });
            let evaluation = evaluation.with_context(|| format!("evaluation on {set}"))?;
            counting.finish();
            for (report, judged) in evaluation.reports.into_iter().zip(evaluation.judged) {
                let line = Line { set: set.clone(), id: report.id, truncated: report.truncated, judged };
                text += &format!("{}\n", serde_json::to_string(&line)?);
            }
        }
        Ok(text)
    }
}

fn load(settings: &Settings, trainable: bool) -> Result<Policy> {
    let config = &settings.policy;
    let dtype = if trainable { DType::F32 } else { config.dtype.into() };
    let policy = Policy::load(&config.path, dtype, &device(&config.device)?)?;
    Ok(match config.pixels {
        Some(limits) => policy.with_pixels(limits)?,
        None => policy,
    })
}

/// Makes an empty folder.
fn empty(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("{}: cannot be emptied", folder.display()));
        }
        _ => {}
    }
    RunFolder::create(folder)?;
    Ok(())
}
