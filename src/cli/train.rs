//! `addendum train`: a run from a settings file, or from where it was left.

use std::path::PathBuf;

#[cfg(debug_assertions)]
use addendum::actors::Faults;
use addendum::{
    report::{progress::Progress, run::CONFIG},
    train::{Settings, Sources, Training, interrupt::Interrupt},
};
use anyhow::{Context, Result, anyhow};
use clap::Args;

use super::{exit::beforehand, output};

#[derive(Args)]
pub struct TrainArgs {
    /// The settings file; `addendum config` prints one with everything in it.
    #[arg(long, value_name = "FILE", required_unless_present_any = ["resume", "replay"])]
    config: Option<PathBuf>,
    /// Change one setting, such as learner.schedule.learning_rate=1e-6. May be given many times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// The run folder; the next runs/train-N without it.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on with the run in this folder, under its own settings.
    #[arg(long, value_name = "DIR", conflicts_with = "out")]
    resume: Option<PathBuf>,
    /// Train again on the reports that the run in this folder has recorded (sampled.jsonl), under its own settings where no
    /// file is named: the same settings give the same adapter, others are compared on the same reports.
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    replay: Option<PathBuf>,
    /// Write where time goes into this file, which ui.perfetto.dev and chrome://tracing open: what every actor does and
    /// waits for, and the way of every ticket. It changes no result.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Check everything that can be checked without computing, print the plan, and stop.
    #[arg(long)]
    dry_run: bool,
    /// Put faults into the run, to try what it endures: PLACE=ACTION@SHARE or PLACE=ACTION#N, separated by commas. In
    /// builds for tests only.
    #[cfg(debug_assertions)]
    #[arg(long, value_name = "FAULTS", hide = true)]
    fault: Option<String>,
    /// Which times the faults strike.
    #[cfg(debug_assertions)]
    #[arg(long, value_name = "SEED", default_value_t = 0, hide = true)]
    fault_seed: u64,
}

impl TrainArgs {
    fn training(&self) -> Result<Training> {
        let sources = Sources { file: self.config.as_deref(), sets: &self.sets };
        if let Some(folder) = &self.resume {
            let config = folder.join(CONFIG);
            let file = sources.file.unwrap_or(&config);
            return Training::resumed(folder, |_| {
                Ok(Settings::checked(&Sources { file: Some(file), ..sources }, Settings::validate)?)
            });
        }
        let settings = match &self.replay {
            Some(folder) => {
                let config = folder.join(CONFIG);
                let file = sources.file.unwrap_or(&config);
                let sources = Sources { file: Some(file), ..sources };
                Settings::checked(&sources, |settings| settings.replaying(folder).validate())?.replaying(folder)
            }
            None => Settings::checked(&sources, Settings::validate)?,
        };
        let training = Training::new(settings);
        Ok(match &self.out {
            Some(folder) => training.out(folder),
            None => training,
        })
    }
}

pub fn run(args: &TrainArgs, progress: &Progress) -> Result<()> {
    let mut training = beforehand(args.training())?.progress(progress.clone());
    if let Some(file) = &args.trace {
        training = training.trace(file);
    }
    #[cfg(debug_assertions)]
    if let Some(faults) = &args.fault {
        let faults = Faults::parse(faults, args.fault_seed).map_err(|reason| anyhow!("--fault: {reason}"));
        training = training.faults(beforehand(faults)?);
    }
    if args.dry_run {
        let plan = training.plan();
        output::print(&plan.to_string())?;
        let problems = plan.problems.len();
        return beforehand(if problems == 0 {
            Ok(())
        } else {
            Err(anyhow!("{problems} problems must be mended first"))
        });
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.context("the asynchronous runtime could not be started")?;
    let result = runtime.block_on(train(training));
    // What stands still must not keep the process.
    runtime.shutdown_background();
    result
}

async fn train(training: Training) -> Result<()> {
    let name = training.settings().method();
    let run = beforehand(training.name(name).interrupt(Interrupt::listen()?).prepare())?;
    if !run.settings().evaluation.tests {
        let (run, _) = run.train().await?;
        return run.close();
    }
    let before = run.evaluate(None)?;
    let (run, adapter) = run.train().await?;
    let after = run.evaluate(Some(&adapter))?;
    run.report(&[("SFT", before), (name, after)])
}
