//! PadChest-GR (de Castro et al. 2024, arXiv 2411.05085; BIMCV).
//!
//! `grounded_reports_20240819.json` is a list of studies: `StudyID`, `ImageID` (a file name), `PreviousImageID`, and
//! `findings`, each a sentence in English and Spanish with its boxes. `master_table.csv` has `PatientID`, `StudyDate` and
//! `split`, in a row for each sentence and label of a study. All images are frontal, 16-bit PNG, in `Padchest_GR_files` and
//! `PadChest_GR_progression_prior_studies`. The reference is the sentences in their order; boxes are left out.

use std::{collections::HashMap, path::Path};

use serde_json::Value;

use super::{
    conversion::Tally,
    find,
    options::{Language, Options},
    record::{Image, Layout, Record, Report, Seen},
    table::Table,
    text,
};
use crate::{dataset::Split, error::Result};

/// PadChest-GR.
#[derive(Clone, Copy, Debug, Default)]
pub struct PadchestGr {
    /// Of the reference sentences.
    pub language: Language,
}

/// What the table says of a study.
#[derive(Clone, Default)]
struct Known {
    patient: Option<String>,
    date: Option<String>,
    split: Option<Split>,
}

impl Layout for PadchestGr {
    fn name(&self) -> &'static str {
        match self.language {
            Language::English => "padchest-gr in English",
            Language::Spanish => "padchest-gr in Spanish",
        }
    }

    fn read(&self, source: &Path, _: &Options, tally: &mut Tally) -> Result<Vec<Record>> {
        let fits = |name: &str| name.contains("grounded_reports") && name.ends_with(".json");
        let reports = find::needed(source, &[""], "grounded_reports_20240819.json", fits)?;
        let fits = |name: &str| name.contains("master_table") && (name.ends_with(".csv") || name.ends_with(".csv.gz"));
        let known = known(&find::needed(source, &[""], "master_table.csv", fits)?)?;
        let studies: Vec<Value> = text::json(&reports)?;
        let files = find::images(source)?;
        let image = |name: &str| Image {
            file: files.get(name).cloned().unwrap_or_else(|| name.to_owned()),
            seen: Seen::Frontal(0),
        };
        let mut records = Vec::with_capacity(studies.len());
        for (at, study) in studies.iter().enumerate() {
            let text = |key: &str| study.get(key).and_then(text::value);
            let (Some(id), Some(file)) = (text("StudyID"), text("ImageID")) else {
                tally.study("no StudyID or no ImageID", &format!("entry {at}"));
                continue;
            };
            if boxes(study) {
                tally.note("boxes of findings, which are left out", &id);
            }
            let Known { patient, date, split } = known.get(&id).cloned().unwrap_or_default();
            records.push(Record {
                patient: patient.unwrap_or_else(|| id.clone()),
                when: date,
                split,
                images: vec![image(&file)],
                prior: Some(text("PreviousImageID").map(|name| image(&name)).into_iter().collect()),
                report: self.report(study),
                id,
            });
        }
        Ok(records)
    }
}

impl PadchestGr {
    fn report(&self, study: &Value) -> Result<Report, &'static str> {
        let key = format!("sentence_{}", self.language);
        let findings = study.get("findings").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let sentence = |finding: &Value| finding.get(&key).and_then(text::value).map(closed);
        let sentences: Option<Vec<String>> = findings.iter().map(sentence).collect();
        let sentences = sentences.ok_or("a sentence is missing in this language")?;
        Ok(Report { findings: Some(sentences.join(" ")), ..Report::default() })
    }
}

/// The table by study; its first row of a study counts.
fn known(path: &Path) -> Result<HashMap<String, Known>> {
    let table = Table::open(path)?;
    let (study, patient) = (table.column(&["StudyID"])?, table.column(&["PatientID"])?);
    let (split, date) = (table.column(&["split"])?, table.optional(&["StudyDate_DICOM", "StudyDate"]));
    let mut known = HashMap::new();
    for row in table.rows() {
        let row = row?;
        let Some(id) = row.get(study) else { continue };
        let split = row.get(split).and_then(|name| Split::named(&name));
        known.entry(id).or_insert_with(|| Known { patient: row.get(patient), date: row.find(date), split });
    }
    Ok(known)
}

fn boxes(study: &Value) -> bool {
    let findings = study.get("findings").and_then(Value::as_array);
    let any = |finding: &Value| {
        let list = |key: &str| finding.get(key).and_then(Value::as_array).is_some_and(|boxes| !boxes.is_empty());
        list("boxes") || list("extra_boxes")
    };
    findings.is_some_and(|findings| findings.iter().any(any))
}

/// With a full stop.
fn closed(mut sentence: String) -> String {
    if !sentence.ends_with(['.', '?', '!']) {
        sentence.push('.');
    }
    sentence
}
