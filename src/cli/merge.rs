//! `addendum merge`: an adapter merged into its base model, as a checkpoint folder for any library.

use std::path::PathBuf;

use addendum::policy::merge::merge_folder;
use anyhow::Result;
use clap::Args;

use super::{
    exit::beforehand,
    output::{folder, print},
    policy::adapter_folder,
};

#[derive(Args)]
pub struct MergeArgs {
    /// The base model's checkpoint folder.
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// The adapter's folder, in PEFT's format.
    #[arg(long, value_name = "DIR")]
    adapter: PathBuf,
    /// A new folder for the merged checkpoint.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub fn run(args: &MergeArgs) -> Result<()> {
    beforehand(folder("--model", &args.model))?;
    beforehand(adapter_folder(&args.adapter))?;
    merge_folder(&args.model, &args.adapter, &args.out)?;
    print(&format!("{}: merged\n", args.out.display()))?;
    Ok(())
}
