//! `addendum data`: what people do with datasets before they train on them.

mod check;
mod from;

use addendum::{
    report::progress::Progress,
    studies::layouts::{ChexpertPlus, IuXray, Rexgradient},
};
use anyhow::Result;
use clap::Subcommand;

#[derive(Subcommand)]
pub enum Data {
    /// Convert MIMIC-CXR or MIMIC-CXR-JPG to a dataset folder.
    #[command(name = "from-mimic-cxr")]
    MimicCxr(from::MimicCxrArgs),
    /// Convert IU X-ray, as Open-i, Kaggle or R2Gen lay it out, to a dataset folder.
    #[command(name = "from-iu-xray")]
    IuXray(from::FromArgs),
    /// Convert CheXpert Plus to a dataset folder.
    #[command(name = "from-chexpert-plus")]
    ChexpertPlus(from::FromArgs),
    /// Convert ReXGradient-160K to a dataset folder.
    #[command(name = "from-rexgradient")]
    Rexgradient(from::FromArgs),
    /// Convert PadChest-GR to a dataset folder.
    #[command(name = "from-padchest-gr")]
    PadchestGr(from::PadchestGrArgs),
    /// Read all splits of a dataset folder as a run would; tell all that is wrong or odd, and what the studies are like.
    Check(check::CheckArgs),
}

pub fn run(command: &Data, progress: &Progress) -> Result<()> {
    match command {
        Data::MimicCxr(args) => args.run(),
        Data::IuXray(args) => args.run(&IuXray),
        Data::ChexpertPlus(args) => args.run(&ChexpertPlus),
        Data::Rexgradient(args) => args.run(&Rexgradient),
        Data::PadchestGr(args) => args.run(),
        Data::Check(args) => check::run(args, progress),
    }
}
