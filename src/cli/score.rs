//! `addendum score`: files of reports against their references.

mod green;
mod items;
mod pairs;

use std::{collections::BTreeMap, fmt::Write, path::PathBuf};

use addendum::{
    options::class_frequencies,
    report::terminal::Paint,
    rewards::{
        Backends, Observation,
        assess::{Assessment, Comparison, Explanation, Measure, Resampling, Score, explain},
        text,
    },
    studies::sections::spoken,
    train::reward_models::Weights,
};
use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::{exit::beforehand, output::print};
use green::{Grader, Grades, GreenArgs};
use pairs::{Fields, Pair};

#[derive(Args)]
pub struct ScoreArgs {
    /// Reports: .json or .jsonl (`response`), .csv or .tsv with a header, or one per line.
    #[arg(long, value_name = "FILE")]
    hyps: PathBuf,
    /// Their references, in the same order or with the same ids; --hyps holds them too (`answer`) without it.
    #[arg(long, value_name = "FILE")]
    refs: Option<PathBuf>,
    /// The field of the reports, if it has another name.
    #[arg(long, value_name = "NAME")]
    hyps_field: Option<String>,
    /// The field of the references, if it has another name.
    #[arg(long, value_name = "NAME")]
    refs_field: Option<String>,
    /// The column that names each item once in both files, or several that do so together. Without it: the first of
    /// id, dicom_id, image_id, study_id and their like that does, or the same order where there are none.
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    id: Vec<String>,
    /// Metrics or groups of them: all, text, bleu, chexbert, radgraph, rouge_l, meteor, cider, rate, accuracy_5,
    /// weighted_accuracy, …
    #[arg(long, value_delimiter = ',', default_value = "all", value_name = "NAME,…")]
    metrics: Vec<String>,
    /// JSON object of the 14 observations' shares in the training references, for weighted_accuracy; where one is
    /// missing, its share in the references of --refs.
    #[arg(long, value_name = "FILE")]
    class_frequencies: Option<PathBuf>,
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// Score whole texts. Without it only what speaks counts: of a report with headings, its findings and impression.
    #[arg(long)]
    whole: bool,
    /// Tidy reports and references first, as the paper's evaluation script does.
    #[arg(long)]
    clean: bool,
    /// Tell for every report which findings are right, missing and made up.
    #[arg(long)]
    explain: bool,
    /// Bootstrap resamples for the intervals, at most 1000000; 0 leaves them out.
    #[arg(
        long,
        default_value_t = Resampling::default().resamples as u32,
        value_parser = clap::value_parser!(u32).range(0..=Resampling::MOST as i64),
    )]
    resamples: u32,
    /// The share of resamples that an interval holds.
    #[arg(long, default_value_t = Resampling::default().confidence, value_parser = share)]
    confidence: f64,
    #[arg(long, default_value_t = Resampling::default().seed)]
    seed: u64,
    #[command(flatten)]
    weights: Weights,
    #[command(flatten)]
    green: GreenArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
    Csv,
}

fn share(text: &str) -> Result<f64, String> {
    let value = text.parse().map_err(|_| "expected a number".to_owned())?;
    if 0. < value && value < 1. { Ok(value) } else { Err("expected a number between 0 and 1".into()) }
}

/// What is printed, in any format.
struct Outcome {
    pairs: Vec<Pair>,
    scores: Vec<Score>,
    grades: Option<Grades>,
    resampling: Option<Resampling>,
    /// One for each pair, or none at all.
    explanations: Vec<Explanation>,
}

pub fn run(args: &ScoreArgs) -> Result<()> {
    let Job { measures, frequencies, pairs, grader, backends } = beforehand(prepare(args))?;
    let hypotheses: Vec<&str> = pairs.iter().map(|pair| pair.hypothesis.as_str()).collect();
    let references: Vec<&str> = pairs.iter().map(|pair| pair.reference.as_str()).collect();
    let resampling = (args.resamples > 0).then_some(Resampling {
        resamples: args.resamples as usize,
        confidence: args.confidence,
        seed: args.seed,
    });
    let assessment = Assessment::new(&backends, &measures, &frequencies, &hypotheses, &references)?;
    let scores = assessment.scores(resampling.as_ref())?;
    let explanations = match args.explain {
        true => explain(&backends, &hypotheses, &references)?,
        false => Vec::new(),
    };
    let (grades, failure) = match grader.map(|grader| green::grades(&grader, &references, &hypotheses)) {
        None => (None, None),
        Some(Ok(grades)) => (Some(grades), None),
        Some(Err(failure)) => (None, Some(failure)),
    };
    let outcome = Outcome { pairs, scores, grades, resampling, explanations };
    print(&match args.format {
        Format::Table => outcome.table(Paint::from_environment()),
        Format::Json => format!("{:#}\n", outcome.json()),
        Format::Csv => outcome.csv(),
    })?;
    // The other metrics are worth printing without this one.
    failure.map_or(Ok(()), Err)
}

/// What is read before anything is scored.
struct Job {
    measures: Vec<Measure>,
    frequencies: BTreeMap<Observation, f64>,
    pairs: Vec<Pair>,
    grader: Option<Grader>,
    backends: Backends,
}

fn prepare(args: &ScoreArgs) -> Result<Job> {
    if args.explain && args.format == Format::Csv {
        bail!("--explain: expected --format table or json");
    }
    let measures = Measure::named(args.metrics.iter().map(String::as_str))?;
    let frequencies = args.class_frequencies.as_deref().map(class_frequencies).transpose()?.unwrap_or_default();
    let fields =
        Fields { hypothesis: args.hyps_field.clone(), reference: args.refs_field.clone(), id: args.id.clone() };
    let mut pairs = pairs::pairs(&args.hyps, args.refs.as_deref(), &fields)?;
    if !args.whole {
        for text in pairs.iter_mut().flat_map(|pair| [&mut pair.hypothesis, &mut pair.reference]) {
            *text = spoken(text).into_owned();
        }
    }
    if args.clean {
        for pair in &mut pairs {
            (pair.hypothesis, pair.reference) = (text::clean(&pair.hypothesis), text::clean(&pair.reference));
        }
    }
    let (grader, backends) = (args.green.grader()?, args.weights.load()?.scoring);
    Ok(Job { measures, frequencies, pairs, grader, backends })
}

impl Outcome {
    fn table(&self, paint: Paint) -> String {
        let mut out = String::new();
        for (at, (pair, explanation)) in self.pairs.iter().zip(&self.explanations).enumerate() {
            let name = pair.id.as_ref().map(|id| format!(" ({id})")).unwrap_or_default();
            out += &format!("{}\n", paint.bold(format!("report {}{name}", at + 1)));
            out += &described("findings", &explanation.findings, paint);
            out += &described("entities", &explanation.entities, paint);
            out.push('\n');
        }
        let interval = self.resampling.map(|r| format!("{:.0} % interval", 100. * r.confidence)).unwrap_or_default();
        let count = self.pairs.len();
        out += &paint.bold(format!("{:<18} {:>7}   {interval}", format!("{count} reports"), "score"));
        out.push('\n');
        for score in &self.scores {
            let interval = score.interval.map(|i| format!("   {:.4} – {:.4}", i.low, i.high)).unwrap_or_default();
            out += &format!("{:<18} {:>7.4}{interval}\n", score.measure.name(), score.value);
        }
        if let Some(grades) = &self.grades {
            out += &green::lines(grades, self.pairs.len());
        }
        if let Some(Resampling { resamples, seed, .. }) = self.resampling {
            out +=
                &paint.dim(format!("intervals: percentile bootstrap over reports, {resamples} resamples, seed {seed}"));
            out.push('\n');
        }
        out
    }

    fn json(&self) -> Value {
        let score = |score: &Score| {
            let mut entry = json!({"metric": score.measure.name(), "score": score.value});
            if let Some(interval) = score.interval {
                (entry["low"], entry["high"]) = (interval.low.into(), interval.high.into());
            }
            entry
        };
        let scores: Vec<Value> = self.scores.iter().map(score).collect();
        let mut outcome = json!({"reports": self.pairs.len(), "scores": scores, "bootstrap": self.resampling});
        if let Some(grades) = &self.grades {
            outcome["green"] = green::json(grades);
        }
        if !self.explanations.is_empty() {
            let explained = self.pairs.iter().zip(&self.explanations);
            let explained = explained.map(|(pair, explanation)| {
                json!({"id": pair.id, "findings": explanation.findings, "entities": explanation.entities})
            });
            outcome["explanations"] = explained.collect();
        }
        outcome
    }

    fn csv(&self) -> String {
        let mut out = String::from("metric,score,low,high\n");
        for score in &self.scores {
            let interval = score.interval.map(|i| format!("{},{}", i.low, i.high)).unwrap_or_else(|| ",".into());
            out += &format!("{},{},{interval}\n", score.measure.name(), score.value);
        }
        if let Some(grades) = &self.grades {
            out += &format!("green,{},,\n", grades.mean);
        }
        out
    }
}

/// One line for each list that is not empty.
fn described(what: &str, comparison: &Comparison, paint: Paint) -> String {
    let mut out = String::new();
    let lists = [
        (paint.good("matched "), &comparison.matched),
        (paint.warning("missing "), &comparison.missing),
        (paint.bad("spurious"), &comparison.spurious),
    ];
    for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "  {name} {what}: {}", list.join("; "));
    }
    out
}
