//! Options of commands that work with one policy on one device.

use std::path::{Path, PathBuf};

use addendum::{
    policy::{Adapter, Policy, device::device, image::PixelLimits},
    train::{
        held_out::longest_response,
        placement::{WeightType, pixels},
    },
};
use anyhow::{Result, bail};
use candle_core::Device;
use clap::Args;

use super::output::folder;

/// Tokens of a report, at most, where neither an option nor the checkpoint says how many.
const LONGEST: usize = 512;

/// Where a policy computes, and how its weights are kept.
#[derive(Args)]
pub struct Place {
    /// Where the policy computes: cpu, or cuda:N in a build with the feature `cuda`.
    #[arg(long, default_value = "cpu")]
    pub device: String,
    /// How weight matrices are stored.
    #[arg(long, value_enum, default_value = "f32")]
    pub dtype: WeightType,
    /// Bounds on the pixels of an image; the checkpoint's without it, 262144,401408 in the paper.
    #[arg(long, value_name = "MIN,MAX", value_parser = pixels)]
    pub pixels: Option<PixelLimits>,
}

impl Place {
    pub fn device(&self) -> Result<Device> {
        Ok(device(&self.device)?)
    }

    pub fn load(&self, folder: &std::path::Path) -> Result<Policy> {
        let policy = Policy::load(folder, self.dtype.into(), &self.device()?)?;
        Ok(match self.pixels {
            Some(limits) => policy.with_pixels(limits)?,
            None => policy,
        })
    }
}

/// A policy that writes reports.
#[derive(Args)]
pub struct Writer {
    /// The policy's checkpoint folder.
    #[arg(long, value_name = "DIR")]
    pub policy: PathBuf,
    /// An adapter's folder, in PEFT's format.
    #[arg(long, value_name = "DIR")]
    pub adapter: Option<PathBuf>,
    #[command(flatten)]
    pub place: Place,
    /// Tokens after which a report is cut; what the checkpoint's generation_config.json says, or else 512, without it.
    #[arg(long, value_name = "COUNT")]
    pub max_new_tokens: Option<usize>,
    /// 0 takes the most likely token.
    #[arg(long, default_value_t = 0.)]
    pub temperature: f64,
}

impl Writer {
    /// # Errors
    /// Files that are missing, damaged or do not fit each other, by name; a device that is not there.
    pub fn load(&self) -> Result<(Policy, Option<Adapter>)> {
        if let Some(adapter) = &self.adapter {
            adapter_folder(adapter)?;
        }
        let policy = self.place.load(&self.policy)?;
        let read = |folder: &PathBuf| Adapter::load_peft(policy.config(), folder, policy.device());
        let adapter = self.adapter.as_ref().map(read).transpose()?;
        Ok((policy, adapter))
    }

    /// Tokens of a report, at most.
    pub fn longest(&self) -> Result<usize> {
        longest(self.max_new_tokens, Some(&self.policy))
    }
}

/// Whether `--adapter` may be read.
///
/// # Errors
/// The folder cannot be read, or is that of a run, which has its adapter below.
pub fn adapter_folder(path: &Path) -> Result<()> {
    folder("--adapter", path)?;
    let below = path.join("adapter");
    let named = "adapter_config.json";
    if !path.join(named).exists() && below.join(named).exists() {
        bail!("--adapter {}: no {named} is in it; that of this run is in {}", path.display(), below.display());
    }
    Ok(())
}

/// Tokens of a report, at most: what an option says, or else the checkpoint.
pub fn longest(option: Option<usize>, checkpoint: Option<&PathBuf>) -> Result<usize> {
    match (option, checkpoint) {
        (Some(tokens), _) => Ok(tokens),
        (None, Some(folder)) => Ok(longest_response(folder)?.unwrap_or(LONGEST)),
        (None, None) => Ok(LONGEST),
    }
}
