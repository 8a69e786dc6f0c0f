//! What a conversion did and what it left out.

use std::{collections::BTreeMap, fmt, fs, path::Path};

use serde::Serialize;

use super::options::Options;
use crate::{
    dataset::Split,
    error::{Error, Result},
};

/// The file that tells what a conversion did.
pub const CONVERSION: &str = "conversion.json";

/// Examples that are kept of each reason.
const EXAMPLES: usize = 5;

/// Something that happened to several studies or images.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// How many.
    pub count: usize,
    /// The first ones.
    pub examples: Vec<String>,
}

/// Counts what is left out, by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Studies.
    pub studies_left_out: BTreeMap<&'static str, Counted>,
    /// Images of studies, which may have others.
    pub images_left_out: BTreeMap<&'static str, Counted>,
    /// What was kept and is worth knowing.
    pub noted: BTreeMap<&'static str, Counted>,
}

/// One split of the folder that was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SplitCounts {
    /// Distinct ones.
    pub patients: usize,
    /// Entries of the split's list.
    pub studies: usize,
    /// Of all its studies, prior ones included.
    pub images: usize,
    /// Studies with a prior image.
    pub with_prior: usize,
}

/// What a conversion did; the contents of `conversion.json`.
#[derive(Clone, Debug, Serialize)]
pub struct Conversion {
    /// The dataset's name, as on the command line.
    pub layout: &'static str,
    /// What was asked for.
    pub options: Options,
    /// Whether the owners' splits were taken, or the seed's.
    pub splits_by: &'static str,
    /// By name.
    pub splits: BTreeMap<&'static str, SplitCounts>,
    /// What was left out, and what is worth knowing.
    #[serde(flatten)]
    pub tally: Tally,
}

impl Conversion {
    /// Writes all of it, for people to read.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).map_err(|error| Error::io(path)(error.into()))?;
        fs::write(path, text + "\n").map_err(Error::io(path))
    }
}

impl Tally {
    /// Counts a study that is left out for this reason.
    pub fn study(&mut self, reason: &'static str, example: &str) {
        count(&mut self.studies_left_out, reason, example);
    }

    /// Counts an image that is left out for this reason.
    pub fn image(&mut self, reason: &'static str, example: &str) {
        count(&mut self.images_left_out, reason, example);
    }

    /// Counts something that is worth knowing.
    pub fn note(&mut self, what: &'static str, example: &str) {
        count(&mut self.noted, what, example);
    }
}

fn count(counts: &mut BTreeMap<&'static str, Counted>, reason: &'static str, example: &str) {
    let counted = counts.entry(reason).or_default();
    counted.count += 1;
    if counted.examples.len() < EXAMPLES {
        counted.examples.push(example.to_owned());
    }
}

/// For people.
impl fmt::Display for Conversion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, splits by {}", self.layout, self.splits_by)?;
        let splits = Split::ALL.iter().filter_map(|split| Some((split, self.splits.get(split.name())?)));
        for (split, counts) in splits {
            let SplitCounts { patients, studies, images, with_prior } = counts;
            writeln!(
                f,
                "  {:5} {studies} studies of {patients} patients, {images} images, {with_prior} studies with a prior",
                split.name()
            )?;
        }
        let groups = [
            ("studies left out", &self.tally.studies_left_out),
            ("images left out", &self.tally.images_left_out),
            ("noted", &self.tally.noted),
        ];
        for (name, counts) in groups.into_iter().filter(|(_, counts)| !counts.is_empty()) {
            writeln!(f, "{name}")?;
            for (reason, counted) in counts {
                writeln!(f, "  {} {reason}, such as {}", counted.count, counted.examples.join(", "))?;
            }
        }
        Ok(())
    }
}
