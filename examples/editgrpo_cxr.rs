//! EditGRPO on chest X-rays (arXiv 2509.22812), from a supervised checkpoint to a table of clinical scores: the paper's
//! method on a page. `addendum train` does the same from a settings file.
//!
//!     cargo run --release --example editgrpo_cxr -- --help

use std::path::PathBuf;

use addendum::{
    actors::Variant,
    options::PaperOptions,
    train::{Settings, Training, interrupt::Interrupt},
};
use anyhow::Result;
use clap::Parser;

/// Post-train a chest X-ray report writer by asynchronous EditGRPO.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    paper: PaperOptions,
    /// The run folder; `runs/editgrpo_cxr-N` without it.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Write where time goes into this file, for ui.perfetto.dev and chrome://tracing.
    #[arg(long)]
    trace: Option<PathBuf>,
    /// Go on with the run in `--out` from its last checkpoint.
    #[arg(long, requires = "out")]
    resume: bool,
}

/// The method, tuned on validation phantoms.
fn editgrpo() -> Settings {
    let mut settings = Settings::phantoms();
    settings.policy.path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/checkpoints/phantom-2").into();
    settings.policy.name = Some("phantom-2".into());
    // Half of a group is sampled; each sampled report has one sentence corrected from its reference.
    settings.run.variant = Variant::EditGrpo;
    (settings.run.group_size, settings.edit.tau) = (8, 0.6);
    settings.reward.weights = ["radgraph", "chexbert", "rate"].map(|name| (name.to_string(), 1.0)).into();
    // Advantages are rewards less their group's mean; one version of staleness lets sampling and learning overlap.
    settings.algorithm.name = "dr-grpo".into();
    (settings.run.seed, settings.run.staleness) = (1, 1);
    settings
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let args = Args::parse();
    let interrupt = Interrupt::listen()?;
    let settings = args.paper.apply(editgrpo())?;
    let mut training = match args.out {
        Some(folder) if args.resume => Training::resumed(folder, |started| args.paper.apply(started))?,
        Some(folder) => Training::new(settings).out(folder),
        None => Training::new(settings),
    };
    if let Some(file) = args.trace {
        training = training.trace(file);
    }
    let method = training.settings().method();
    let run = training.name(method).numbered("editgrpo_cxr").interrupt(interrupt).prepare()?;
    let before = run.evaluate(None)?;
    let (run, adapter) = run.train().await?;
    let after = run.evaluate(Some(&adapter))?;
    run.report(&[("SFT", before), (method, after)])
}
