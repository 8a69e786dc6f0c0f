//! The `addendum` command line.

use std::{
    io::Write,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use addendum::{
    check,
    data::{Counts, Data},
    devices::WeightType,
    doctor,
    evaluation::HeldOut,
    policy::{Config, LoraConfig, Policy, SamplingConfig, device::device, learner::Recompute},
    qwen::Prompts,
    rewards::score::Backends,
    serve::{ServeArgs, serve},
    sft::{SftPlan, fresh_policy, train, trained},
    studies::{Dataset, Phantom, PhantomConfig, Split, Study, folder},
};
use anyhow::{Context, Result, ensure};
use candle_core::{DType, Device};
use clap::{Args, Parser, Subcommand};
use serde_json::json;

/// Asynchronous reinforcement learning for clinically accurate chest X-ray reports.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Teach a small policy from scratch to write reports, by supervised fine-tuning.
    Sft(SftArgs),
    /// Tell whether a model of a given shape can be trained on this machine; no weights are needed.
    Doctor(DoctorArgs),
    /// Compare a device with the CPU: features, log-probabilities, gradients, tokens and a training step.
    CheckDevice(CheckArgs),
    /// Write phantom studies as a dataset folder (PNG and JSON).
    Phantoms(PhantomArgs),
    /// Serve rewards and report analyses over HTTP, in place of the two services of the EditGRPO code.
    ServeRewards(ServeArgs),
}

#[derive(Args)]
struct SftArgs {
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

#[derive(Args)]
struct PhantomArgs {
    #[arg(long)]
    out: PathBuf,
    /// Studies of the training split; validation and test get a quarter each.
    #[arg(long, default_value_t = 100)]
    studies: usize,
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

#[derive(Args)]
struct DoctorArgs {
    /// A folder with a model's `config.json`.
    #[arg(long)]
    model_config: PathBuf,
    /// Only on paper; otherwise the model is built with random weights and takes one training step.
    #[arg(long)]
    estimate: bool,
    /// Of the weight matrices; activations, adapter and optimiser are f32.
    #[arg(long, value_enum, default_value = "bf16")]
    dtype: WeightType,
    #[arg(long, default_value_t = 2)]
    images: usize,
    /// Of an image.
    #[arg(long, default_value_t = 401_408)]
    pixels: usize,
    /// Prompt tokens that are text.
    #[arg(long, default_value_t = 64)]
    text_tokens: usize,
    #[arg(long, default_value_t = 4)]
    group_size: usize,
    #[arg(long, default_value_t = 128)]
    response_tokens: usize,
    #[arg(long, default_value_t = 16)]
    lora_rank: usize,
    /// Memory of the device in GiB. Without it: what this machine can still give, and no limit on other devices.
    #[arg(long)]
    memory: Option<f64>,
    /// Compute layers again in the backward pass even where their activations would fit.
    #[arg(long)]
    recompute: bool,
    /// Where the dry run takes place: cpu or cuda:N.
    #[arg(long, default_value = "cpu")]
    device: String,
}

fn doctor(args: &DoctorArgs) -> Result<()> {
    const GIB: f64 = (1u64 << 30) as f64;
    let device = device(&args.device)?;
    let free = if device.is_cpu() { doctor::available() } else { None };
    let plan = doctor::Plan {
        config: Config::load(&args.model_config.join("config.json"))?,
        dtype: args.dtype.into(),
        lora: LoraConfig { rank: args.lora_rank, ..LoraConfig::default() },
        images: args.images,
        pixels: args.pixels,
        text_tokens: args.text_tokens,
        group_size: args.group_size,
        response_tokens: args.response_tokens,
        limit: args.memory.map(|gib| (gib * GIB) as u64).or(free),
        recompute: if args.recompute { Recompute::Always } else { Recompute::WhenNeeded },
    };
    let estimate = plan.estimate()?;
    let millions = |count: u64| format!("{:.1} M", count as f64 / 1e6);
    let gib = |bytes: u64| format!("{:.2} GiB", bytes as f64 / GIB);
    println!("parameters");
    println!("  vision tower      {:>12}", millions(estimate.vision_parameters));
    println!("  language model    {:>12}", millions(estimate.language_parameters));
    println!("  vocabulary        {:>12}", millions(estimate.vocabulary_parameters));
    println!("  adapter           {:>12}", millions(estimate.lora_parameters));
    println!("memory");
    println!("  weights           {:>12}", gib(estimate.weights));
    println!("  encoding a study  {:>12}", gib(estimate.vision));
    println!("  sampling a group  {:>12}", gib(estimate.sampling));
    let how = if estimate.recompute { ", layers computed again" } else { "" };
    println!("  training step     {:>12}  ({} micro-batches{how})", gib(estimate.step.total()), estimate.micro_batches);
    println!("  predicted peak    {:>12}", gib(estimate.peak));
    if let Some(limit) = plan.limit {
        println!("  limit             {:>12}  {}", gib(limit), if estimate.fits { "fits" } else { "does not fit" });
    }
    if args.estimate {
        return Ok(());
    }
    let run = plan.dry_run(&device)?;
    println!("dry run");
    println!("  building          {:>10.1} s", run.build_seconds);
    println!("  encoding          {:>10.1} s", run.vision_seconds);
    println!("  training step     {:>10.1} s", run.step_seconds);
    println!("    reference       {:>10.1} s", run.reference_seconds);
    println!("    forward         {:>10.1} s", run.forward_seconds);
    println!("    backward        {:>10.1} s", run.backward_seconds);
    if let Some(peak) = run.peak.filter(|_| device.is_cpu()) {
        let off = 100.0 * (peak as f64 / estimate.peak as f64 - 1.0);
        println!("  measured peak     {:>12}  ({off:+.1} % of the prediction)", gib(peak));
    }
    Ok(())
}

#[derive(Args)]
struct CheckArgs {
    /// cuda:N, in a build with the feature `cuda`.
    device: String,
}

fn check_device(args: &CheckArgs) -> Result<()> {
    let device = device(&args.device)?;
    let mut passed = true;
    println!("{:<8} {:<24} {:>12} {:>12}", "weights", args.device, "difference", "tolerance");
    for (name, dtype) in [("f32", DType::F32), ("bf16", DType::BF16)] {
        for row in check::against_cpu(&device, dtype)? {
            let verdict = if row.passes() { "ok" } else { "FAILED" };
            println!("{name:<8} {:<24} {:>12.2e} {:>12.0e}  {verdict}", row.what, row.difference, row.tolerance);
            passed &= row.passes();
        }
    }
    ensure!(passed, "{} does not compute what the CPU computes", args.device);
    Ok(())
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Sft(args) => sft(&args),
        Command::Doctor(args) => doctor(&args),
        Command::CheckDevice(args) => check_device(&args),
        Command::Phantoms(args) => phantoms(&args),
        Command::ServeRewards(args) => serve(&args, |address| eprintln!("listening on http://{address}")),
    }
}

fn sft(args: &SftArgs) -> Result<()> {
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

fn evaluate(policy: Arc<Policy>, dataset: Arc<dyn Dataset>) -> Result<addendum::rewards::evaluate::ClinicalScores> {
    let held_out = HeldOut {
        prompts: Arc::new(Prompts::new(policy, 0)),
        dataset,
        sampling: SamplingConfig::greedy(96),
        metrics: Backends::lexicon(),
    };
    Ok(held_out.evaluate(None, |_| {})?.scores)
}

fn phantoms(args: &PhantomArgs) -> Result<()> {
    let write = |dir: &Path, split, count| -> Result<()> {
        let config = PhantomConfig { seed: args.seed, split, count, ..PhantomConfig::default() };
        Ok(folder::write(dir, split, &Phantom::new(config)?)?)
    };
    let held_out = args.studies.div_ceil(4);
    write(&args.out, Split::Train, args.studies)?;
    write(&args.out, Split::Val, held_out)?;
    write(&args.out, Split::Test, held_out)
}
