//! Held-out evaluation: one report per study of a dataset, scored by every clinical metric.

use std::{
    fs,
    ops::Range,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use addendum_actors::{EngineError, Evaluate, Scores};
use addendum_kernels::serially;
use addendum_policy::{
    Adapter, SamplingConfig, checkpoint::folder::GENERATION, generate::GenerateRequest, sampling::TokenSampler,
};
use addendum_rewards::{
    evaluate::{ClinicalScores, Judged, judge, pool},
    score::Backends,
};
use addendum_studies::Dataset;
use anyhow::{Context, Result, bail};
use rayon::prelude::*;

use super::interrupt::Interrupt;
use crate::{qwen::Prompts, report::progress::Progress};

/// Studies whose reports are written together.
pub(super) const BATCH: usize = 16;

/// What is evaluated on what.
#[derive(Clone)]
pub struct HeldOut {
    /// The policy with its encoded prompts.
    pub prompts: Arc<Prompts>,
    /// The studies with their references.
    pub dataset: Arc<dyn Dataset>,
    /// At most so many of its first studies.
    pub studies: usize,
    /// Usually greedy.
    pub sampling: SamplingConfig,
    /// What annotates the reports for the scores.
    pub metrics: Backends,
}

/// A report that was written for a study.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The study's place in its dataset.
    pub index: usize,
    /// The study's id.
    pub id: String,
    /// As it was written, without the end token.
    pub text: String,
    /// What it is judged by.
    pub reference: String,
    /// The length limit came before its end.
    pub truncated: bool,
}

/// The reports of a dataset, in its order, and their scores.
pub struct Evaluation {
    /// In the order of the dataset.
    pub reports: Vec<Report>,
    /// Each report by its reference.
    pub judged: Vec<Judged>,
    /// Of all reports together.
    pub scores: ClinicalScores,
}

impl Evaluation {
    /// The scores by name.
    pub fn named(&self) -> Scores {
        self.scores.by_name()
    }
}

impl HeldOut {
    /// How many studies are evaluated.
    pub fn count(&self) -> usize {
        self.dataset.len().min(self.studies)
    }

    /// Writes and scores a report for every study. `observe` gets the reports of some more studies at a time, in any
    /// order; its error ends the evaluation.
    ///
    /// Studies are batched in order and a batch stays on one thread, so the result does not depend on threads or on
    /// what else runs.
    ///
    /// # Errors
    /// A study that cannot be read, a failure while computing, and whatever `observe` returns.
    pub fn evaluate(
        &self,
        adapter: Option<&Adapter>,
        observe: impl FnMut(&[Report]) -> Result<()> + Send,
    ) -> Result<Evaluation> {
        let sampler = TokenSampler::new(self.sampling.clone())?;
        let observe = Mutex::new(observe);
        let firsts: Vec<usize> = (0..self.count()).step_by(BATCH).collect();
        let batches: Vec<Vec<Report>> = firsts
            .into_par_iter()
            .map(|first| {
                let batch = first..(first + BATCH).min(self.count());
                let written = serially(|| self.write(batch, adapter, &sampler))?;
                observe.lock().unwrap_or_else(PoisonError::into_inner)(&written)?;
                Ok(written)
            })
            .collect::<Result<_>>()?;
        let reports = batches.concat();
        let texts: Vec<&str> = reports.iter().map(|report| report.text.as_str()).collect();
        let truth: Vec<&str> = reports.iter().map(|report| report.reference.as_str()).collect();
        let judged = judge(&self.metrics, &texts, &truth)?;
        let scores = pool(&judged.iter().collect::<Vec<_>>());
        Ok(Evaluation { reports, judged, scores })
    }

    fn write(&self, batch: Range<usize>, adapter: Option<&Adapter>, sampler: &TokenSampler) -> Result<Vec<Report>> {
        let policy = self.prompts.policy();
        let (mut requests, mut reports) = (Vec::new(), Vec::new());
        for index in batch {
            let study = self.dataset.study(index)?;
            let prompt = self.prompts.encode(&study.id, &(&study).into())?;
            requests.push(GenerateRequest { prompt, seeds: vec![index as u64] });
            let reference = study.reference.text().to_string();
            reports.push(Report { index, id: study.id, text: String::new(), reference, truncated: false });
        }
        for (report, samples) in reports.iter_mut().zip(policy.generate(adapter, &requests, sampler)?) {
            let sample = samples.first().context("no report was generated for a study")?;
            (report.text, report.truncated) = (policy.tokenizer().decode(&sample.tokens), sample.truncated);
        }
        Ok(reports)
    }
}

/// Tokens that a checkpoint's `generation_config.json` allows a response (`max_new_tokens`), if it says so.
///
/// # Errors
/// A file that cannot be read, or that holds something else there.
pub fn longest_response(checkpoint: &Path) -> Result<Option<usize>> {
    let path = checkpoint.join(GENERATION);
    if !path.exists() {
        return Ok(None);
    }
    let name = || path.display().to_string();
    let json: serde_json::Value = serde_json::from_slice(&fs::read(&path).with_context(name)?).with_context(name)?;
    match &json["max_new_tokens"] {
        serde_json::Value::Null => Ok(None),
        value => match value.as_u64().and_then(|tokens| usize::try_from(tokens).ok()).filter(|tokens| *tokens > 0) {
            Some(tokens) => Ok(Some(tokens)),
            None => bail!("{}: max_new_tokens is {value}, expected a number above 0", name()),
        },
    }
}

/// Seeds of the `count` reports of a study, which depend on `seed` and the study's place in its dataset alone.
pub fn seeds(seed: u64, index: usize, count: usize) -> Vec<u64> {
    let first = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add((index * count) as u64);
    (0..count as u64).map(|sample| first.wrapping_add(sample)).collect()
}

/// The reference of every study of a dataset, and `count` reports that the policy without adapter samples for it.
///
/// The reports of a study depend on `seed` and the study's place in the dataset alone.
pub fn sampled_reports(
    prompts: &Prompts,
    dataset: &dyn Dataset,
    sampling: &SamplingConfig,
    count: usize,
    seed: u64,
) -> Result<Vec<(String, Vec<String>)>> {
    let policy = prompts.policy();
    let sampler = TokenSampler::new(SamplingConfig {
        suppressed_tokens: policy.tokenizer().misplaced_tokens(),
        ..sampling.clone()
    })?;
    let of_study = |index: usize| -> Result<(String, Vec<String>)> {
        let study = dataset.study(index)?;
        let prompt = prompts.encode(&study.id, &(&study).into())?;
        let seeds = seeds(seed, index, count);
        let samples = serially(|| policy.generate(None, &[GenerateRequest { prompt, seeds }], &sampler))?;
        let reports = samples.iter().flatten().map(|sample| policy.tokenizer().decode(&sample.tokens)).collect();
        Ok((study.reference.text().to_string(), reports))
    };
    (0..dataset.len()).into_par_iter().map(of_study).collect()
}

/// The reports of every set and their scores, in order.
///
/// # Errors
/// As [`HeldOut::evaluate`]; the user wants to stop.
pub fn on_sets(
    sets: &[(String, Arc<dyn Dataset>)],
    prompts: &Arc<Prompts>,
    adapter: Option<&Adapter>,
    sampling: &SamplingConfig,
    metrics: &Backends,
    progress: &Progress,
    interrupt: &Interrupt,
) -> Result<Vec<Evaluation>> {
    let evaluations = sets.iter().map(|(name, dataset)| {
        let held_out = HeldOut {
            prompts: prompts.clone(),
            dataset: dataset.clone(),
            studies: usize::MAX,
            sampling: sampling.clone(),
            metrics: metrics.clone(),
        };
        let mut counting = progress.counting(format!("evaluating {name}"), dataset.len() as u64, "studies");
        let evaluation = held_out.evaluate(adapter, |reports| {
            counting.advance(reports.len() as u64);
            interrupt.check()
        });
        let evaluation = evaluation.with_context(|| format!("evaluation on {name}"))?;
        counting.finish();
        Ok(evaluation)
    });
    evaluations.collect()
}

impl Evaluate<Adapter> for HeldOut {
    fn evaluate(&mut self, adapter: &Adapter) -> Result<Scores, EngineError> {
        Ok(HeldOut::evaluate(self, Some(adapter), |_| Ok(()))?.named())
    }
}
