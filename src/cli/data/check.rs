//! `addendum data check`: all that is wrong with a dataset folder, what is odd about it, and what it is like.

mod finding;
mod limits;
mod set;
mod study;
mod summary;
mod text;

use std::path::{Path, PathBuf};

use addendum::{
    policy::{Processor, SamplingConfig, image::PixelLimits},
    report::progress::Progress,
    train::{Settings, Sources, placement::pixels},
};
use anyhow::{Context, Result, anyhow};
use clap::Args;

use super::super::{exit::beforehand, output};
use limits::Limits;
use study::Check;
use summary::Summary;

#[derive(Args)]
pub struct CheckArgs {
    /// The dataset folder; data.folder of the settings without it.
    #[arg(value_name = "DIR", required_unless_present = "config")]
    folder: Option<PathBuf>,
    /// A settings file, of which the folder, the policy with its image sizes, and the longest report are taken.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Change one setting, such as data.folder=data/iu-xray. May be given many times.
    #[arg(long = "set", value_name = "KEY=VALUE", requires = "config")]
    sets: Vec<String>,
    /// A checkpoint folder, in whose tokens prompts and reports are counted.
    #[arg(long, value_name = "DIR")]
    policy: Option<PathBuf>,
    /// Bounds on the pixels of an image; the settings' or the checkpoint's without it.
    #[arg(long, value_name = "MIN,MAX", value_parser = pixels)]
    pixels: Option<PixelLimits>,
    /// Tokens that a report may have; sampling.max_new_tokens of the settings without it.
    #[arg(long, value_name = "COUNT")]
    max_new_tokens: Option<usize>,
    /// Tokens that a prompt may have, images included; what the checkpoint has positions for without it.
    #[arg(long, value_name = "COUNT")]
    max_prompt_tokens: Option<usize>,
    /// Do not open the images, which takes most of the time; prompts are not counted then.
    #[arg(long)]
    no_images: bool,
    /// Write everything to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub fn run(args: &CheckArgs, progress: &Progress) -> Result<()> {
    let (folder, check) = beforehand(args.check())?;
    if let Some(path) = &args.json {
        beforehand(output::writable(path))?;
    }
    let summary = Summary::of(&folder, &check, progress);
    if let Some(path) = &args.json {
        let json = serde_json::to_string_pretty(&summary)? + "\n";
        std::fs::write(path, json).with_context(|| format!("{}: cannot be written", path.display()))?;
    }
    output::print(&summary.to_string())?;
    let problems = summary.problems.len();
    beforehand(if problems == 0 { Ok(()) } else { Err(anyhow!("{problems} problems must be mended first")) })
}

impl CheckArgs {
    /// The folder, and what its studies are held to.
    fn check(&self) -> Result<(PathBuf, Check)> {
        let sources = Sources { file: self.config.as_deref(), sets: &self.sets };
        let settings = self.config.is_some().then(|| Settings::load(&sources)).transpose()?;
        let of_settings = settings.as_ref().and_then(|settings| settings.data.folder.clone());
        let folder =
            self.folder.clone().or(of_settings).context("data.folder is not set; expected a dataset folder")?;
        let policy = settings.as_ref().map(|settings| &settings.policy);
        let path = self.policy.as_deref().or(policy.map(|policy| &*policy.path));
        let processor = path
            .filter(|path| !path.as_os_str().is_empty())
            .map(|path| self.processor(path, policy.and_then(|policy| policy.pixels)));
        let processor = processor.transpose()?;
        let sampled = settings.as_ref().map_or_else(SamplingConfig::default, |settings| settings.sampling.clone());
        let report = self.max_new_tokens.unwrap_or(sampled.max_new_tokens);
        let limits =
            Limits { report, prompt: self.max_prompt_tokens.or(path.and_then(|path| limits::prompt(path, report))) };
        Ok((folder, Check::new(processor, limits, !self.no_images)))
    }

    fn processor(&self, path: &Path, settings: Option<PixelLimits>) -> Result<Processor> {
        let processor = Processor::load(path)?;
        Ok(match self.pixels.or(settings) {
            Some(limits) => processor.with_pixels(limits)?,
            None => processor,
        })
    }
}
