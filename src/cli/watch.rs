//! `addendum watch`: a run in the terminal.

use std::io::{IsTerminal, stdout};

use addendum::{
    report::terminal::Paint,
    train::interrupt::Interrupt,
    watch::{Source, Theme, show, snapshot},
};
use anyhow::Result;
use clap::Args;

use super::{exit::beforehand, output};

#[derive(Args)]
pub struct WatchArgs {
    /// A run folder, or the address of a run's metrics, such as http://127.0.0.1:9464.
    #[arg(value_name = "DIR|URL")]
    target: String,
    /// Print what there is to see as plain text, and stop; so it is where the output is no terminal.
    #[arg(long)]
    once: bool,
}

pub fn run(args: &WatchArgs) -> Result<()> {
    let mut source = beforehand(Source::open(&args.target).map_err(Into::into))?;
    if args.once || !stdout().is_terminal() {
        return output::print(&snapshot(&mut source));
    }
    let interrupt = Interrupt::listen()?;
    show(source, Theme { colours: Paint::from_environment().has_colours() }, || interrupt.check())
}
