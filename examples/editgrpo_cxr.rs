//! EditGRPO on chest X-rays, from a supervised checkpoint to a table of clinical scores.
//!
//!     cargo run --release --example editgrpo_cxr -- --help

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf, sync::Arc, time::Instant};

use addendum::{
    actors::{Pipeline, Scores, stages::EditStage},
    editor::Editor,
    options::{EditOptions, RewardOptions},
    policy::{Adapter, SamplingConfig},
    qwen::{Learner, Prompts, Sampler, Tokenizer},
    report::{plots, progress::Progress, results, run_folder::RunFolder},
    train::{
        data::{Counts, Data},
        held_out,
        interrupt::Interrupt,
        placement::{Devices, Placement},
        reward_models::{Annotators, Weights},
        settings::{Arm, Settings},
        supervised::{self, SftPlan},
    },
};
use anyhow::{Context, Result, bail};
use clap::Parser;

/// Image features kept on each device, in bytes.
const KEPT_FEATURES: usize = 512 << 20;

/// Post-train a chest X-ray report writer by asynchronous EditGRPO.
#[derive(Parser)]
struct Args {
    /// Which method; `--compare` runs them all.
    #[arg(long, value_enum, default_value = "edit-grpo")]
    arm: Arm,
    /// The paper's comparison: every method from the same checkpoint, over several seeds.
    #[arg(long)]
    compare: bool,
    /// Seeds of `--compare`.
    #[arg(long, value_delimiter = ',', default_value = "1,2,3")]
    seeds: Vec<u64>,
    /// A smoke run of less than a minute.
    #[arg(long)]
    quick: bool,
    /// A dataset folder (train.json, val.json, test.json and images) instead of the built-in phantoms.
    #[arg(long)]
    data: Option<PathBuf>,
    #[command(flatten)]
    devices: Devices,
    #[command(flatten)]
    weights: Weights,
    /// The supervised checkpoint to start from.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/checkpoints/phantom-tiny"))]
    policy: PathBuf,
    /// Train a supervised checkpoint from scratch instead, for this many steps.
    #[arg(long, value_name = "STEPS", num_args = 0..=1, default_missing_value = "1500")]
    sft: Option<u64>,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Learner steps.
    #[arg(long)]
    steps: Option<u64>,
    /// Studies per learner step.
    #[arg(long)]
    studies: Option<u64>,
    /// Reports per study, half of them edited.
    #[arg(long, default_value_t = 8)]
    group_size: usize,
    /// How many versions a rollout may lag behind the learner.
    #[arg(long, default_value_t = 1, allow_negative_numbers = true)]
    staleness: u64,
    #[arg(long, default_value_t = 1)]
    samplers: usize,
    #[arg(long, default_value_t = 5e-4, allow_negative_numbers = true)]
    learning_rate: f64,
    /// Weight of the KL divergence to the checkpoint.
    #[arg(long, default_value_t = 0.01, allow_negative_numbers = true)]
    beta: f64,
    #[command(flatten)]
    reward: RewardOptions,
    #[command(flatten)]
    edit: EditOptions,
    /// Studies per test set.
    #[arg(long, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    test_studies: Option<usize>,
    /// Score on validation studies instead of the tests: for choosing settings.
    #[arg(long)]
    validate: bool,
    /// Serve Prometheus metrics at this address, such as 127.0.0.1:9464.
    #[arg(long)]
    metrics_addr: Option<SocketAddr>,
    /// The run folder; `runs/editgrpo_cxr-N` without it.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Go on with the run in `--out` from its last checkpoint.
    #[arg(long, requires = "out", conflicts_with = "compare")]
    resume: bool,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let args = Args::parse();
    let interrupt = Interrupt::listen()?;
    let settings = settings(&args)?;
    args.arm.settings(&settings).validate()?;
    let distinct: BTreeSet<_> = args.seeds.iter().collect();
    if args.seeds.is_empty() || distinct.len() < args.seeds.len() {
        bail!("--seeds {:?}: expected seeds that differ", args.seeds);
    }
    let annotators = args.weights.load()?.patient(settings.patience)?;
    if let Some(address) = args.metrics_addr {
        addendum::train::prometheus::serve(address)?;
    }
    let folder = match &args.out {
        Some(path) if args.resume => RunFolder::open(path)?,
        Some(path) => RunFolder::create(path)?,
        None => RunFolder::numbered("runs".as_ref(), "editgrpo_cxr")?,
    };
    let held_out = args.test_studies.unwrap_or(if args.quick { 32 } else { Counts::default().held_out });
    let mut data = match &args.data {
        Some(dir) => Data::folder(dir)?,
        None => Data::phantoms(0, Counts { held_out, ..Counts::default() })?,
    };
    if args.validate {
        data.tests = data.validation.clone();
    }
    let progress = Progress::stderr();
    let placement = match args.sft {
        Some(steps) => {
            let plan = SftPlan { steps, ..SftPlan::default() };
            Placement::alone(supervised::from_scratch(&*data.supervised, &plan, &progress)?, KEPT_FEATURES)
        }
        None => Placement::load(&args.policy, &args.devices, KEPT_FEATURES)?,
    };
    let longest = settings.sampling.max_new_tokens;
    let job = Job { placement, annotators, data, folder, progress, interrupt, resume: args.resume, longest };
    if args.compare { compare(&args, &settings, &job).await } else { single(&args, &settings, &job).await }
}

struct Job {
    placement: Placement,
    annotators: Annotators,
    data: Data,
    folder: RunFolder,
    progress: Progress,
    interrupt: Interrupt,
    resume: bool,
    /// Tokens after which an evaluated report is cut.
    longest: usize,
}

impl Job {
    fn evaluate(&self, prompts: &Arc<Prompts>, adapter: Option<&Adapter>) -> Result<Vec<Scores>> {
        let (tests, metrics) = (&self.data.tests, &self.annotators.scoring);
        let sampling = SamplingConfig::greedy(self.longest);
        held_out::on_sets(tests, prompts, adapter, &sampling, metrics, &self.progress, &self.interrupt)
    }

    fn report(&self, rows: &[(&str, Vec<Vec<Scores>>)]) -> Result<()> {
        results::publish(&self.data.tests, rows, &self.folder)
    }
}

/// The tuned settings, with what the command line changes.
fn settings(args: &Args) -> Result<Settings> {
    let mut settings = Settings::phantoms();
    (settings.run.seed, settings.run.group_size) = (args.seed, args.group_size);
    (settings.run.staleness, settings.run.samplers) = (args.staleness, args.samplers);
    settings.run.steps = args.steps.unwrap_or(if args.quick { 6 } else { settings.run.steps });
    settings.run.batch_groups = args.studies.unwrap_or(if args.quick { 2 } else { settings.run.batch_groups });
    args.edit.apply(&mut settings.edit);
    args.reward.apply(&mut settings)?;
    settings.learner.memory_limit = args.devices.memory_limit();
    settings.learner.objective.kl_coefficient = args.beta;
    settings.learner.schedule.learning_rate = args.learning_rate;
    settings.learner.schedule.total_steps = settings.run.steps;
    Ok(settings)
}

/// The method: sample, edit, score, learn.
async fn post_train(arm: Arm, settings: &Settings, job: &Job, folder: &RunFolder) -> Result<Adapter> {
    let settings = arm.settings(settings);
    folder.config(&settings)?;
    let Placement { samplers, learner } = job.placement.clone();
    let policy = learner[0].policy().clone();
    let adapter = Adapter::new(policy.config(), settings.lora.clone(), settings.run.seed, policy.device())?;
    let editing = settings.services.editing(&job.annotators.editing)?;
    let editor = Arc::new(Editor::from_backends(settings.edit.clone(), &editing)?);
    let tokenizer = Arc::new(Tokenizer(policy.clone()));
    let mut sampling = settings.sampling.clone();
    sampling.suppressed_tokens = policy.tokenizer().misplaced_tokens();

    let config = settings.learner.clone();
    let training = job.progress.training(arm.name(), settings.run.steps);
    let variant = settings.run.variant;
    let chain = Pipeline::new(
        settings.run.clone(),
        job.data.training.clone(),
        move |i| Ok(Sampler::new(samplers[i % samplers.len()].clone(), sampling.clone())?),
        move || Ok(Learner::new(&learner, adapter, config)?),
    )
    .stage("editor", 1, move || EditStage::new(editor.clone(), tokenizer.clone(), variant));
    let mut pipeline = settings
        .append_reward(chain, job.annotators.scoring.clone())?
        .observer(training.observer())
        .folder(folder.path())
        .stop_when(job.interrupt.clone().requested());
    if job.resume {
        pipeline = pipeline.resume();
    }
    let summary = pipeline.run().await?;
    training.finish();
    for letter in summary.dead_letters.values() {
        job.progress.note(format!("gave up: {letter}"));
    }
    job.interrupt.check().with_context(|| format!("stopped; --resume --out {} goes on", folder.path().display()))?;
    if summary.dead_letters.len() as u64 == settings.run.steps * settings.run.batch_groups {
        bail!("nothing was learnt: every study failed");
    }
    let adapter = Adapter::clone(&summary.snapshot);
    adapter.save_peft(&folder.path().join("adapter"), "phantom-tiny")?;
    plots::write(folder.path())?;
    Ok(adapter)
}

/// One method, and by how much it moved the checkpoint.
async fn single(args: &Args, settings: &Settings, job: &Job) -> Result<()> {
    let before = job.evaluate(job.placement.home(), None)?;
    let adapter = post_train(args.arm, settings, job, &job.folder).await?;
    let after = job.evaluate(job.placement.home(), Some(&adapter))?;
    job.report(&[("SFT", vec![before]), (args.arm.name(), vec![after])])
}

/// The paper's table: the same checkpoint, studies and number of learner steps for every method.
async fn compare(args: &Args, settings: &Settings, job: &Job) -> Result<()> {
    let mut rows = vec![("SFT", vec![job.evaluate(job.placement.home(), None)?]), ("SFT continued", vec![])];
    rows.extend([Arm::DrGrpo, Arm::EditGrpo, Arm::EditGrpoPara].map(|arm| (arm.name(), vec![])));
    for &seed in &args.seeds {
        let mut settings = settings.clone();
        settings.run.seed = seed;
        let mut seconds = 0.0;
        for (row, arm) in [(2, Arm::DrGrpo), (3, Arm::EditGrpo), (4, Arm::EditGrpoPara)] {
            let folder = RunFolder::create(job.folder.path().join(format!("{}-{seed}", arm.name())))?;
            let clock = Instant::now();
            let adapter = post_train(arm, &settings, job, &folder).await?;
            seconds = clock.elapsed().as_secs_f64();
            rows[row].1.push(job.evaluate(job.placement.home(), Some(&adapter))?);
        }
        let continued = supervised::continued(job.placement.home().policy(), &*job.data.training, seed, seconds)?;
        rows[1].1.push(job.evaluate(&Arc::new(Prompts::new(Arc::new(continued), 0)), None)?);
    }
    job.report(&rows)
}
