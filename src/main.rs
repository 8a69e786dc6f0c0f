//! The `addendum` command line.

#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

use addendum::threads;
use clap::Parser;

fn main() -> ExitCode {
    threads::without_candles_pool();
    cli::Cli::parse().run()
}
