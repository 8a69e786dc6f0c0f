//! `addendum config`: the whole settings file, with what each key means.

use std::path::PathBuf;

use addendum::train::{Settings, Sources, settings::schema};
use anyhow::Result;
use clap::Args;

use super::{exit::beforehand, output};

#[derive(Args)]
pub struct ConfigArgs {
    /// A settings file to complete; the defaults alone without it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Change one setting, such as run.steps=10. May be given many times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// Print the JSON schema of settings files instead, for editors that complete and check them.
    #[arg(long, conflicts_with_all = ["config", "sets"])]
    schema: bool,
}

pub fn run(args: &ConfigArgs) -> Result<()> {
    if args.schema {
        return output::print(&format!("{}\n", serde_json::to_string_pretty(schema::document())?));
    }
    let sources = Sources { file: args.config.as_deref(), sets: &args.sets };
    let text = Settings::load(&sources).and_then(|settings| settings.text());
    output::print(&beforehand(text.map_err(Into::into))?)
}
