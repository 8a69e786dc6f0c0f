//! Evaluations while a run trains: scores on held-out studies, and the adapter that had the best ones.

use std::{path::PathBuf, sync::Arc};

use addendum_actors::{EngineError, Evaluate, Scores};
use addendum_policy::{Adapter, SamplingConfig};
use addendum_rewards::{Backends, evaluate::ClinicalScores};
use anyhow::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{data::HeldOutSets, held_out::HeldOut, settings::Problem};
use crate::qwen::Prompts;

/// How held-out studies are scored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluationConfig {
    /// Score the test sets before and after training, as a table. They are never used for anything else.
    pub tests: bool,
    /// Studies of each validation set that are scored while the run goes on. None are where `run.evaluate_every` is 0 and
    /// `keep_best` is not set.
    pub studies: usize,
    /// Tokens after which an evaluated report is cut; as many as a sampled one where not given.
    pub max_new_tokens: usize,
    /// Keep the adapter with the highest of these scores in the folder `best`: a score's name, or a validation set's and
    /// a score's, as in `validation/radgraph_f1`; `average` is the mean of the clinical scores.
    pub keep_best: Option<String>,
}

impl Default for EvaluationConfig {
    fn default() -> Self {
        Self { tests: true, studies: 100, max_new_tokens: SamplingConfig::default().max_new_tokens, keep_best: None }
    }
}

impl EvaluationConfig {
    /// # Errors
    /// No studies, or no tokens.
    pub fn validate(&self) -> Result<(), Problem> {
        for (key, value) in [("studies", self.studies), ("max_new_tokens", self.max_new_tokens)] {
            if value == 0 {
                return Err(Problem::new(key, "is 0, expected at least 1"));
            }
        }
        Ok(())
    }

    /// Greedy, and cut where the settings say.
    pub fn sampling(&self) -> SamplingConfig {
        SamplingConfig::greedy(self.max_new_tokens)
    }
}

/// Scores snapshots on some studies of every validation set.
pub struct Evaluator {
    sets: Vec<(String, HeldOut)>,
    best: Option<Best>,
}

/// The best adapter so far, and where it is kept.
#[derive(Clone)]
pub struct Best {
    /// The name of the score that decides, as `evaluation.keep_best` has it.
    pub metric: String,
    /// Of the adapter in `folder`; `None` before the first evaluation.
    pub score: Option<f64>,
    /// Where the adapter is kept.
    pub folder: PathBuf,
    /// What the adapter says of its base.
    pub base: String,
}

impl Evaluator {
    /// An evaluator that scores up to `studies` of each set as the settings say, and keeps the best adapter where
    /// `best` is given.
    pub fn new(
        config: &EvaluationConfig,
        sets: &HeldOutSets,
        prompts: &Arc<Prompts>,
        metrics: &Backends,
        best: Option<Best>,
    ) -> Self {
        let of = |(name, dataset): &(String, _)| {
            let held_out = HeldOut {
                prompts: prompts.clone(),
                dataset: Arc::clone(dataset),
                studies: config.studies,
                sampling: config.sampling(),
                metrics: metrics.clone(),
            };
            (name.clone(), held_out)
        };
        Self { sets: sets.iter().map(of).collect(), best }
    }
}

/// Refuses what no evaluation will give, before anything is computed.
///
/// # Errors
/// The name of no score, or of no set.
pub fn check_metric(name: Option<&str>, sets: &[&str]) -> Result<(), Problem> {
    let Some(name) = name else { return Ok(()) };
    let (set, score) = name.rsplit_once('/').map_or((None, name), |(set, score)| (Some(set), score));
    if !ClinicalScores::NAMES.contains(&score) {
        let reason = format!("`{score}` is no score; there are {}", ClinicalScores::NAMES.join(", "));
        return Err(Problem::new("evaluation.keep_best", reason));
    }
    match set {
        Some(set) if !sets.contains(&set) => {
            let reason = format!("`{set}` is no validation set; there are {}", sets.join(", "));
            Err(Problem::new("evaluation.keep_best", reason))
        }
        _ => Ok(()),
    }
}

/// The score of that name: a set's own, or the mean over the sets.
pub fn metric(scores: &Scores, name: &str) -> Option<f64> {
    let of_sets = scores.iter().filter(|(key, _)| key.rsplit('/').next() == Some(name)).map(|(_, score)| *score);
    scores.get(name).copied().or_else(|| {
        let found: Vec<f64> = of_sets.collect();
        (!found.is_empty()).then(|| found.iter().sum::<f64>() / found.len() as f64)
    })
}

impl Evaluate<Adapter> for Evaluator {
    fn evaluate(&mut self, adapter: &Adapter) -> Result<Scores, EngineError> {
        let mut all = Scores::new();
        for (name, held_out) in &self.sets {
            let scores = held_out.evaluate(Some(adapter), |_| Ok(()))?.named();
            all.extend(scores.into_iter().map(|(metric, score)| (format!("{name}/{metric}"), score)));
        }
        if let Some(best) = &mut self.best {
            let known = || all.keys().cloned().collect::<Vec<_>>().join(", ");
            let score = metric(&all, &best.metric)
                .ok_or_else(|| format!("evaluation.keep_best: `{}` is no score; there are {}", best.metric, known()))?;
            if best.score.is_none_or(|before| score > before) {
                adapter.save_peft(&best.folder, &best.base)?;
                best.score = Some(score);
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_that_no_evaluation_gives_is_refused_with_those_that_there_are() {
        for known in [None, Some("average"), Some("validation/rate")] {
            assert_eq!(check_metric(known, &["validation"]), Ok(()));
        }
        let refused = |name| check_metric(Some(name), &["validation"]).unwrap_err().to_string();
        assert!(refused("bleu").contains("radgraph_f1"));
        assert!(refused("test/rate").contains("there are validation"));
    }

    #[test]
    fn a_metric_is_a_sets_own_or_the_mean_over_the_sets() {
        let scores = Scores::from([("a/rate".into(), 0.2), ("b/rate".into(), 0.4), ("b/ratescore".into(), 9.0)]);
        assert_eq!(metric(&scores, "b/rate"), Some(0.4));
        assert!((metric(&scores, "rate").unwrap() - 0.3).abs() < 1e-12);
        assert_eq!(metric(&scores, "bleu"), None);
    }
}
