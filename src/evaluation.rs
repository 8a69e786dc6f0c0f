//! Held-out evaluation: one report per study of a dataset, scored by every clinical metric.

use std::sync::Arc;

use addendum_actors::{BackendError, Evaluate, Scores};
use addendum_policy::{Adapter, SamplingConfig, filter::TokenSampler, generate::GenerateRequest};
use addendum_rewards::{
    evaluate::{ClinicalScores, evaluate as clinical_scores},
    score::Backends,
};
use addendum_studies::Dataset;
use anyhow::{Context, Result};

use crate::qwen::Prompts;

/// Studies whose reports are written together.
const BATCH: usize = 32;

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
    /// Writes and scores a report for every study. `progress` hears how many are written.
    ///
    /// Studies are batched in order, so the result does not depend on threads or on what else runs.
    pub fn evaluate(&self, adapter: Option<&Adapter>, mut progress: impl FnMut(usize)) -> Result<Evaluation> {
        let policy = self.prompts.policy();
        let sampler = TokenSampler::new(self.sampling.clone())?;
        let (mut reports, mut references) = (Vec::new(), Vec::new());
        for first in (0..self.dataset.len()).step_by(BATCH) {
            let mut requests = Vec::with_capacity(BATCH);
            for index in first..(first + BATCH).min(self.dataset.len()) {
                let study = self.dataset.study(index)?;
                let prompt = self.prompts.encode(&study.id, &(&study).into())?;
                requests.push(GenerateRequest { prompt, seeds: vec![index as u64] });
                references.push(study.reference.text().to_string());
            }
            for samples in policy.generate(adapter, &requests, &sampler)? {
                let sample = samples.first().context("no report was generated for a study")?;
                reports.push(policy.tokenizer().decode(&sample.tokens));
            }
            progress(reports.len());
        }
        let written: Vec<&str> = reports.iter().map(String::as_str).collect();
        let references: Vec<&str> = references.iter().map(String::as_str).collect();
        let scores = clinical_scores(&self.metrics, &written, &references)?;
        Ok(Evaluation { reports, scores })
    }
}

impl Evaluate<Adapter> for HeldOut {
    fn evaluate(&mut self, adapter: &Adapter) -> Result<Scores, BackendError> {
        Ok(HeldOut::evaluate(self, Some(adapter), |_| {})?.named()?)
    }
}
