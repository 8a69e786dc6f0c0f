//! What the sampled reports of a run said, step by step, by the rollouts that it recorded.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, hash_map::Entry},
    fs,
    path::Path,
};

use addendum_actors::RolloutSample;
use addendum_policy::checkpoint::write_whole;
use addendum_replay::{StudyOrder, TicketId};
use addendum_rewards::{Backends, Label, Labels, Observation, evaluate::asserted, labels::binary, metrics::chexbert};
use anyhow::{Context, Result};
use serde::Serialize;

use super::job::METRICS;
use crate::{
    report::metrics::Metrics,
    train::{Settings, data::Data},
};

/// The file of a look: one [`Step`] a line.
pub const SAMPLES: &str = "samples.jsonl";

/// What the sampled reports of a step said. Shares are in [0, 1]; absent where there is nothing to count.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Step {
    pub step: u64,
    /// Micro-averaged over the 14 observations.
    pub recall: f64,
    pub precision: f64,
    pub macro_f1: f64,
    pub normal_share: f64,
    pub distinct_share: f64,
    /// Of the sampled reports whose reference says a watched finding, those that say it.
    pub said: BTreeMap<String, f64>,
    /// How many sampled reports have a reference that says it.
    pub there: BTreeMap<String, usize>,
    /// Mean reward of edited reports less that of their sources, by the first operation.
    pub gains: BTreeMap<String, f64>,
}

/// What a text says: its labels, and the words of the entities that it asserts.
type Said = (Labels, Vec<String>);

/// Whether one of the entities that a text asserts contains these words.
pub fn says(asserted: &[String], words: &str) -> bool {
    let words = words.to_lowercase();
    asserted.iter().any(|entity| entity.to_lowercase().contains(&words))
}

/// Seconds that the steps of a run took.
///
/// # Errors
/// A damaged file.
pub fn seconds(run: &Path) -> Result<f64> {
    let path = run.join(METRICS);
    if !path.exists() {
        return Ok(0.0);
    }
    Ok(Metrics::read(&path)?.column("seconds").into_iter().filter(|seconds| seconds.is_finite()).sum())
}

/// Reads the rollouts of `run` and writes what they said into `out`.
///
/// # Errors
/// Files or studies that cannot be read, and whatever a back end reports.
pub fn look(
    run: &Path,
    out: &Path,
    settings: &Settings,
    data: &Data,
    metrics: &Backends,
    watch: &[String],
) -> Result<()> {
    let path = run.join("rollouts.jsonl");
    let text = fs::read_to_string(&path).with_context(|| format!("{}: cannot be read", path.display()))?;
    let rollouts: Vec<RolloutSample> =
        text.lines().map(serde_json::from_str).collect::<Result<_, _>>().with_context(|| path.display().to_string())?;
    let mut order = StudyOrder::new(settings.run.seed, data.training.len());
    let mut references: HashMap<usize, String> = HashMap::new();
    let mut lines = String::new();
    for step in rollouts.chunk_by(|a, b| a.step == b.step) {
        let sampled: Vec<&RolloutSample> = step.iter().filter(|rollout| rollout.origin == "sampled").collect();
        let mut truth = Vec::new();
        for rollout in &sampled {
            let index = order.study_of(TicketId(rollout.ticket), rollout.draw);
            let reference = match references.entry(index) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(open) => open.insert(data.training.study(index)?.reference.text().to_owned()),
            };
            truth.push(reference.clone());
        }
        let hypotheses: Vec<&str> = sampled.iter().map(|rollout| rollout.text.as_str()).collect();
        let truth: Vec<&str> = truth.iter().map(String::as_str).collect();
        let mut seen = of_step(&read(metrics, &hypotheses)?, &read(metrics, &truth)?, watch);
        seen.step = step[0].step;
        seen.distinct_share = hypotheses.iter().collect::<BTreeSet<_>>().len() as f64 / hypotheses.len().max(1) as f64;
        seen.gains = gains(step);
        lines += &format!("{}\n", serde_json::to_string(&seen)?);
    }
    Ok(write_whole(&out.join(SAMPLES), lines.as_bytes())?)
}

/// Each text is read once, as often as it comes.
fn read(metrics: &Backends, texts: &[&str]) -> Result<Vec<Said>> {
    let distinct: Vec<&str> = texts.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
    if distinct.is_empty() {
        return Ok(Vec::new());
    }
    let asserted = metrics.entities(&distinct)?.into_iter().map(|entities| asserted(&entities));
    let said: BTreeMap<&str, Said> =
        distinct.iter().copied().zip(metrics.labels(&distinct)?.into_iter().zip(asserted)).collect();
    Ok(texts.iter().filter_map(|text| said.get(text).cloned()).collect())
}

fn of_step(hypotheses: &[Said], truth: &[Said], watch: &[String]) -> Step {
    let rows = |said: &[Said]| said.iter().map(|(labels, _)| binary(labels)).collect::<Vec<_>>();
    let scores = chexbert::report(&rows(hypotheses), &rows(truth), &Observation::ALL);
    let normal = hypotheses.iter().filter(|(labels, _)| labels[Observation::NoFinding.index()] == Label::Positive);
    let mut step = Step {
        recall: scores.micro.recall,
        precision: scores.micro.precision,
        macro_f1: scores.macro_.f1,
        normal_share: normal.count() as f64 / hypotheses.len().max(1) as f64,
        ..Step::default()
    };
    for words in watch {
        let there: Vec<&Said> =
            hypotheses.iter().zip(truth).filter(|(_, truth)| says(&truth.1, words)).map(|(said, _)| said).collect();
        if !there.is_empty() {
            let said = there.iter().filter(|said| says(&said.1, words)).count();
            step.said.insert(words.clone(), said as f64 / there.len() as f64);
        }
        step.there.insert(words.clone(), there.len());
    }
    step
}

fn gains(step: &[RolloutSample]) -> BTreeMap<String, f64> {
    let key = |rollout: &RolloutSample, id| (rollout.ticket, rollout.draw, id);
    let rewards: HashMap<_, f64> = step.iter().map(|rollout| (key(rollout, rollout.rollout), rollout.reward)).collect();
    let mut gains: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for rollout in step {
        let source = rollout.source.and_then(|source| rewards.get(&key(rollout, source)));
        if let (Some(source), Some(edit)) = (source, rollout.edits.first()) {
            gains.entry(edit.operation.clone()).or_default().push(rollout.reward - source);
        }
    }
    gains.into_iter().map(|(name, gains)| (name, gains.iter().sum::<f64>() / gains.len() as f64)).collect()
}
