//! MIMIC-CXR and MIMIC-CXR-JPG (PhysioNet).
//!
//! Images are `files/p10/p10000032/s50414267/DICOM_ID.jpg` (or `.dcm`), view positions and dates stand in
//! `mimic-cxr-2.0.0-metadata.csv.gz`, the split in `mimic-cxr-2.0.0-split.csv.gz`; both tables come with MIMIC-CXR-JPG
//! (<https://physionet.org/content/mimic-cxr-jpg/>). Reports are `files/p10/p10000032/s50414267.txt` and come with
//! MIMIC-CXR (<https://physionet.org/content/mimic-cxr/>), also packed as `mimic-cxr-reports.zip`. Dates are shifted, by
//! the same time for all studies of a patient, so that their order is right.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use super::{
    conversion::Tally,
    find,
    options::{Options, Splits},
    record::{Image, Layout, Record, Report, Seen},
    table::Table,
};
use crate::{
    dataset::Split,
    error::{Error, Result},
};

/// Longest report that is read, in bytes; the longest of the dataset has about 8,000.
const LONGEST_REPORT: u64 = 1 << 20;
const NO_REPORT: &str = "no report file";
/// Where the folders `p10` to `p19` may be.
const FILES: [&str; 3] = ["files", "mimic-cxr-reports/files", ""];

/// MIMIC-CXR with its images as JPEG, PNG or DICOM.
#[derive(Clone, Debug, Default)]
pub struct MimicCxr {
    /// The folder with the reports, if it is not the source.
    pub reports: Option<PathBuf>,
}

impl Layout for MimicCxr {
    fn name(&self) -> &'static str {
        "mimic-cxr"
    }

    fn read(&self, source: &Path, options: &Options, tally: &mut Tally) -> Result<Vec<Record>> {
        let table = |part: &'static str| move |name: &str| name.starts_with("mimic-cxr") && name.contains(part);
        let metadata = "table mimic-cxr-2.0.0-metadata.csv.gz; it comes with MIMIC-CXR-JPG, also for the DICOM files";
        let metadata = find::needed(source, &[""], metadata, table("-metadata.csv"))?;
        let splits = match options.splits {
            Splits::Official => {
                let what =
                    "table mimic-cxr-2.0.0-split.csv.gz; it comes with MIMIC-CXR-JPG. Without it, split by the seed";
                splits(&find::needed(source, &[""], what, table("-split.csv"))?)?
            }
            Splits::Seeded => HashMap::new(),
        };
        let folder = find::folder(source, &["files"]).unwrap_or_default();
        let reports = self.reports.as_deref().unwrap_or(source);
        let mut records: BTreeMap<String, Record> = BTreeMap::new();
        read_metadata(&metadata, tally, |row| {
            let Row { dicom, subject, study, seen, when } = row;
            let patient = format!("{}/p{subject}", subject.get(..2).map_or("p".into(), |start| format!("p{start}")));
            let stem = join(folder, &format!("{patient}/s{study}/{dicom}"));
            let file = ["jpg", "dcm", "png"].map(|ending| format!("{stem}.{ending}"));
            let there = file.iter().find(|file| source.join(file).exists()).unwrap_or(&file[0]).clone();
            let record = records.entry(format!("s{study}")).or_insert_with(|| Record {
                id: format!("s{study}"),
                patient: format!("p{subject}"),
                when: None,
                split: splits.get(&study).copied(),
                images: Vec::new(),
                prior: None,
                report: report(reports, &format!("{patient}/s{study}.txt"), options),
            });
            record.images.push(Image { file: there, seen });
            // The images of a study are taken one after another; the first counts.
            record.when = match (record.when.take(), when) {
                (Some(known), Some(when)) => Some(known.min(when)),
                (known, when) => known.or(when),
            };
        })?;
        let packed = reports.join("mimic-cxr-reports.zip");
        if packed.exists() && records.values().all(|record| record.report.as_ref().is_err_and(|why| *why == NO_REPORT))
        {
            let reason = "is packed; unpack it there: unzip mimic-cxr-reports.zip -d mimic-cxr-reports".into();
            return Err(Error::Layout { dir: packed, reason });
        }
        Ok(records.into_values().collect())
    }
}

/// What the metadata say of an image.
struct Row {
    dicom: String,
    subject: String,
    study: String,
    seen: Seen,
    when: Option<String>,
}

fn read_metadata(path: &Path, tally: &mut Tally, mut each: impl FnMut(Row)) -> Result<()> {
    let table = Table::open(path)?;
    let [dicom, subject, study, position] =
        [&["dicom_id"], &["subject_id"], &["study_id"], &["ViewPosition"]].map(|name| table.column(name));
    let (dicom, subject, study, position) = (dicom?, subject?, study?, position?);
    let (date, time) = (table.optional(&["StudyDate"]), table.optional(&["StudyTime"]));
    let code = table.optional(&["ViewCodeSequence_CodeMeaning"]);
    for row in table.rows() {
        let row = row?;
        let (Some(dicom), Some(subject), Some(study)) = (row.get(dicom), row.get(subject), row.get(study)) else {
            tally.image("a row of the metadata without its three ids", &format!("line {}", row.line()));
            continue;
        };
        let seen = row.get(position).or_else(|| row.find(code)).map_or(Seen::Unknown, |position| Seen::of(&position));
        let when = row.find(date).map(|date| moment(&date, row.find(time).as_deref().unwrap_or_default()));
        each(Row { dicom, subject, study, seen, when });
    }
    Ok(())
}

/// Date and time as text that sorts. Times lose their leading zeros in tables (`82318.531` is 08:23:18).
fn moment(date: &str, time: &str) -> String {
    let date = date.split('.').next().unwrap_or_default();
    let (whole, part) = time.split_once('.').unwrap_or((time, ""));
    format!("{date:0>8} {whole:0>6}.{part}")
}

/// The split of each study.
fn splits(path: &Path) -> Result<HashMap<String, Split>> {
    let table = Table::open(path)?;
    let (study, split) = (table.column(&["study_id"])?, table.column(&["split"])?);
    let mut splits = HashMap::new();
    for row in table.rows() {
        let row = row?;
        let split = row.get(split).and_then(|name| Split::named(&name));
        splits.extend(row.get(study).zip(split));
    }
    Ok(splits)
}

/// The report of this path in one of the places where the reports may be.
fn report(reports: &Path, path: &str, options: &Options) -> Result<Report, &'static str> {
    let file = FILES.iter().find_map(|folder| File::open(reports.join(folder).join(path)).ok()).ok_or(NO_REPORT)?;
    let mut bytes = Vec::new();
    file.take(LONGEST_REPORT).read_to_end(&mut bytes).map_err(|_| "a report file that cannot be read")?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(Report::cut(&text, options.unheaded))
}

fn join(folder: &str, path: &str) -> String {
    if folder.is_empty() { path.to_owned() } else { format!("{folder}/{path}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_sort_by_time_whatever_zeros_were_lost() {
        let moments = [("21800506", "82318.531"), ("21800506.0", "213014.53"), ("21800507", "5")];
        let moments = moments.map(|(date, time)| moment(date, time));
        assert!(moments.is_sorted(), "{moments:?}");
        assert_eq!(moments[0], "21800506 082318.531");
    }
}
