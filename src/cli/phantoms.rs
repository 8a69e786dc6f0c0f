//! `addendum phantoms`: phantom studies as a dataset folder.

use std::path::{Path, PathBuf};

use addendum::studies::{Phantom, PhantomConfig, Split, folder};
use anyhow::Result;
use clap::Args;

#[derive(Args)]
pub struct PhantomArgs {
    #[arg(long)]
    out: PathBuf,
    /// Studies of the training split; validation and test get a quarter each.
    #[arg(long, default_value_t = 100)]
    studies: usize,
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

pub fn run(args: &PhantomArgs) -> Result<()> {
    let write = |dir: &Path, split, count| -> Result<()> {
        let config = PhantomConfig { seed: args.seed, split, count, ..PhantomConfig::default() };
        Ok(folder::write(dir, split, &Phantom::new(config)?)?)
    };
    let held_out = args.studies.div_ceil(4);
    write(&args.out, Split::Train, args.studies)?;
    write(&args.out, Split::Val, held_out)?;
    write(&args.out, Split::Test, held_out)
}
