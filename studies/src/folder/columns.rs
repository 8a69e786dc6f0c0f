//! The names that other people give to the fields of a study.

use serde_json::Value;

use super::record::Record;

/// A field, under all names that it is known by. Capitals and everything but letters and digits do not count, so that
/// `StudyInstanceUID` is `study_instance_uid`. Of several that an entry has, the first of these counts.
#[derive(Clone, Copy)]
pub struct Column(pub &'static [&'static str]);

/// Fields that hold a conversation, spelled like this.
pub const CONVERSATIONS: [&str; 2] = ["conversations", "messages"];

/// The finest first: a table with a row per image repeats the study.
pub const ID: Column = Column(&[
    "id",
    "dicomid",
    "imageid",
    "sopinstanceuid",
    "studyid",
    "studyinstanceuid",
    "accessionnumber",
    "caseid",
    "uid",
]);
pub const PATIENT: Column = Column(&["patient", "patientid", "deidpatientid", "subject", "subjectid"]);
pub const SPLIT: Column = Column(&["split", "set", "subset"]);
pub const IMAGES: Column = Column(&[
    "image",
    "images",
    "imagepath",
    "imagepaths",
    "imagefile",
    "imagefiles",
    "path",
    "paths",
    "pathtoimage",
    "imgpath",
    "imgpaths",
    "file",
    "files",
    "filename",
    "filenames",
    "filepath",
    "filepaths",
]);
pub const VIEWS: Column = Column(&["view", "views", "viewposition", "viewpositions", "projection", "frontallateral"]);
pub const PRIOR_IMAGES: Column = Column(&[
    "prior",
    "priors",
    "priorimage",
    "priorimages",
    "priorimagepath",
    "priorimagepaths",
    "priorpath",
    "priorpaths",
]);
pub const PRIOR_VIEWS: Column = Column(&["priorview", "priorviews", "priorviewposition", "priorviewpositions"]);
pub const FINDINGS: Column = Column(&["findings", "sectionfindings", "findingssection"]);
pub const REPORT: Column = Column(&["report", "reporttext", "fullreport", "radiologyreport", "text"]);
pub const IMPRESSION: Column = Column(&["impression", "sectionimpression", "impressionsection"]);
pub const INDICATION: Column = Column(&[
    "indication",
    "clinicalindication",
    "history",
    "clinicalhistory",
    "clinicalinformation",
    "reasonforexam",
    "sectionindication",
    "sectionclinicalhistory",
    "sectionclinicalindication",
    "sectionclinicalinformation",
    "sectionreasonforexam",
    "sectionhistory",
]);
pub const TECHNIQUE: Column = Column(&["technique", "sectiontechnique"]);
pub const COMPARISON: Column = Column(&["comparison", "sectioncomparison"]);

impl Column {
    /// The first name, as it is told.
    pub fn name(self) -> &'static str {
        self.0.first().copied().unwrap_or_default()
    }

    /// Whether one of these is a name of the field.
    pub fn among(self, header: &[String]) -> bool {
        header.iter().any(|name| self.0.contains(&plain(name).as_str()))
    }
}

/// Refuses columns in which no row could be a study.
pub fn check(header: &[String]) -> Result<(), String> {
    let has = || header.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if CONVERSATIONS.iter().any(|field| header.iter().any(|name| name == field)) {
        return Ok(());
    }
    if !IMAGES.among(header) {
        return Err(format!("no column with images, such as `image` or `path`; there are {}", has()));
    }
    if ![REPORT, FINDINGS, IMPRESSION].iter().any(|column| column.among(header)) {
        return Err(format!("no column `report`, `findings` or `impression`; there are {}", has()));
    }
    Ok(())
}

#[cfg(any(test, feature = "parquet"))]
const ALL: [Column; 13] = [
    ID,
    PATIENT,
    SPLIT,
    IMAGES,
    VIEWS,
    PRIOR_IMAGES,
    PRIOR_VIEWS,
    FINDINGS,
    REPORT,
    IMPRESSION,
    INDICATION,
    TECHNIQUE,
    COMPARISON,
];

/// Whether a field may say something of a study.
#[cfg(feature = "parquet")]
pub fn is_known(name: &str) -> bool {
    CONVERSATIONS.contains(&name) || ALL.iter().any(|column| column.0.contains(&plain(name).as_str()))
}

/// The values of an entry, without nulls, by plain names.
pub struct Fields<'a>(Vec<(String, &'a str, &'a Value)>);

impl<'a> Fields<'a> {
    pub fn of(record: &'a Record) -> Self {
        let filled = record.iter().filter(|(_, value)| !value.is_null());
        Self(filled.map(|(name, value)| (plain(name), name.as_str(), value)).collect())
    }

    /// The first name of the field that the entry has, as the entry writes it, and the value.
    pub fn get(&self, column: Column) -> Option<(&'a str, &'a Value)> {
        let named = |name: &&str| self.0.iter().find(|(plain, ..)| plain == *name);
        column.0.iter().find_map(named).map(|(_, name, value)| (*name, *value))
    }
}

/// Without capitals and everything but letters and digits.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_under_its_first_name_that_has_a_value_however_that_is_written() {
        let record = |text: &str| serde_json::from_str::<Record>(text).unwrap();
        let found = |text: &str| {
            let record = record(text);
            Fields::of(&record).get(ID).map(|(name, value)| (name.to_owned(), value.clone()))
        };
        assert_eq!(found(r#"{"StudyID": 1, "dicom_id": "x"}"#), Some(("dicom_id".into(), "x".into())));
        assert_eq!(found(r#"{"Study ID": 1, "dicom_id": null}"#), Some(("Study ID".into(), 1.into())));
        assert_eq!(found(r#"{"idea": 1}"#), None);
    }

    #[test]
    fn all_names_are_written_plainly_and_stand_for_one_field() {
        let mut names: Vec<&str> = ALL.iter().flat_map(|column| column.0).copied().collect();
        assert!(names.iter().all(|name| plain(name) == *name));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
