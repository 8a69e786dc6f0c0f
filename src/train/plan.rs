//! A run on paper: everything about it that can be checked without computing, and what it will need.

mod devices;
mod findings;
mod model;
mod studies;
#[cfg(test)]
mod tests;
mod text;

use std::{collections::BTreeMap, path::PathBuf};

use addendum_actors::Recording;
use serde::Serialize;

use super::{
    evaluation::check_metric,
    prometheus,
    sampler::Engine,
    settings::Problem,
    training::{Place, Training},
};
use crate::{host, report::run_folder::RunFolder, vllm};
use devices::DevicePlan;
use findings::Findings;
use model::ModelPlan;
use studies::{Lengths, SetPlan};

/// What a run would do, and what is wrong with it. With any problem it would fail.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// How much is to do.
    pub work: Work,
    /// The sets of studies, the training set first.
    pub sets: Vec<SetPlan>,
    /// Tokens of the sample's prompts, images included.
    pub prompts: Option<Lengths>,
    /// Tokens of the sample's references, their end included.
    pub references: Option<Lengths>,
    /// The checkpoint; `None` where it cannot be read.
    pub model: Option<ModelPlan>,
    /// What each device must give.
    pub devices: Vec<DevicePlan>,
    /// `None` where the model's size is not known.
    pub disk: Option<Disk>,
    /// Where rewards and edits come from: a path, an address, or the lexicon, by back end.
    pub rewards: BTreeMap<String, String>,
    /// Each of them would end the run.
    pub problems: Vec<Problem>,
    /// What a run does in spite of, and may regret.
    pub warnings: Vec<Problem>,
}

/// Bytes of a sampled token in a recording: its id, its log-probability and its text.
const RECORDED_TOKEN: u64 = 30;

/// How much is to do.
#[derive(Clone, Debug, Serialize)]
pub struct Work {
    /// What the paper calls it, such as `EditGRPO`.
    pub method: String,
    /// Where the run's files go.
    pub folder: PathBuf,
    /// Whether an earlier run goes on.
    pub resumed: bool,
    /// Of the whole run.
    pub steps: u64,
    /// Groups that are trained on.
    pub groups: u64,
    /// Reports of a group.
    pub group_size: usize,
    /// Reports that are trained on.
    pub rollouts: u64,
    /// Those of them that are sampled; the others are edited.
    pub sampled: u64,
    /// How often the training studies are gone through.
    pub epochs: Option<f64>,
    /// Evaluations on validation studies while the run trains.
    pub evaluations: u64,
}

/// What the run folder must hold.
#[derive(Clone, Debug, Serialize)]
pub struct Disk {
    /// Bytes of the kept checkpoints at most, one more while it is written.
    pub checkpoints: u64,
    /// Bytes of the recorded reports at most, where they are recorded: as many as if each were of full length.
    pub recording: Option<u64>,
    /// Bytes that the disk can still give, where the system tells.
    pub free: Option<u64>,
}

impl Training {
    /// Checks everything that can be checked without computing: settings, folder, a sample of the studies with their
    /// images, tokenizer and chat template, the headers of all weights, devices, ports. Nothing is written, no weight is
    /// read.
    pub fn plan(&self) -> Plan {
        let settings = self.settings();
        let mut findings = Findings::default();
        if let Err(problem) = self.validate() {
            findings.problems.push(problem);
        }
        let folder = self.folder();
        let disk = match self.place {
            Place::Resumed(_) => findings.note("resume", RunFolder::open(&folder).map(|folder| folder.path().into())),
            Place::New(_) => findings.note("out", RunFolder::check(&folder)),
        };
        let (model, processor, memory) = model::check(settings, &mut findings);
        let sets = studies::sets(settings, self.data.as_ref(), &mut findings);
        let validation: Vec<&str> = sets.iter().filter_map(|set| set.validates.as_deref()).collect();
        if let Err(problem) = check_metric(settings.evaluation.keep_best.as_deref(), &validation) {
            findings.problems.push(problem);
        }
        let sample = studies::sample(&sets, processor.as_ref(), &mut findings);
        studies::check_lengths(&sample, settings, &mut findings);
        let devices = devices::check(settings, memory.as_ref(), &sample, &mut findings);
        findings.problems.extend(settings.reward_models.problems());
        if settings.sampler.engine == Engine::Vllm {
            let asked = vllm::unreachable(&settings.sampler.addresses(), &settings.sampler.vllm);
            for error in findings.note("sampler.urls", asked).into_iter().flatten() {
                findings.warning("sampler.urls", error);
            }
        }
        if let (Some(folder), Some(processor)) = (&settings.sampler.recording, &processor) {
            let studies = sets.first().map_or(usize::MAX, |set| set.dataset.len());
            let recording = Recording::open(folder, processor.config().text.vocab_size, studies);
            findings.note("sampler.recording", recording.and_then(|recording| recording.suits(&settings.run)));
        }
        if let Ok(Some(address)) = settings.telemetry.address() {
            findings.note("telemetry.metrics_address", prometheus::available(address));
        }
        // Adapter and both moments, and the adapter of every version that may still be sampled with.
        let adapters =
            settings.run.staleness.saturating_add(4).saturating_mul(settings.run.keep_checkpoints as u64 + 1);
        let recording = settings.records().then(|| {
            let reports = settings.run.sampled_altogether().saturating_mul(settings.sampling.max_new_tokens as u64);
            reports.saturating_mul(RECORDED_TOKEN)
        });
        let disk = memory.map(|memory| Disk {
            checkpoints: memory.adapter().saturating_mul(adapters),
            recording,
            free: disk.and_then(|path| host::free_disk(&path)),
        });
        if let Some(Disk { checkpoints, free: Some(free), .. }) = disk
            && checkpoints > free
        {
            let reason = format!("kept checkpoints take up to {checkpoints} bytes, the run folder's disk has {free}");
            findings.problem("run.keep_checkpoints", reason);
        }
        if let Some(Disk { recording: Some(recording), free: Some(free), .. }) = disk
            && recording > free
        {
            let reason = format!("may write up to {recording} bytes of reports, the run folder's disk has {free}");
            findings.warning("run.record_sampled", reason);
        }
        Plan {
            work: self.work(folder, sets.first().map(|set| set.dataset.len())),
            sets: sample.sets,
            prompts: sample.prompts,
            references: sample.references,
            model,
            devices,
            disk,
            rewards: self.rewards(),
            problems: findings.problems,
            warnings: findings.warnings,
        }
    }

    fn folder(&self) -> PathBuf {
        match &self.place {
            Place::Resumed(path) | Place::New(Some(path)) => path.clone(),
            Place::New(None) => RunFolder::next("runs".as_ref(), &self.numbered),
        }
    }

    fn work(&self, folder: PathBuf, studies: Option<usize>) -> Work {
        let settings = self.settings();
        let run = &settings.run;
        let groups = run.steps.saturating_mul(run.batch_groups);
        let under_way = run.steps.saturating_sub(1).checked_div(run.evaluate_every).unwrap_or(0);
        Work {
            method: settings.method().into(),
            folder,
            resumed: matches!(self.place, Place::Resumed(_)),
            steps: run.steps,
            groups,
            group_size: run.group_size,
            rollouts: groups.saturating_mul(run.group_size as u64),
            sampled: run.sampled_altogether(),
            epochs: studies.filter(|studies| *studies > 0).map(|studies| groups as f64 / studies as f64),
            evaluations: if run.evaluate_every == 0 { 0 } else { u64::from(run.evaluate_first) + under_way + 1 },
        }
    }

    fn rewards(&self) -> BTreeMap<String, String> {
        let settings = self.settings();
        let models = &settings.reward_models;
        let named = [("chexbert", &models.chexbert), ("radgraph", &models.radgraph), ("rate", &models.rate_tagger)];
        let of = |path: &Option<PathBuf>| path.as_ref().map_or("the lexicon".into(), |path| path.display().to_string());
        let services = [("reward service", &settings.services.reward), ("edit service", &settings.services.edit)];
        let services = services.into_iter().filter_map(|(name, one)| Some((name.into(), one.as_ref()?.name())));
        named.into_iter().map(|(name, path)| (name.into(), of(path))).chain(services).collect()
    }
}
