//! `addendum sft`: supervised fine-tuning on reference reports, of all weights or of an adapter.

use std::{
    fs::File,
    io::Write,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use addendum::{
    policy::{
        LoraConfig, Policy, SamplingConfig,
        sft::{SftStats, SftTrainer},
    },
    qwen::Prompts,
    report::progress::Progress,
    rewards::{evaluate::ClinicalScores, score::Backends},
    studies::{Dataset, Split, Study},
    train::{
        held_out::HeldOut,
        interrupt::{Interrupt, Interrupted},
        placement::WeightType,
        reward_models::Weights,
        supervised::{SftPlan, adapter, fresh_policy, train, trained},
    },
};
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde_json::json;

use super::{
    exit::beforehand,
    output,
    policy::{Place, longest},
    studies,
};

/// Training phantoms, where nothing is said.
const PHANTOMS: usize = 1500;

/// Image features that are kept under an adapter, in bytes.
const KEPT_FEATURES: usize = 512 << 20;

/// Peak learning rates that suit an adapter, and all weights of a policy that can write already.
const LORA_LEARNING_RATE: f64 = 1e-4;
const FULL_LEARNING_RATE: f64 = 1e-5;

#[derive(Args)]
pub struct SftArgs {
    /// Where the checkpoint or adapter and the log go.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The checkpoint folder to start from; a small policy from scratch without it.
    #[arg(long, value_name = "DIR")]
    policy: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
    /// Train an adapter (LoRA) over the frozen checkpoint, and write it in PEFT's format.
    #[arg(long, requires = "policy")]
    lora: bool,
    #[arg(long, requires = "lora", default_value_t = LoraConfig::default().rank)]
    lora_rank: usize,
    #[arg(long, requires = "lora", default_value_t = LoraConfig::default().alpha)]
    lora_alpha: f64,
    /// A dataset folder; built-in phantoms without it.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Leave out entries of the folder that are no studies, and list them; they are refused without it.
    #[arg(long, requires = "data")]
    skip_bad: bool,
    /// Train only on so many of the first studies; all of a folder, or 1500 phantoms, without it.
    #[arg(long, value_name = "COUNT", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    studies: Option<usize>,
    #[arg(long, default_value_t = SftPlan::default().steps)]
    steps: u64,
    /// Studies per step.
    #[arg(long, default_value_t = SftPlan::default().batch_size)]
    batch_size: usize,
    /// The highest learning rate: 1.5e-3 from scratch, 1e-5 for all weights of a checkpoint, 1e-4 for an adapter,
    /// without it.
    #[arg(long)]
    learning_rate: Option<f64>,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Steps between evaluations on validation studies; what has the best average is kept.
    #[arg(long, default_value_t = 250, value_parser = clap::value_parser!(u64).range(1..))]
    evaluate_every: u64,
    /// Evaluate on only so many of the first validation studies.
    #[arg(
        long,
        default_value_t = 300,
        value_name = "COUNT",
        value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..),
    )]
    validation_studies: usize,
    /// Tokens after which an evaluated report is cut; what the checkpoint's generation_config.json says, or else 512,
    /// without it.
    #[arg(long, value_name = "COUNT")]
    max_new_tokens: Option<usize>,
    #[command(flatten)]
    weights: Weights,
}

/// What was read, and what is kept.
struct Job {
    start: Arc<Policy>,
    /// Of the frozen policy, for an adapter.
    prompts: Arc<Prompts>,
    training: Vec<Study>,
    validation: Arc<dyn Dataset>,
    plan: SftPlan,
    sampling: SamplingConfig,
    metrics: Backends,
    out: PathBuf,
    /// What an adapter says of its base.
    base: String,
    log: File,
    best: Option<(u64, f64)>,
}

/// # Errors
/// What cannot be read or used; a loss that is not finite; the user wants to stop. The best weights are kept, and where
/// there are none yet, those of the stop.
pub fn run(args: &SftArgs, progress: &Progress) -> Result<()> {
    let interrupt = Interrupt::listen()?;
    let mut job = beforehand(prepare(args))?;
    let (start, training, plan) = (job.start.clone(), job.training.clone(), job.plan.clone());
    let mut fitting = progress.fitting("supervised fine-tuning", plan.steps);
    let (clock, mut tokens, mut losses) = (Instant::now(), 0, Vec::new());
    train(&start, &training, &plan, |step, stats, trainer| {
        let done = step + 1;
        if !stats.loss.is_finite() {
            bail!("step {done}: the loss is {}; {}", stats.loss, job.kept());
        }
        tokens += stats.tokens;
        losses.push(stats.loss);
        fitting.step(done, stats.loss, stats.learning_rate, tokens as f64 / clock.elapsed().as_secs_f64());
        let stopped = interrupt.check();
        let last = done == plan.steps;
        if done % 100 == 0 || last || stopped.is_err() {
            job.record(done, &std::mem::take(&mut losses), &stats, clock.elapsed().as_secs_f64())?;
        }
        if let Err(stopped) = stopped {
            return Err(job.stop(stopped, done, trainer)?);
        }
        if done % args.evaluate_every == 0 || last {
            let scores = match job.evaluate(trainer, &interrupt) {
                Ok(scores) => scores,
                Err(error) if error.is::<Interrupted>() => return Err(job.stop(error, done, trainer)?),
                Err(error) => return Err(error.context(job.kept())),
            };
            writeln!(job.log, "{}", json!({"step": done, "validation": scores}))?;
            let better = job.best.is_none_or(|(_, best)| scores.average > best);
            if better {
                job.keep(trainer)?;
                job.best = Some((done, scores.average));
            }
            let kept = if better { ", kept" } else { "" };
            progress.note(format!("step {done}/{}: validation average {:.4}{kept}", plan.steps, scores.average));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    fitting.finish();
    output::print(&format!("{}\n", job.kept()))
}

fn prepare(args: &SftArgs) -> Result<Job> {
    let out = &args.out;
    for name in ["config.json", "adapter_config.json"] {
        ensure!(!out.join(name).exists(), "--out {}: {name} is there already; choose another folder", out.display());
    }
    let dtype = args.place.dtype;
    ensure!(args.lora || dtype == WeightType::F32, "--dtype: all weights are trained in f32; expected f32, or --lora");
    let lora = args.lora.then(|| LoraConfig { rank: args.lora_rank, alpha: args.lora_alpha, ..LoraConfig::default() });
    let usual = match (&args.policy, &lora) {
        (None, _) => SftPlan::default().learning_rate,
        (Some(_), None) => FULL_LEARNING_RATE,
        (Some(_), Some(_)) => LORA_LEARNING_RATE,
    };
    let plan = SftPlan {
        steps: args.steps,
        batch_size: args.batch_size,
        learning_rate: args.learning_rate.unwrap_or(usual),
        seed: args.seed,
        lora,
        ..SftPlan::default()
    };
    plan.validate()?;
    let sampling = SamplingConfig::greedy(longest(args.max_new_tokens, args.policy.as_ref())?);
    sampling.validate()?;
    let set = |split, phantoms| -> Result<Arc<dyn Dataset>> {
        Ok(studies::of(args.data.as_deref(), split, args.skip_bad, phantoms)?.sets.swap_remove(0).1)
    };
    let (supervised, validation) =
        (set(Split::Train, args.studies.unwrap_or(PHANTOMS))?, set(Split::Val, args.validation_studies)?);
    // Every study is seen many times: drawn once and kept.
    let count = supervised.len().min(args.studies.unwrap_or(usize::MAX));
    let training: Vec<Study> = (0..count).map(|index| supervised.study(index)).collect::<Result<_, _>>()?;
    let metrics = args.weights.load()?.scoring;
    let start = match &args.policy {
        Some(folder) => args.place.load(folder)?,
        None => fresh_policy(&training, &plan, &args.place.device()?)?,
    };
    let start = Arc::new(start);
    std::fs::create_dir_all(out).with_context(|| format!("--out {}: cannot be created", out.display()))?;
    let path = out.join("sft.jsonl");
    let log = File::create(&path).with_context(|| format!("{}: cannot be written", path.display()))?;
    let budget = if args.lora { KEPT_FEATURES } else { 0 };
    Ok(Job {
        prompts: Arc::new(Prompts::new(start.clone(), budget)),
        start,
        training,
        validation,
        plan,
        sampling,
        metrics,
        out: out.clone(),
        base: args.policy.as_deref().map(absolute).transpose()?.unwrap_or_default(),
        log,
        best: None,
    })
}

/// A folder's name that holds wherever the adapter is loaded on this machine.
fn absolute(folder: &Path) -> Result<String> {
    let whole = folder.canonicalize().with_context(|| format!("{}: cannot be read", folder.display()))?;
    Ok(whole.display().to_string())
}

impl Job {
    fn record(&mut self, step: u64, losses: &[f64], stats: &SftStats, seconds: f64) -> Result<()> {
        let loss = losses.iter().sum::<f64>() / losses.len() as f64;
        let line = json!({"step": step, "loss": loss, "learning_rate": stats.learning_rate,
            "gradient_norm": stats.gradient_norm, "seconds": seconds});
        writeln!(self.log, "{line}").with_context(|| format!("{}: sft.jsonl cannot be written", self.out.display()))
    }

    fn evaluate(&self, trainer: &SftTrainer, interrupt: &Interrupt) -> Result<ClinicalScores> {
        let adapter = adapter(&self.start, &self.plan, trainer)?;
        let prompts = match &adapter {
            Some(_) => self.prompts.clone(),
            None => Arc::new(Prompts::new(Arc::new(trained(&self.start, trainer)?), 0)),
        };
        let held_out = HeldOut {
            prompts,
            dataset: self.validation.clone(),
            studies: usize::MAX,
            sampling: self.sampling.clone(),
            metrics: self.metrics.clone(),
        };
        Ok(held_out.evaluate(adapter.as_ref(), |_| interrupt.check())?.scores)
    }

    /// Writes the trainer's present weights.
    fn keep(&self, trainer: &SftTrainer) -> Result<()> {
        match adapter(&self.start, &self.plan, trainer)? {
            Some(adapter) => adapter.save_peft(&self.out, &self.base)?,
            None => trained(&self.start, trainer)?.save(&self.out)?,
        }
        Ok(())
    }

    /// The error of a training that is to stop, with what is kept of it: the best weights, or else the present ones.
    fn stop(&self, stopped: anyhow::Error, step: u64, trainer: &SftTrainer) -> Result<anyhow::Error> {
        if self.best.is_some() {
            return Ok(stopped.context(self.kept()));
        }
        self.keep(trainer)?;
        Ok(stopped.context(format!("the weights of step {step} are in {}", self.out.display())))
    }

    fn kept(&self) -> String {
        match self.best {
            Some((step, average)) => {
                format!("the weights of step {step}, validation average {average:.4}, are in {}", self.out.display())
            }
            None => "nothing was kept".into(),
        }
    }
}
