//! `addendum data check`: whether a dataset folder is what a run can be made on.

use std::path::PathBuf;

use addendum::{studies::Split, train::data::Data};
use anyhow::{Result, ensure};
use clap::Args;

use crate::cli::{exit::beforehand, output};

#[derive(Args)]
pub struct CheckArgs {
    /// The dataset folder.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub fn run(args: &CheckArgs) -> Result<()> {
    let mut problems = 0;
    for split in Split::ALL {
        match Data::split(&args.folder, split) {
            Ok(studies) => output::print(&format!("{split}: {} studies\n", studies.len()))?,
            Err(error) => {
                problems += 1;
                output::print(&format!("{split}: {error:#}\n"))?;
            }
        }
    }
    beforehand((|| Ok(ensure!(problems == 0, "{problems} of the splits cannot be trained on")))())
}
