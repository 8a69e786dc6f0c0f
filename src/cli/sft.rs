//! `addendum sft`: a small policy taught from scratch.

use std::{io::Write, ops::ControlFlow, path::PathBuf, sync::Arc, time::Instant};

use addendum::{
    policy::{Policy, SamplingConfig},
    qwen::Prompts,
    rewards::{evaluate::ClinicalScores, score::Backends},
    studies::{Dataset, Study},
    train::{
        data::{Counts, Data},
        held_out::HeldOut,
        supervised::{SftPlan, fresh_policy, train, trained},
    },
};
use anyhow::{Context, Result};
use candle_core::Device;
use clap::Args;
use serde_json::json;

#[derive(Args)]
pub struct SftArgs {
    /// Where the checkpoint, its log and its evaluation go.
    #[arg(long)]
    out: PathBuf,
    /// A dataset folder; built-in phantoms without it.
    #[arg(long)]
    data: Option<PathBuf>,
    #[arg(long, default_value_t = SftPlan::default().steps)]
    steps: u64,
    #[arg(long, default_value_t = SftPlan::default().batch_size)]
    batch_size: usize,
    #[arg(long, default_value_t = SftPlan::default().learning_rate)]
    learning_rate: f64,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Training phantoms.
    #[arg(long, default_value_t = Counts::default().supervised)]
    studies: usize,
    /// Steps between evaluations on validation studies; the checkpoint with the best average is kept.
    #[arg(long, default_value_t = 250, value_parser = clap::value_parser!(u64).range(1..))]
    evaluate_every: u64,
}

pub fn run(args: &SftArgs) -> Result<()> {
    std::fs::create_dir_all(&args.out).with_context(|| format!("{}: cannot be created", args.out.display()))?;
    let data = match &args.data {
        Some(dir) => Data::folder(dir)?,
        None => Data::phantoms(0, Counts { supervised: args.studies, held_out: 300, ..Counts::default() })?,
    };
    let (_, validation) = data.validation.first().context("no validation studies")?;
    // Every study is seen many times: drawn once and kept.
    let training: Vec<Study> =
        (0..data.supervised.len()).map(|i| data.supervised.study(i)).collect::<Result<_, _>>()?;
    let plan = SftPlan {
        steps: args.steps,
        batch_size: args.batch_size,
        learning_rate: args.learning_rate,
        seed: args.seed,
        ..SftPlan::default()
    };
    let start = fresh_policy(&training, &plan, &Device::Cpu)?;
    let path = args.out.join("sft.jsonl");
    let mut log = std::fs::File::create(&path).with_context(|| format!("{}: cannot be written", path.display()))?;
    let clock = Instant::now();
    let (mut loss, mut since, mut best) = (0.0, 0, None::<f64>);
    train(&start, &training, &plan, |step, stats, trainer| {
        loss += stats.loss;
        since += 1;
        let done = step + 1;
        if done % 100 == 0 || done == plan.steps {
            let seconds = clock.elapsed().as_secs_f64();
            let line = json!({"step": done, "loss": loss / f64::from(since), "learning_rate": stats.learning_rate,
                "gradient_norm": stats.gradient_norm, "seconds": seconds});
            writeln!(log, "{line}")?;
            println!("step {done}/{} loss {:.4} {seconds:.0} s", plan.steps, loss / f64::from(since));
            (loss, since) = (0.0, 0);
        }
        if done % args.evaluate_every == 0 || done == plan.steps {
            let policy = Arc::new(trained(&start, trainer)?);
            let scores = evaluate(policy.clone(), validation.clone())?;
            writeln!(log, "{}", json!({"step": done, "validation": scores}))?;
            let better = best.is_none_or(|best| scores.average > best);
            let kept = if better { ", kept" } else { "" };
            println!("step {done}/{} validation average {:.4}{kept}", plan.steps, scores.average);
            if better {
                best = Some(scores.average);
                policy.save(&args.out)?;
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(())
}

fn evaluate(policy: Arc<Policy>, dataset: Arc<dyn Dataset>) -> Result<ClinicalScores> {
    let held_out = HeldOut {
        prompts: Arc::new(Prompts::new(policy, 0)),
        dataset,
        sampling: SamplingConfig::greedy(96),
        metrics: Backends::lexicon(),
    };
    Ok(held_out.evaluate(None, |_| {})?.scores)
}
