//! `addendum data`: what people do with datasets before they train on them, one file per command.

mod check;

use anyhow::Result;
use clap::Subcommand;

#[derive(Subcommand)]
pub enum Data {
    /// Read all splits of a dataset folder as a run would, and tell what is wrong with them.
    Check(check::CheckArgs),
}

pub fn run(command: &Data) -> Result<()> {
    match command {
        Data::Check(args) => check::run(args),
    }
}
