//! `addendum phantoms`: phantom studies as a dataset folder, or how far any policy can get on them.

mod oracle;

use std::path::{Path, PathBuf};

use addendum::{
    studies::{Phantom, PhantomConfig, Split, folder},
    train::{Settings, Sources},
};
use anyhow::Result;
use clap::Args;

use super::{exit::beforehand, output};

#[derive(Args)]
pub struct PhantomArgs {
    /// The folder to write.
    #[arg(long, required_unless_present = "oracle")]
    out: Option<PathBuf>,
    /// Studies of the training split; validation and test get a quarter each.
    #[arg(long, default_value_t = 100)]
    studies: usize,
    /// Instead of the settings' data.phantoms.seed, which is 0 where none is given.
    #[arg(long)]
    seed: Option<u64>,
    /// A settings file whose [data.phantoms] says what they are like.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Change one setting, such as data.phantoms.version=2. May be given many times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// Write nothing; print how far an ideal reader gets on so many studies of each site. Needs version 2.
    #[arg(long, value_name = "STUDIES", conflicts_with_all = ["out", "studies"])]
    oracle: Option<usize>,
}

pub fn run(args: &PhantomArgs) -> Result<()> {
    let phantoms = beforehand(args.phantoms())?;
    let write = |dir: &Path, split, count| -> Result<()> {
        let config = PhantomConfig { split, count, ..phantoms.clone() };
        Ok(folder::write(dir, split, &Phantom::new(config)?)?)
    };
    if let Some(count) = args.oracle {
        return output::print(&oracle::tables(&phantoms, count)?);
    }
    let Some(out) = &args.out else { return Ok(()) };
    let held_out = args.studies.div_ceil(4);
    write(out, Split::Train, args.studies)?;
    write(out, Split::Val, held_out)?;
    write(out, Split::Test, held_out)
}

impl PhantomArgs {
    /// What the settings say of phantoms.
    fn phantoms(&self) -> Result<PhantomConfig> {
        let sources = Sources { file: self.config.as_deref(), sets: &self.sets };
        let checked = Settings::checked(&sources, |settings| match &settings.data.phantoms {
            Some(_) => settings.data.validate().map_err(|problem| problem.within("data")),
            None => Ok(()),
        });
        let phantoms = checked?.data.phantoms.unwrap_or_default();
        let seed = self.seed.unwrap_or(phantoms.seed);
        Ok(PhantomConfig { seed, world: phantoms.world(), ..PhantomConfig::default() })
    }
}
