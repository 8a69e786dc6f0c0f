//! `addendum data from-…`: public datasets as their owners lay them out, made into dataset folders.

use std::path::PathBuf;

use addendum::studies::{
    Error,
    layouts::{
        Language, Layout, MimicCxr, Options, PadchestGr, Placeholders, Placement, Priors, Section, Splits, Views,
        convert,
    },
};
use anyhow::Result;
use clap::Args;

use crate::cli::{exit::beforehand, output};

/// What all layouts are asked.
#[derive(Args)]
pub struct FromArgs {
    /// The folder of the dataset; nothing in it is changed.
    source: PathBuf,
    /// The folder to write: train.json, val.json, test.json, images, and conversion.json, which tells what was left out.
    #[arg(long)]
    out: PathBuf,
    /// The reference: findings, impression or findings+impression.
    #[arg(long, default_value_t)]
    section: Section,
    /// Radiographs of a study: frontal (one), both (one frontal, one lateral) or all.
    #[arg(long, default_value_t)]
    views: Views,
    /// Radiographs of the most recent prior study of the patient: none, frontal, both or all.
    #[arg(long, default_value_t)]
    priors: Priors,
    /// Who splits: official (the owners; the seed where they do not) or seeded (by patient, 7:1:2).
    #[arg(long, default_value_t)]
    splits: Splits,
    /// How images get into the folder: link (one link to the source), hard-link (of each) or copy.
    #[arg(long, default_value_t)]
    images: Placement,
    /// Marks of what was taken out (___, XXXX): keep or remove.
    #[arg(long, default_value_t)]
    placeholders: Placeholders,
    /// Count a radiograph whose view position is not known as frontal, instead of leaving it out.
    #[arg(long)]
    unknown_is_frontal: bool,
    /// Most studies of each split, chosen by the seed.
    #[arg(long, value_name = "STUDIES")]
    limit: Option<usize>,
    /// Of what is drawn: splits and the choice of --limit.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

#[derive(Args)]
pub struct MimicCxrArgs {
    #[command(flatten)]
    all: FromArgs,
    /// The folder with the reports (files/p10/…/s….txt), if they are not beside the images.
    #[arg(long, value_name = "DIR")]
    reports: Option<PathBuf>,
    /// Take text under no heading for the findings of a report that names none.
    #[arg(long)]
    unheaded: bool,
}

#[derive(Args)]
pub struct PadchestGrArgs {
    #[command(flatten)]
    all: FromArgs,
    /// Sentences in English (en) or Spanish (es).
    #[arg(long, default_value_t)]
    language: Language,
}

impl MimicCxrArgs {
    pub fn run(&self) -> Result<()> {
        self.all.convert(&MimicCxr { reports: self.reports.clone() }, self.unheaded)
    }
}

impl PadchestGrArgs {
    pub fn run(&self) -> Result<()> {
        self.all.run(&PadchestGr { language: self.language })
    }
}

impl FromArgs {
    pub fn run(&self, layout: &dyn Layout) -> Result<()> {
        self.convert(layout, false)
    }

    fn convert(&self, layout: &dyn Layout, unheaded: bool) -> Result<()> {
        beforehand(output::folder("the source", &self.source))?;
        let options = Options {
            section: self.section,
            views: self.views,
            priors: self.priors,
            splits: self.splits,
            images: self.images,
            placeholders: self.placeholders,
            unheaded,
            unknown_is_frontal: self.unknown_is_frontal,
            limit: self.limit,
            seed: self.seed,
        };
        let conversion = convert(layout, &self.source, &self.out, &options).or_else(|error| match error {
            // The source is not what it is taken for, or the options leave nothing of it.
            Error::Layout { .. } | Error::Source { .. } => beforehand(Err(error.into())),
            other => Err(other.into()),
        })?;
        output::print(&format!("{conversion}{}\n", self.out.display()))
    }
}
