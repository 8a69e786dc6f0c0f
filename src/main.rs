//! The `addendum` command line.

#![forbid(unsafe_code)]

mod cli;

use addendum::threads;
use anyhow::Result;
use clap::Parser;

fn main() -> Result<()> {
    threads::without_candles_pool();
    cli::Cli::parse().run()
}
