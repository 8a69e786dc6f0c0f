//! `addendum completions`: what a shell needs to complete commands and options.

use anyhow::Result;
use clap::{Args, Command};
use clap_complete::Shell;

use super::output::print;

#[derive(Args)]
pub struct CompletionArgs {
    /// The shell. bash: `source <(addendum completions bash)`.
    shell: Shell,
}

/// The script for a command line.
pub fn run(args: &CompletionArgs, mut command: Command) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "addendum", &mut script);
    print(&String::from_utf8(script)?)
}
