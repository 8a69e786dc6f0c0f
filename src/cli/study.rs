//! `addendum study`: an experiment from a file, or what is left of it.

use std::path::PathBuf;

use addendum::{
    report::{progress::Progress, run_folder::RunFolder},
    study::{Choice, Execution, Plan, Study, Summary, choose, missing},
    train::interrupt::{Interrupt, Interrupted},
};
use anyhow::Result;
use clap::Args;

use super::{exit::beforehand, output};

#[derive(Args)]
pub struct StudyArgs {
    /// The study's file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Where its jobs and results go; what is done there already is not done again. runs/studies/NAME without it.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Devices, such as cuda:0,cuda:1, with one job at a time on each; where the settings say without it.
    #[arg(long, value_delimiter = ',', value_name = "DEVICE,...")]
    devices: Vec<String>,
    /// Jobs at a time on every device.
    #[arg(long, default_value_t = 1, value_name = "COUNT", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=256))]
    jobs: usize,
    /// List what is done and what is not, and stop.
    #[arg(long)]
    dry_run: bool,
}

/// # Errors
/// A file that cannot be used; a job that fails; the user wants to stop. What is done by then is kept.
pub fn run(args: &StudyArgs, progress: &Progress) -> Result<()> {
    let plan = beforehand(Study::read(&args.file).and_then(Plan::new).map_err(Into::into))?;
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from("runs/studies").join(&plan.study.name));
    let mut execution = Execution { progress: progress.clone(), ..Execution::new(&out) };
    let devices: Vec<Option<String>> = args.devices.iter().cloned().map(Some).collect();
    let devices = if devices.is_empty() { vec![None] } else { devices };
    execution.places = devices.iter().cycle().take(devices.len() * args.jobs).cloned().collect();
    if args.dry_run {
        return output::print(&listed(&plan, &execution));
    }
    execution.interrupt = Interrupt::listen()?;
    let choice = execution.run(&plan).map_err(|error| match error.downcast_ref::<Interrupted>() {
        Some(_) => error.context(format!("`addendum study {} --out {}` goes on", args.file.display(), out.display())),
        None => error,
    })?;
    execution.pages(&plan, &choice);
    let summary = Summary::new(&plan, &choice, &out)?;
    let folder = RunFolder::open(&out)?;
    folder.json("results.json", &summary)?;
    folder.write("results.md", summary.markdown().as_bytes())?;
    summary.draw(&out)?;
    output::print(&format!("{}\nEverything about this study is in {}\n", summary.text(), out.display()))
}

/// What is to be done. Which points of grids are chosen shows only when their scores are there.
fn listed(plan: &Plan, execution: &Execution) -> String {
    let out = &execution.out;
    let candidates = plan.candidates();
    let open = missing(&candidates, out);
    let choice: Choice = match open.is_empty().then(|| choose(plan, out)) {
        Some(Ok(choice)) => choice,
        _ => plan.first(),
    };
    let jobs: Vec<_> = candidates.into_iter().chain(plan.runs(&choice)).chain(plan.tests(&choice)).collect();
    // In a folder that holds nothing everything is missing.
    let all = missing(&jobs, "".as_ref());
    let mut text = String::new();
    for job in &all {
        let state = if job.done(out).is_some() { "done" } else { "to do" };
        text += &format!("{state:5}  {:27}  {}\n", job.id, job.about);
    }
    let left = missing(&jobs, out);
    let runs = left.iter().filter(|job| job.trains()).count();
    text += &format!("\n{} jobs, {} to do, of which {runs} train", all.len(), left.len());
    if !open.is_empty() {
        text += "; of each grid, the first point stands for the one that its validation will choose";
    }
    text + &format!("\nin {}\n", out.display())
}
