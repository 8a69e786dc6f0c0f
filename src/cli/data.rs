//! `addendum data`: what people do with datasets before they train on them, one file per command.

mod check;

use addendum::report::progress::Progress;
use anyhow::Result;
use clap::Subcommand;

#[derive(Subcommand)]
pub enum Data {
    /// Read all splits of a dataset folder as a run would; tell all that is wrong or odd, and what the studies are like.
    Check(check::CheckArgs),
}

pub fn run(command: &Data, progress: &Progress) -> Result<()> {
    match command {
        Data::Check(args) => check::run(args, progress),
    }
}
