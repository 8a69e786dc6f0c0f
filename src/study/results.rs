//! What the files of a study's jobs hold: scored reports, and curves over steps.

use std::{collections::BTreeMap, fs, path::Path};

use addendum_actors::Scores;
use addendum_rewards::{
    Observation,
    evaluate::{Judged, pool},
    labels::binary,
};
use anyhow::{Context, Result};
use serde::Serialize;

use super::{
    job::{EVALUATIONS, METRICS, REPORTS},
    samples::{SAMPLES, says},
    work::Line,
};
use crate::report::metrics::Metrics;

/// The reports of a scoring.
///
/// # Errors
/// A file that is missing or damaged.
pub fn lines(folder: &Path) -> Result<Vec<Line>> {
    let path = folder.join(REPORTS);
    let text = fs::read_to_string(&path).with_context(|| format!("{}: cannot be read", path.display()))?;
    let line =
        |(index, line)| serde_json::from_str(line).with_context(|| format!("{}, line {}", path.display(), index + 1));
    text.lines().enumerate().map(line).collect()
}

/// The reports of each set, in order.
pub fn sets(lines: &[Line]) -> Vec<(&str, &[Line])> {
    lines.chunk_by(|a, b| a.set == b.set).map(|lines| (lines[0].set.as_str(), lines)).collect()
}

/// All scores of a set.
pub fn scores(lines: &[Line]) -> Scores {
    pool(&lines.iter().map(|line| &line.judged).collect::<Vec<_>>()).by_name()
}

/// The score of that name on one set, or its mean over `all`.
///
/// # Errors
/// No such set or score.
pub fn score(lines: &[Line], metric: &str, on: &str) -> Result<f64> {
    let sets = sets(lines);
    let chosen: Vec<_> = sets.iter().filter(|(name, _)| on == "all" || *name == on).collect();
    let names = || sets.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let of = |(_, lines): &&(&str, &[Line])| scores(lines).get(metric).copied();
    let values: Vec<f64> = chosen.iter().map(of).collect::<Option<_>>().unwrap_or_default();
    anyhow::ensure!(!values.is_empty(), "choose: there is no `{metric}` on `{on}`; there are the sets {}", names());
    Ok(values.iter().sum::<f64>() / values.len() as f64)
}

/// How often a finding is said, rightly or wrongly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// References that say it.
    pub support: usize,
    /// Reports that say it.
    pub said: usize,
    /// Reports that say it as their references do.
    pub hits: usize,
}

/// The 14 observations and the watched findings of a set.
pub fn findings(lines: &[Line], watch: &[String]) -> Vec<(String, Finding)> {
    let count = |says: &dyn Fn(&Judged) -> (bool, bool)| {
        let mut finding = Finding::default();
        for line in lines {
            let (said, meant) = says(&line.judged);
            finding.support += usize::from(meant);
            finding.said += usize::from(said);
            finding.hits += usize::from(said && meant);
        }
        finding
    };
    let observed = Observation::ALL.iter().map(|observation| {
        let index = observation.index();
        let says = |judged: &Judged| (binary(&judged.labels)[index], binary(&judged.truth)[index]);
        (observation.name().to_owned(), count(&says))
    });
    let watched = watch.iter().map(|words| {
        let says = |judged: &Judged| (says(&judged.said, words), says(&judged.meant, words));
        (words.clone(), count(&says))
    });
    observed.chain(watched).collect()
}

/// Values over steps; null where there is none.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Curve {
    /// Ascending: learner steps, counted from 0; of held-out scores, policy versions.
    pub steps: Vec<f64>,
    /// One for each step.
    pub values: Vec<f64>,
}

/// Curves of what was measured during a run, by name; that of the samples from the folder `look`.
///
/// # Errors
/// A damaged file.
pub fn curves(run: &Path, look: Option<&Path>) -> Result<BTreeMap<String, Curve>> {
    let mut curves = Curves::default();
    if let Some(metrics) = read(&run.join(METRICS))? {
        let names = ["loss", "reward_sampled", "reward_edited", "edit_gain", "entropy", "kl", "gradient_norm"];
        names.iter().for_each(|name| curves.put(&metrics, name, metrics.column(name)));
        let groups = metrics.column("groups");
        let share = |(equal, all): (f64, &f64)| equal / all;
        let equal = metrics.column("zero_variance_groups").into_iter().zip(&groups).map(share).collect();
        curves.put(&metrics, "zero_variance_share", equal);
        let edits = metrics.columns("edits");
        let zero = |value: f64| if value.is_finite() { value } else { 0.0 };
        let all: Vec<f64> =
            (0..metrics.len()).map(|step| edits.values().map(|column| zero(column[step])).sum()).collect();
        for (operation, column) in &edits {
            let share = column.iter().zip(&all).map(|(count, all)| zero(*count) / all).collect();
            curves.put(&metrics, &format!("edits/{operation}"), share);
        }
    }
    if let Some(samples) = look.map(|look| read(&look.join(SAMPLES))).transpose()?.flatten() {
        for name in ["recall", "precision", "macro_f1", "normal_share", "distinct_share"] {
            curves.put(&samples, &format!("sampled/{name}"), samples.column(name));
        }
        for object in ["said", "gains"] {
            let columns = samples.columns(object).into_iter();
            columns.for_each(|(name, column)| curves.put(&samples, &format!("{object}/{name}"), column));
        }
    }
    if let Some(evaluations) = read(&run.join(EVALUATIONS))? {
        for name in
            ["average", "micro_recall_14", "micro_precision_14", "macro_f1_14", "normal_share", "distinct_share"]
        {
            let of_sets: Vec<Vec<f64>> = evaluations
                .columns("scores")
                .into_iter()
                .filter(|(key, _)| key.rsplit('/').next() == Some(name))
                .map(|(_, column)| column)
                .collect();
            if !of_sets.is_empty() {
                let mean = |at: usize| of_sets.iter().map(|column| column[at]).sum::<f64>() / of_sets.len() as f64;
                let steps = evaluations.column("version");
                let values = (0..evaluations.len()).map(mean).collect();
                curves.0.insert(format!("held_out/{name}"), Curve { steps, values });
            }
        }
    }
    Ok(curves.0)
}

#[derive(Default)]
struct Curves(BTreeMap<String, Curve>);

impl Curves {
    /// Nothing, where no step has a value.
    fn put(&mut self, metrics: &Metrics, name: &str, values: Vec<f64>) {
        if values.iter().any(|value| value.is_finite()) {
            self.0.insert(name.to_owned(), Curve { steps: metrics.column("step"), values });
        }
    }
}

fn read(path: &Path) -> Result<Option<Metrics>> {
    Ok(if path.exists() { Some(Metrics::read(path)?) } else { None })
}
