//! ReXGradient-160K (Zhang et al. 2025, arXiv 2505.00228; `rajpurkarlab/ReXGradient-160K` on the Hugging Face hub).
//!
//! `metadata/train_metadata_view_position.json`, and `valid_…` and `test_…`, map each study's id to its `PatientID`,
//! `StudyDate`, `ImagePath` and `ImageViewPosition` (lists of equal length), `Indication`, `Comparison`, `Findings` and
//! `Impression`. The tables of the same names tell no images. Paths are relative to `metadata`
//! (`../deid_png/PATIENT/ACCESSION/studies/…/instances/….png`). View positions are in the words of many devices; of one
//! image in ten nothing is known.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{
    conversion::Tally,
    find,
    options::Options,
    record::{Image, Layout, Record, Report, Seen},
    text,
};
use crate::{
    dataset::Split,
    error::{Error, Result},
};

/// ReXGradient-160K.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rexgradient;

/// One study of the metadata.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Entry {
    #[serde(rename = "PatientID", deserialize_with = "cell")]
    patient: Option<String>,
    #[serde(deserialize_with = "cell")]
    study_date: Option<String>,
    #[serde(deserialize_with = "cell")]
    study_description: Option<String>,
    #[serde(deserialize_with = "list")]
    image_path: Vec<Option<String>>,
    #[serde(deserialize_with = "list")]
    image_view_position: Vec<Option<String>>,
    #[serde(deserialize_with = "cell")]
    indication: Option<String>,
    #[serde(deserialize_with = "cell")]
    comparison: Option<String>,
    #[serde(deserialize_with = "cell")]
    findings: Option<String>,
    #[serde(deserialize_with = "cell")]
    impression: Option<String>,
}

impl Layout for Rexgradient {
    fn name(&self) -> &'static str {
        "rexgradient-160k"
    }

    fn read(&self, source: &Path, _: &Options, _: &mut Tally) -> Result<Vec<Record>> {
        let prefix = find::folder(source, &["deid_png", "images/deid_png", "download/deid_png"]);
        let prefix = prefix.map_or("", |folder| folder.trim_end_matches("deid_png"));
        let mut records = Vec::new();
        for (split, name) in [(Split::Train, "train"), (Split::Val, "valid"), (Split::Test, "test")] {
            let wanted = format!("{name}_metadata_view_position.json");
            let folders = ["metadata", "", "download/metadata"];
            let Some(path) = find::file(source, &folders, |name| name == wanted) else { continue };
            let entries: BTreeMap<String, Entry> = text::json(&path)?;
            records.extend(entries.into_iter().map(|(id, entry)| entry.record(id, split, prefix)));
        }
        if records.is_empty() {
            let reason =
                "there is no metadata/train_metadata_view_position.json; the tables (.csv) name no images".into();
            return Err(Error::Layout { dir: source.to_owned(), reason });
        }
        Ok(records)
    }
}

impl Entry {
    fn record(self, id: String, split: Split, prefix: &str) -> Record {
        let positions = self.image_view_position.into_iter().chain(std::iter::repeat(None));
        let images = self.image_path.into_iter().zip(positions).filter_map(|(path, position)| {
            let path = path?.replace('\\', "/");
            let below = path.find("deid_png/").map_or(path.trim_start_matches("../"), |at| &path[at..]);
            let seen = position.map_or(Seen::Unknown, |position| Seen::of(&position));
            Some(Image { file: format!("{prefix}{below}"), seen })
        });
        Record {
            // The ids start with the patient's.
            patient: self.patient.unwrap_or_else(|| id.split('_').next().unwrap_or(&id).to_owned()),
            id,
            when: self.study_date,
            split: Some(split),
            images: images.collect(),
            prior: None,
            report: Ok(Report {
                findings: self.findings,
                impression: self.impression,
                indication: self.indication,
                technique: self.study_description,
                comparison: self.comparison,
            }),
        }
    }
}

/// Text or a number; what is empty is absent.
fn cell<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Value::deserialize(deserializer).map(|value| text::value(&value))
}

/// A list of such, or a single one.
fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Option<String>>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Array(values) => values.iter().map(text::value).collect(),
        Value::Null => Vec::new(),
        one => vec![text::value(&one)],
    })
}
