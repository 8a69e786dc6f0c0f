//! Settings files.

use std::path::Path;

use addendum::{
    study::Study,
    train::settings::{Settings, Sources},
};

use crate::files;

const CONFIGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs");

pub fn seeds() -> Vec<Vec<u8>> {
    let [runs, studies] = ["", "studies"].map(|folder| files::of(&Path::new(CONFIGS).join(folder)));
    runs.into_iter().chain(studies).map(|(_, text)| text).collect()
}

pub fn read(input: &[u8]) -> bool {
    files::with_content(&Vec::new(), "settings.toml", input, |folder| {
        let file = folder.join("settings.toml");
        let sources = Sources { file: Some(&file), sets: &[] };
        let settings = Settings::checked(&sources, Settings::validate);
        if let Ok(settings) = &settings {
            settings.text().expect("settings that were read can be written");
        }
        Study::read(&file).is_ok() || settings.is_ok()
    })
}
