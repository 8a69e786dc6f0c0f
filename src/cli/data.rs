//! `addendum data`: what people do with datasets before they train on them.

mod from;

use addendum::studies::layouts::{ChexpertPlus, IuXray, Rexgradient};
use anyhow::Result;
use clap::Subcommand;

#[derive(Subcommand)]
pub enum Data {
    /// Convert MIMIC-CXR or MIMIC-CXR-JPG to a dataset folder.
    FromMimicCxr(from::MimicCxrArgs),
    /// Convert IU X-ray, as Open-i, Kaggle or R2Gen lay it out, to a dataset folder.
    FromIuXray(from::FromArgs),
    /// Convert CheXpert Plus to a dataset folder.
    FromChexpertPlus(from::FromArgs),
    /// Convert ReXGradient-160K to a dataset folder.
    FromRexgradient(from::FromArgs),
    /// Convert PadChest-GR to a dataset folder.
    FromPadchestGr(from::PadchestGrArgs),
}

pub fn run(command: &Data) -> Result<()> {
    match command {
        Data::FromMimicCxr(args) => args.run(),
        Data::FromIuXray(args) => args.run(&IuXray),
        Data::FromChexpertPlus(args) => args.run(&ChexpertPlus),
        Data::FromRexgradient(args) => args.run(&Rexgradient),
        Data::FromPadchestGr(args) => args.run(),
    }
}
