//! `addendum completions`: what a shell needs to complete commands and options.

use anyhow::Result;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, output::print};

#[derive(Args)]
pub struct CompletionArgs {
    /// The shell. bash: `source <(addendum completions bash)`.
    shell: Shell,
}

pub fn run(args: &CompletionArgs) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "addendum", &mut script);
    print(&String::from_utf8(script)?)
}
