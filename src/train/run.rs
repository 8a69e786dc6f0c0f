//! A prepared run: evaluated before, trained, evaluated after, reported.

use std::sync::Arc;

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
    reward_models::Annotators,
    settings::Settings,
};
use crate::qwen::Prompts;
use crate::report::{plots, progress::Progress, results, run_folder::RunFolder, tensorboard::Tensorboard};

/// A run with everything loaded.
pub struct Run {
    pub(super) settings: Settings,
    pub(super) name: String,
    pub(super) placement: Placement,
    pub(super) annotators: Annotators,
    pub(super) data: Data,
    pub(super) folder: RunFolder,
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
        let mut shown = training.observer();
        let folder = self.folder.path().join("tensorboard");
        let mut board = self.settings.telemetry.tensorboard.then(|| Tensorboard::create(&folder)).transpose()?;
        let observer = move |event: &Event| {
            shown(event);
            board.iter_mut().for_each(|board| board.observe(event));
        };
        let summary = pipeline.observer(observer).run().await.with_context(resume)?;
        training.finish();
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

    /// Writes and prints a table per test set; the first row is what the others are compared with.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn report(&self, rows: &[(&str, Vec<Evaluation>)]) -> Result<()> {
        let judged = |(name, evaluations): &(_, Vec<Evaluation>)| {
            (*name, evaluations.iter().map(|evaluation| evaluation.judged.clone()).collect())
        };
        results::publish(&self.data.tests, &rows.iter().map(judged).collect::<Vec<_>>(), &self.folder)
    }
}
