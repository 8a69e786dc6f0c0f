//! CheXpert Plus (Stanford AIMI, Chambon et al. 2024, arXiv 2405.19538).
//!
//! One table, `df_chexpert_plus_240401.csv`, has a row for each image: `path_to_image`
//! (`train/patient42142/study5/view1_frontal.jpg`), `frontal_lateral`, `ap_pa`, `deid_patient_id`,
//! `patient_report_date_order` (the study's place among those of its patient), `split` (`train` or `valid`), the `report`
//! and its sections (`section_findings`, `section_impression`, …) as the owners have cut it. Paths end in `.jpg`
//! although the images of this edition are PNG or DICOM. The owners' 234 validation images are what others test on, so
//! they are the test set; a validation set is drawn from the training patients.

use std::{
    collections::BTreeMap,
    path::{MAIN_SEPARATOR, Path},
};

use super::{
    conversion::Tally,
    find,
    options::Options,
    record::{Image, Layout, Record, Report, Seen},
    table::{Column, Row, Table},
};
use crate::{dataset::Split, error::Result};

/// Where the folders `train` and `valid` may be.
const IMAGES: [&str; 7] = ["", "PNG", "PNG/PNG", "images", "DICOM", "CheXpert-v1.0", "CheXpert-v1.0-small"];

/// CheXpert Plus.
#[derive(Clone, Copy, Debug, Default)]
pub struct ChexpertPlus;

impl Layout for ChexpertPlus {
    fn name(&self) -> &'static str {
        "chexpert-plus"
    }

    fn read(&self, source: &Path, options: &Options, tally: &mut Tally) -> Result<Vec<Record>> {
        let what = "table df_chexpert_plus_240401.csv";
        let fits = |name: &str| name.starts_with("df_chexpert_plus") && name.contains(".csv");
        let table = Table::open(&find::needed(source, &["", "reports"], what, fits)?)?;
        let columns = Columns::of(&table)?;
        let has_images = |folder: &str| ["train", "valid"].iter().any(|part| source.join(folder).join(part).is_dir());
        let folder = IMAGES.into_iter().find(|folder| has_images(folder)).unwrap_or_default();
        let mut records: BTreeMap<String, Record> = BTreeMap::new();
        for row in table.rows() {
            let row = row?;
            let Some((part, study, view)) = row.get(columns.path).and_then(|path| place(&path)) else {
                tally.image("a row without the path of its image", &format!("line {}", row.line()));
                continue;
            };
            let record = records.entry(study.replace('/', "_")).or_insert_with_key(|id| Record {
                id: id.clone(),
                patient: row.get(columns.patient).unwrap_or_else(|| study.split('/').next().unwrap_or(id).to_owned()),
                when: row.find(columns.order).map(|order| format!("{:0>8}", order.trim_end_matches(".0"))),
                split: Some(if part == "train" { Split::Train } else { Split::Test }),
                images: Vec::new(),
                prior: None,
                report: columns.report(&row, options),
            });
            let stem = Path::new(folder).join(&part).join(&study).join(&view);
            record.images.push(Image { file: existing(source, &stem), seen: columns.seen(&row, &view) });
        }
        Ok(records.into_values().collect())
    }
}

struct Columns {
    path: Column,
    patient: Column,
    order: Option<Column>,
    frontal: Option<Column>,
    side: Option<Column>,
    whole: Option<Column>,
    /// Findings, impression, indication (two of them), technique, comparison.
    sections: [Option<Column>; 6],
}

impl Columns {
    fn of(table: &Table) -> Result<Self> {
        let section = |name: &str| table.optional(&[&format!("section_{name}")]);
        Ok(Self {
            path: table.column(&["path_to_image"])?,
            patient: table.column(&["deid_patient_id"])?,
            order: table.optional(&["patient_report_date_order"]),
            frontal: table.optional(&["frontal_lateral"]),
            side: table.optional(&["ap_pa"]),
            whole: table.optional(&["report"]),
            sections: ["findings", "impression", "clinical_history", "history", "technique", "comparison"].map(section),
        })
    }

    fn seen(&self, row: &Row, view: &str) -> Seen {
        let side = row.find(self.side).map_or(Seen::Unknown, |side| Seen::of(&side));
        let of = |name: &str| match Seen::of(name) {
            Seen::Frontal(_) if matches!(side, Seen::Frontal(_)) => side,
            seen => seen,
        };
        // The file is named after its view, such as `view1_frontal`.
        let named = || view.rsplit('_').next().unwrap_or_default().to_owned();
        of(&row.find(self.frontal).unwrap_or_else(named))
    }

    /// The sections of the owners. A table without them has the whole report, which is cut here.
    fn report(&self, row: &Row, options: &Options) -> Result<Report, &'static str> {
        if self.sections.iter().any(Option::is_some) {
            let [findings, impression, clinical, history, technique, comparison] =
                self.sections.map(|column| row.find(column));
            return Ok(Report { findings, impression, indication: clinical.or(history), technique, comparison });
        }
        let report = row.find(self.whole).ok_or("no report in the table")?;
        Ok(Report::cut(&report, options.unheaded))
    }
}

/// `train` or `valid`, patient and study, and the image's name without its ending.
fn place(path: &str) -> Option<(String, String, String)> {
    let path = path.replace('\\', "/");
    let parts: Vec<&str> = path.split('/').collect();
    let [.., part, patient, study, view] = parts[..] else { return None };
    let view = view.rsplit_once('.').map_or(view, |(stem, _)| stem);
    let plain = [part, patient, study, view].iter().all(|part| !part.is_empty() && *part != "..");
    (plain && ["train", "valid", "val", "test"].contains(&part))
        .then(|| (part.to_owned(), format!("{patient}/{study}"), view.to_owned()))
}

/// The file of this stem that is there, else the one that the table names.
fn existing(source: &Path, stem: &Path) -> String {
    let stem = stem.to_string_lossy().replace(MAIN_SEPARATOR, "/");
    let files = ["jpg", "png", "dcm"].map(|ending| format!("{stem}.{ending}"));
    files.iter().find(|file| source.join(file).exists()).unwrap_or(&files[0]).clone()
}
