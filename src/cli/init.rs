//! `addendum init`: a model folder with random weights.

use std::path::PathBuf;

use addendum::policy::{
    Config,
    checkpoint::{self, save_weights},
    model::Weights,
};
use anyhow::{Context, Result};
use candle_core::{DType, Device};
use clap::Args;

use super::exit::beforehand;

#[derive(Args)]
pub struct InitArgs {
    /// A config.json in one of the published forms.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Gets config.json and model.safetensors.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

pub fn run(args: &InitArgs) -> Result<()> {
    let config = beforehand(Config::load(&args.config).map_err(Into::into))?;
    std::fs::create_dir_all(&args.out).with_context(|| format!("{}: cannot be created", args.out.display()))?;
    save_weights(&Weights::random(&config, args.seed, DType::F32, &Device::Cpu)?, &args.out.join(checkpoint::SINGLE))?;
    let text = serde_json::to_string_pretty(&config.to_json())?;
    Ok(checkpoint::write_whole(&args.out.join("config.json"), text.as_bytes())?)
}
