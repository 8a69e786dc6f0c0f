//! `addendum phantoms`: phantom studies as a dataset folder.

use std::path::{Path, PathBuf};

use addendum::{
    studies::{Phantom, PhantomConfig, Split, folder},
    train::{Settings, Sources},
};
use anyhow::Result;
use clap::Args;

use super::exit::beforehand;

#[derive(Args)]
pub struct PhantomArgs {
    #[arg(long)]
    out: PathBuf,
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
}

pub fn run(args: &PhantomArgs) -> Result<()> {
    let phantoms = beforehand(args.phantoms())?;
    let write = |dir: &Path, split, count| -> Result<()> {
        let config = PhantomConfig { split, count, ..phantoms.clone() };
        Ok(folder::write(dir, split, &Phantom::new(config)?)?)
    };
    let held_out = args.studies.div_ceil(4);
    write(&args.out, Split::Train, args.studies)?;
    write(&args.out, Split::Val, held_out)?;
    write(&args.out, Split::Test, held_out)
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
