//! Held-out evaluation: one report per study of a dataset, scored by every clinical metric.

use std::{
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use addendum_actors::{BackendError, Evaluate, Scores};
use addendum_kernels::serially;
use addendum_policy::{
    Adapter, SamplingConfig,
    generate::{GenerateRequest, Sample},
    sampling::TokenSampler,
};
use addendum_rewards::{
    evaluate::{ClinicalScores, evaluate as clinical_scores},
    score::Backends,
};
use addendum_studies::Dataset;
use anyhow::{Context, Result};
use rayon::prelude::*;

use crate::{qwen::Prompts, report::progress::Progress};

/// Studies whose reports are written together.
const BATCH: usize = 16;

/// Tokens after which an evaluated report is cut.
const LONGEST_REPORT: usize = 96;

/// What is evaluated on what.
#[derive(Clone)]
pub struct HeldOut {
    pub prompts: Arc<Prompts>,
    pub dataset: Arc<dyn Dataset>,
    /// Usually greedy.
    pub sampling: SamplingConfig,
    pub metrics: Backends,
}

/// The reports of a dataset, in its order, and their scores.
pub struct Evaluation {
    pub reports: Vec<String>,
    pub scores: ClinicalScores,
}

impl Evaluation {
    /// The scores by name.
    pub fn named(&self) -> Result<Scores> {
        let json = serde_json::to_value(&self.scores)?;
        let fields = json.as_object().context("scores are not an object")?;
        Ok(fields.iter().filter_map(|(name, value)| Some((name.clone(), value.as_f64()?))).collect())
    }
}

impl HeldOut {
    /// Writes and scores a report for every study. `progress` hears of some more studies at a time.
    ///
    /// Studies are batched in order and a batch stays on one thread, so the result does not depend on threads or on
    /// what else runs.
    pub fn evaluate(&self, adapter: Option<&Adapter>, progress: impl FnMut(usize) + Send) -> Result<Evaluation> {
        let sampler = TokenSampler::new(self.sampling.clone())?;
        let progress = Mutex::new(progress);
        let firsts: Vec<usize> = (0..self.dataset.len()).step_by(BATCH).collect();
        let batches: Vec<Vec<(String, String)>> = firsts
            .into_par_iter()
            .map(|first| {
                let batch = first..(first + BATCH).min(self.dataset.len());
                let written = serially(|| self.write(batch, adapter, &sampler))?;
                progress.lock().unwrap_or_else(PoisonError::into_inner)(written.len());
                Ok(written)
            })
            .collect::<Result<_>>()?;
        let (reports, references): (Vec<String>, Vec<String>) = batches.into_iter().flatten().unzip();
        let texts: Vec<&str> = reports.iter().map(String::as_str).collect();
        let truth: Vec<&str> = references.iter().map(String::as_str).collect();
        let scores = clinical_scores(&self.metrics, &texts, &truth)?;
        Ok(Evaluation { reports, scores })
    }

    /// Reports with their references.
    fn write(
        &self,
        batch: Range<usize>,
        adapter: Option<&Adapter>,
        sampler: &TokenSampler,
    ) -> Result<Vec<(String, String)>> {
        let policy = self.prompts.policy();
        let (mut requests, mut references) = (Vec::new(), Vec::new());
        for index in batch {
            let study = self.dataset.study(index)?;
            let prompt = self.prompts.encode(&study.id, &(&study).into())?;
            requests.push(GenerateRequest { prompt, seeds: vec![index as u64] });
            references.push(study.reference.text().to_string());
        }
        let samples = policy.generate(adapter, &requests, sampler)?;
        let report = |samples: Vec<Sample>| -> Result<String> {
            let sample = samples.first().context("no report was generated for a study")?;
            Ok(policy.tokenizer().decode(&sample.tokens))
        };
        samples.into_iter().map(report).zip(references).map(|(report, reference)| Ok((report?, reference))).collect()
    }
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
        let first = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add((index * count) as u64);
        let seeds = (0..count as u64).map(|sample| first.wrapping_add(sample)).collect();
        let samples = serially(|| policy.generate(None, &[GenerateRequest { prompt, seeds }], &sampler))?;
        let reports = samples.iter().flatten().map(|sample| policy.tokenizer().decode(&sample.tokens)).collect();
        Ok((study.reference.text().to_string(), reports))
    };
    (0..dataset.len()).into_par_iter().map(of_study).collect()
}

/// Scores of greedy reports on every test set, in order.
pub fn on_tests(
    tests: &[(String, Arc<dyn Dataset>)],
    prompts: &Arc<Prompts>,
    adapter: Option<&Adapter>,
    metrics: &Backends,
    progress: &Progress,
) -> Result<Vec<Scores>> {
    let scores = tests.iter().map(|(name, dataset)| {
        let held_out = HeldOut {
            prompts: prompts.clone(),
            dataset: dataset.clone(),
            sampling: SamplingConfig::greedy(LONGEST_REPORT),
            metrics: metrics.clone(),
        };
        let mut counting = progress.counting(format!("evaluating {name}"), dataset.len() as u64, "studies");
        let evaluation = held_out.evaluate(adapter, |studies| counting.advance(studies as u64));
        counting.finish();
        evaluation.and_then(|evaluation| evaluation.named()).with_context(|| format!("evaluation on {name}"))
    });
    scores.collect()
}

impl Evaluate<Adapter> for HeldOut {
    fn evaluate(&mut self, adapter: &Adapter) -> Result<Scores, BackendError> {
        Ok(HeldOut::evaluate(self, Some(adapter), |_| {})?.named()?)
    }
}
