//! `addendum report`: a page that explains a run, or compares several.

use std::{collections::HashMap, path::PathBuf};

use addendum::{
    policy::checkpoint::write_whole,
    report::{
        ReportError,
        page::{Page, Place},
        run::Run,
    },
    train::recall::Recall,
};
use anyhow::{Context, Result};
use clap::Args;

use super::{exit::beforehand, output};

/// The file of a run folder with its report.
const REPORT: &str = "report.html";

#[derive(Args)]
pub struct ReportArgs {
    /// Run folders. Runs that differ by nothing but the seed are shown as one, with a band.
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<PathBuf>,
    /// The page to write; report.html in the folder of a single run without it.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// What the page is called.
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
}

/// # Errors
/// A folder that holds no run, or a damaged one; too many runs; a page that cannot be written.
pub fn run(args: &ReportArgs) -> Result<()> {
    let out = match (&args.out, args.runs.as_slice()) {
        (Some(out), _) => out.clone(),
        (None, [run]) => run.join(REPORT),
        (None, _) => {
            return beforehand(Err(anyhow::anyhow!(
                "--out is not given; expected a file for the page of several runs"
            )));
        }
    };
    beforehand(output::writable(&out))?;
    let runs: Result<Vec<Run>, ReportError> = args.runs.iter().map(|run| Run::read(run)).collect();
    let runs = beforehand(runs.map_err(Into::into))?;
    let recalls: HashMap<PathBuf, Result<Recall, String>> = runs
        .iter()
        .map(|run| (run.path.clone(), Recall::of(&run.path).map_err(|error| format!("{error:#}"))))
        .collect();
    let find = |run: &Run, place: &Place| match recalls.get(&run.path) {
        Some(Ok(recall)) => recall.find(place),
        Some(Err(reason)) => Err(reason.clone()),
        None => Err("the run is not known".into()),
    };
    let page = beforehand(Page { title: args.title.as_deref(), runs: &runs, find: &find }.html().map_err(Into::into))?;
    write_whole(&out, page.as_bytes()).with_context(|| format!("{}: cannot be written", out.display()))?;
    output::print(&format!("{}\n", out.display()))
}
