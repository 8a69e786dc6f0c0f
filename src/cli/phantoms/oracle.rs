//! `addendum phantoms --oracle`: how far any policy can get in a world of phantoms, metric by metric.

use std::collections::BTreeMap;

use addendum::{
    report::{
        table::{CLINICAL, Row, Stat, Table},
        terminal::Paint,
    },
    rewards::{Backends, evaluate},
    studies::{Dataset, Phantom, PhantomConfig, Site, Split, phantom::Reader},
};
use anyhow::{Context, Result};
use rayon::prelude::*;

type Scores = BTreeMap<String, f64>;

/// Probabilities above which a reader may tell of a finding.
const THRESHOLDS: [f64; 8] = [0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9];
/// What of the matched filters' d' the readers reach.
const SHARES: [(f64, &str); 3] = [(1., "ideal reader"), (0.1, "a tenth of its d'"), (0.02, "a fiftieth of its d'")];
/// Columns after the paper's.
const FURTHER: [(&str, &str); 3] =
    [("Precision", "micro_precision_14"), ("Recall", "micro_recall_14"), ("Normal", "normal_share")];

/// Tables of what is within reach on `count` test studies of each site.
pub fn tables(phantoms: &PhantomConfig, count: usize) -> Result<String> {
    let mut text = String::new();
    for (site, name) in [(Site::A, "in-domain"), (Site::B, "out-of-domain")] {
        let set = |split| Set::new(PhantomConfig { site, split, count, ..phantoms.clone() });
        // What a reader says is chosen on the validation studies.
        let (validation, test) = (set(Split::Val)?, set(Split::Test)?);
        let mut table =
            Table::new(format!("{name}, {count} studies"), CLINICAL.iter().chain(&FURTHER).map(|(column, _)| *column));
        let modal = test.scores(|index| test.phantom.retold(index));
        table = table.row(row("what the report says, in modal words", &modal?));
        let mut filters = String::new();
        for (share, name) in SHARES {
            let reader = Reader::new(test.phantom.config(), share)?;
            let read = |set: &Set, threshold| set.scores(|index| reader.report(&set.phantom, index, threshold));
            let tried: Vec<(f64, Scores)> = THRESHOLDS
                .into_iter()
                .map(|threshold| Ok((threshold, read(&validation, threshold)?)))
                .collect::<Result<_>>()?;
            let chosen = |metric| best(tried.iter().cloned().map(Ok), metric).map(|(threshold, _)| threshold);
            table = table.row(row(name, &read(&test, chosen("average")?)?));
            if share == 1. {
                let by_metric = CLINICAL.iter().chain(&FURTHER[..2]).map(|&(_, metric)| {
                    let score = read(&test, chosen(metric)?)?.get(metric).copied();
                    Ok((metric.to_owned(), score.context("a score that is not there")?))
                });
                table = table.row(row("  each metric for itself", &by_metric.collect::<Result<_>>()?));
                let d_primes = reader.detectabilities().map(|(kind, d)| format!("{kind:?} {d:.0}"));
                filters = d_primes.collect::<Vec<_>>().join(", ");
            }
        }
        let nothing = test.scores(|index| test.phantom.told_nothing(index));
        table = table.row(row("nothing is wrong", &nothing?));
        text += &format!("{}d' at contrast 1: {filters}\n\n", table.text(Paint::from_environment()));
    }
    Ok(text)
}

/// Studies with their references.
struct Set {
    phantom: Phantom,
    references: Vec<String>,
    backends: Backends,
}

impl Set {
    fn new(config: PhantomConfig) -> Result<Self> {
        let phantom = Phantom::new(config)?;
        let references = (0..phantom.len()).map(|index| phantom.report(index)).collect::<Result<_, _>>()?;
        Ok(Self { phantom, references, backends: Backends::lexicon() })
    }

    /// The scores of one report for each study.
    fn scores(&self, write: impl Fn(usize) -> addendum::studies::Result<String> + Send + Sync) -> Result<Scores> {
        let reports = (0..self.phantom.len()).into_par_iter().map(write);
        let reports: Vec<String> = reports.collect::<addendum::studies::Result<_>>()?;
        let (reports, references): (Vec<&str>, Vec<&str>) =
            (reports.iter().map(String::as_str).collect(), self.references.iter().map(String::as_str).collect());
        Ok(evaluate(&self.backends, &reports, &references)?.by_name())
    }
}

/// The first of those that are best by a metric.
fn best<T>(tried: impl Iterator<Item = Result<(T, Scores)>>, metric: &str) -> Result<(T, Scores)> {
    let mut best: Option<(T, Scores)> = None;
    for one in tried {
        let one = one?;
        if best.as_ref().is_none_or(|(_, scores)| one.1.get(metric) > scores.get(metric)) {
            best = Some(one);
        }
    }
    best.context("nothing to choose from")
}

fn row(name: &str, scores: &Scores) -> Row {
    let value = |(_, score): &(&str, &str)| Stat::of(&[*scores.get(*score)?]);
    Row { name: name.into(), values: CLINICAL.iter().chain(&FURTHER).map(value).collect() }
}
