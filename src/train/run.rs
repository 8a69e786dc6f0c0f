//! A prepared run: evaluated before, trained, evaluated after, reported.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use addendum_actors::{Event, Pipeline};
use addendum_policy::Adapter;
use addendum_replay::Mode;
use anyhow::{Context, Result, bail};

use super::{
    data::Data,
    held_out::{self, Evaluation},
    interrupt::Interrupt,
    placement::Placement,
    prometheus,
    recall::Recall,
    reward_models::Annotators,
    settings::Settings,
};
#[cfg(feature = "otlp")]
use crate::otlp::Exporter;
use crate::qwen::Prompts;
use crate::report::{
    ReportError,
    events::{EVENTS, EventLog},
    page::Page,
    plots,
    progress::Progress,
    results,
    run::Run as Folder,
    run_folder::RunFolder,
    tensorboard::Tensorboard,
    terminal::print,
    tested::{self, TESTS, Tested},
    timeline,
};

/// The file of a run folder with its report.
pub const REPORT: &str = "report.html";

/// A run with everything loaded.
pub struct Run {
    pub(super) settings: Settings,
    pub(super) name: String,
    pub(super) placement: Placement,
    pub(super) annotators: Annotators,
    pub(super) data: Data,
    pub(super) folder: RunFolder,
    /// The file that a trace was wanted in.
    pub(super) trace: Option<PathBuf>,
    pub(super) progress: Progress,
    pub(super) interrupt: Interrupt,
    /// Until it is trained.
    pub(super) pipeline: Option<Pipeline<Adapter>>,
}

impl Run {
    /// As the run folder keeps them.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Where the run's files are.
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// The policy on all of its devices.
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// Training, validation and test studies.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// Greedy reports on every test set and their scores, in order; of the checkpoint alone without an adapter.
    ///
    /// # Errors
    /// A study that cannot be read, a back end that fails, or the user's wish to stop.
    pub fn evaluate(&self, adapter: Option<&Adapter>) -> Result<Vec<Evaluation>> {
        self.scores(self.placement.home(), adapter)
    }

    /// The same of another policy.
    ///
    /// # Errors
    /// As [`Run::evaluate`].
    pub fn evaluate_policy(&self, policy: &Arc<Prompts>) -> Result<Vec<Evaluation>> {
        self.scores(policy, None)
    }

    fn scores(&self, prompts: &Arc<Prompts>, adapter: Option<&Adapter>) -> Result<Vec<Evaluation>> {
        let sampling = self.settings.evaluation.sampling();
        let metrics = &self.annotators.scoring;
        held_out::on_sets(&self.data.tests, prompts, adapter, &sampling, metrics, &self.progress, &self.interrupt)
    }

    /// What tells this run from others, by the names that its metrics have for it.
    fn facts(&self) -> [(&'static str, String); 5] {
        let (settings, folder) = (&self.settings, self.folder.path().file_name().unwrap_or_default());
        let mode = match settings.run.mode {
            Mode::FixedLag => "fixed_lag",
            Mode::Latest => "latest",
        };
        [
            ("run", folder.to_string_lossy().into_owned()),
            ("method", settings.method().into()),
            ("algorithm", settings.algorithm.name.clone()),
            ("mode", mode.into()),
            ("version", env!("CARGO_PKG_VERSION").into()),
        ]
    }

    /// Samples, edits, scores and learns until all steps are done; then writes the adapter and the plots.
    ///
    /// # Errors
    /// The run failed, or was stopped: it has a checkpoint then and can be resumed.
    pub async fn train(mut self) -> Result<(Self, Adapter)> {
        let pipeline = self.pipeline.take().context("this run was trained already")?;
        if let Some(address) = self.settings.telemetry.address()? {
            prometheus::serve(address, self.folder.path(), &self.facts())?;
            self.data.measure();
        }
        let training = self.progress.training(self.name.as_str(), self.settings.run.steps);
        let resume = || format!("`addendum train --resume {}` goes on", self.folder.path().display());
        let log = EventLog::open(self.folder.path()).map_err(ReportError::io(self.folder.path().join(EVENTS)))?;
        let log = Arc::new(Mutex::new(log));
        let progress = self.progress.clone();
        let note = move |written: std::io::Result<()>| {
            written.unwrap_or_else(|error| progress.note(format!("{EVENTS}: ends here: {error}")));
        };
        let say = |kind, text: &str| note(log.lock().unwrap_or_else(PoisonError::into_inner).say(kind, text));
        say("started", concat!("Addendum ", env!("CARGO_PKG_VERSION")));
        let folder = self.folder.path().join("tensorboard");
        let mut board = self.settings.telemetry.tensorboard.then(|| Tensorboard::create(&folder)).transpose()?;
        let (mut show, events, noted) = (training.observer(), log.clone(), note.clone());
        let observer = move |event: &Event| {
            show(event);
            board.iter_mut().for_each(|board| board.observe(event));
            noted(events.lock().unwrap_or_else(PoisonError::into_inner).observe(event));
        };
        let pipeline = pipeline.observer(observer);
        #[cfg(feature = "otlp")]
        let exporter = self.settings.telemetry.otlp.as_deref().map(|url| Exporter::start(url, &self.facts()));
        #[cfg(feature = "otlp")]
        let exporter = exporter.transpose()?;
        #[cfg(feature = "otlp")]
        let pipeline = match &exporter {
            Some(exporter) => pipeline.hear_trace(exporter.listener()),
            None => pipeline,
        };
        let trained = pipeline.run().await;
        #[cfg(feature = "otlp")]
        if let Some(exporter) = exporter {
            let sent = tokio::task::spawn_blocking(move || exporter.finish()).await?;
            sent.told_lost().into_iter().for_each(|lost| self.progress.note(lost));
        }
        let summary = match trained {
            Ok(summary) => summary,
            Err(error) => {
                say("failed", &error.to_string());
                return Err(error).with_context(resume);
            }
        };
        training.finish();
        say(if summary.finished { "ended" } else { "stopped" }, "");
        if let Some(trace) = &self.trace {
            let kept = timeline::keep(trace, self.folder.path());
            kept.unwrap_or_else(|error| self.progress.note(format!("the trace is not in the run's folder: {error}")));
        }
        for letter in summary.dead_letters.values() {
            self.progress.note(format!("gave up: {letter}"));
        }
        self.interrupt.check().with_context(resume)?;
        if summary.dead_letters.len() as u64 >= self.settings.run.steps * self.settings.run.batch_groups {
            bail!("nothing was learnt: every study failed");
        }
        let adapter = Adapter::clone(&summary.snapshot);
        adapter.save_peft(&self.folder.path().join("adapter"), &self.settings.policy.base_name())?;
        plots::write(self.folder.path())?;
        Ok((self, adapter))
    }

    /// Writes and prints a table per test set; the first row is what the others are compared with. Then closes the run.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn report(&self, rows: &[(&str, Vec<Evaluation>)]) -> Result<()> {
        let judged = |(name, evaluations): &(_, Vec<Evaluation>)| {
            (*name, evaluations.iter().map(|evaluation| evaluation.judged.clone()).collect())
        };
        results::publish(&self.data.tests, &rows.iter().map(judged).collect::<Vec<_>>(), &self.folder)?;
        self.folder.write(TESTS, tested::lines(&self.tested(rows))?.as_bytes())?;
        self.close()
    }

    /// What every row wrote for every test study.
    fn tested(&self, rows: &[(&str, Vec<Evaluation>)]) -> Vec<Tested> {
        let Some((_, first)) = rows.first() else { return Vec::new() };
        let mut all = Vec::new();
        for (place, ((set, _), evaluation)) in self.data.tests.iter().zip(first).enumerate() {
            for (study, (report, judged)) in evaluation.reports.iter().zip(&evaluation.judged).enumerate() {
                let mut tested = Tested::new(set, &report.id, judged);
                for (policy, evaluations) in rows {
                    let own = evaluations.get(place).and_then(|own| own.reports.get(study).zip(own.judged.get(study)));
                    own.into_iter().for_each(|(report, judged)| tested.add(policy, report.truncated, judged));
                }
                all.push(tested);
            }
        }
        all
    }

    /// Writes the report of the run, and prints where it and everything else is. A report that cannot be made is told, and
    /// no reason to fail.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn close(&self) -> Result<()> {
        let mut text = String::new();
        match self.page() {
            Ok(path) => text += &format!("The report of this run is {}\n", path.display()),
            Err(error) => self.progress.note(format!("warning: the run has no report: {error:#}")),
        }
        text += &format!("Everything about this run is in {}\n", self.folder.path().display());
        Ok(print(&text)?)
    }

    fn page(&self) -> Result<PathBuf> {
        let runs = [Folder::read(self.folder.path())?];
        let recall = Recall::new(self.data.clone(), self.settings.run.seed);
        let page = Page { title: None, runs: &runs, find: &|_, place| recall.find(place) };
        Ok(self.folder.write(REPORT, page.html()?.as_bytes())?)
    }
}
