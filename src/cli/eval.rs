//! `addendum eval`: a policy's reports on held-out studies, scored.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use addendum::{
    actors::Scores,
    policy::{Adapter, SamplingConfig, checkpoint::write_whole},
    qwen::Prompts,
    report::{
        progress::Progress,
        table::{Row, Table},
        terminal::Paint,
    },
    rewards::{Backends, RewardConfig, Scorer},
    studies::Split,
    train::{
        held_out::{Evaluation, HeldOut, Report},
        interrupt::Interrupt,
        reward_models::Weights,
    },
};
use anyhow::{Context, Result};
use clap::Args;
use serde_json::{Value, json};

use super::{
    exit::beforehand,
    output,
    policy::Writer,
    studies::{self, Studies},
};

/// Phantoms of each set, where nothing is said.
const PHANTOMS: usize = 600;

#[derive(Args)]
pub struct EvalArgs {
    #[command(flatten)]
    writer: Writer,
    /// A dataset folder; built-in phantoms without it.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Leave out entries of the folder that are no studies, and list them; they are refused without it.
    #[arg(long, requires = "data")]
    skip_bad: bool,
    /// train, val or test.
    #[arg(long, default_value = "test")]
    split: Split,
    /// Score only so many of the first studies of each set.
    #[arg(long, value_name = "COUNT", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    studies: Option<usize>,
    #[command(flatten)]
    weights: Weights,
    /// Write the scores to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write every report to this file, as one line of JSON: id, report, reference, truncated, scores.
    #[arg(long, value_name = "FILE")]
    reports: Option<PathBuf>,
}

struct Job {
    prompts: Arc<Prompts>,
    adapter: Option<Adapter>,
    studies: Studies,
    sampling: SamplingConfig,
    metrics: Backends,
    scorer: Scorer,
}

/// # Errors
/// What cannot be read or used; a failure while computing; the user wants to stop. The reports that were complete by
/// then are kept.
pub fn run(args: &EvalArgs, progress: &Progress) -> Result<()> {
    let interrupt = Interrupt::listen()?;
    let job = beforehand(prepare(args))?;
    let (mut lines, mut scores, mut tables) = (String::new(), BTreeMap::new(), String::new());
    for (set, dataset) in &job.studies.sets {
        let held_out = HeldOut {
            prompts: job.prompts.clone(),
            dataset: dataset.clone(),
            studies: args.studies.unwrap_or(usize::MAX),
            sampling: job.sampling.clone(),
            metrics: job.metrics.clone(),
        };
        let mut complete = Vec::new();
        let mut counting = progress.counting(format!("evaluating {set}"), held_out.count() as u64, "studies");
        let evaluation = held_out.evaluate(job.adapter.as_ref(), |reports| {
            counting.advance(reports.len() as u64);
            complete.extend_from_slice(reports);
            interrupt.check()
        });
        if let Some(path) = &args.reports {
            complete.sort_unstable_by_key(|report| report.index);
            for report in &complete {
                lines += &format!("{}\n", line(set, report, &job.scorer)?);
            }
            write_whole(path, lines.as_bytes())?;
        }
        let evaluation = evaluation.with_context(|| format!("evaluation on {set}"))?;
        counting.finish();
        tables += &table(set, &evaluation.named(), evaluation.reports.len());
        scores.insert(set, summary(&evaluation)?);
    }
    if let Some(path) = &args.json {
        let adapter = args.writer.adapter.as_ref();
        let out = json!({"policy": args.writer.policy, "adapter": adapter, "data": args.data, "split": args.split,
            "skipped": job.studies.skipped, "sampling": job.sampling, "sets": scores});
        write_whole(path, format!("{out:#}\n").as_bytes())?;
    }
    output::print(&tables)
}

fn prepare(args: &EvalArgs) -> Result<Job> {
    for path in args.json.iter().chain(&args.reports) {
        output::writable(path)?;
    }
    let sampling =
        SamplingConfig { temperature: args.writer.temperature, ..SamplingConfig::greedy(args.writer.longest()?) };
    sampling.validate()?;
    let phantoms = args.studies.unwrap_or(PHANTOMS);
    let studies = studies::of(args.data.as_deref(), args.split, args.skip_bad, phantoms)?;
    let (policy, adapter) = args.writer.load()?;
    let metrics = args.weights.load()?.scoring;
    let scorer = Scorer::new(metrics.clone(), &RewardConfig::default())?;
    // Every study comes once: its features are not worth keeping.
    Ok(Job { prompts: Arc::new(Prompts::new(Arc::new(policy), 0)), adapter, studies, sampling, metrics, scorer })
}

fn line(set: &str, report: &Report, scorer: &Scorer) -> Result<Value> {
    let Report { id, text, reference, truncated, .. } = report;
    let rewards = scorer.score(reference, &[text]).with_context(|| format!("study {id}"))?;
    let scores = rewards.first().map(|reward| &reward.components);
    Ok(json!({"id": id, "set": set, "report": text, "reference": reference, "truncated": truncated, "scores": scores}))
}

fn summary(evaluation: &Evaluation) -> Result<Value> {
    let truncated = evaluation.reports.iter().filter(|report| report.truncated).count();
    Ok(json!({"studies": evaluation.reports.len(), "truncated": truncated, "scores": evaluation.named()}))
}

fn table(set: &str, scores: &Scores, studies: usize) -> String {
    let row = Row::clinical("policy", std::slice::from_ref(scores));
    let table = Table::clinical(format!("{set}, {studies} studies")).row(row);
    format!("{}\n", table.text(Paint::from_environment()))
}
