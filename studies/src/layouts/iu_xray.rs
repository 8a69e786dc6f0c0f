//! IU X-ray, the chest radiographs of Indiana University (Demner-Fushman et al. 2016; Open-i), in the three forms in which
//! people have it.
//!
//! - **Open-i** (<https://openi.nlm.nih.gov/faq>): `ecgen-radiology/*.xml` out of `NLMCXR_reports.tgz`, with the sections
//!   as `AbstractText` and the names of the images as `parentImage`; images `CXR1_1_IM-0001-3001.png` out of
//!   `NLMCXR_png.tgz`. Nothing tells their views: the first counts as frontal and the second as lateral, as is usual.
//! - **Kaggle** (`raddar/chest-xrays-indiana-university`): `indiana_reports.csv` and `indiana_projections.csv`, which tells
//!   the views; images `1_IM-0001-4001.dcm.png`. Its projections are used for the images of Open-i, too.
//! - **R2Gen** (Chen et al. 2020, arXiv 2010.16056): `annotation.json` with the findings and the usual split, images
//!   `images/CXR2384_IM-0942/0.png`. Beside one of the other forms it gives the split alone.
//!
//! The dataset has one study of each patient. Words that were taken out are `XXXX`.

mod xml;

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::Path,
};

use serde_json::Value;

use super::{
    conversion::Tally,
    find,
    options::Options,
    record::{Image, Layout, Record, Report, Seen},
    table::Table,
    text,
};
use crate::{
    dataset::Split,
    error::{Error, Result},
};

/// IU X-ray.
#[derive(Clone, Copy, Debug, Default)]
pub struct IuXray;

/// A report, and its images by the names in [`key`].
struct Study {
    report: Report,
    images: Vec<String>,
}

impl Layout for IuXray {
    fn name(&self) -> &'static str {
        "iu-xray"
    }

    fn read(&self, source: &Path, _: &Options, tally: &mut Tally) -> Result<Vec<Record>> {
        let annotation = find::file(source, &["", "iu_xray"], |name| name == "annotation.json");
        let splits = annotation.as_deref().map(annotations).transpose()?.unwrap_or_default();
        let views = match find::file(source, &[""], |name| name == "indiana_projections.csv") {
            Some(path) => projections(&path)?,
            None => BTreeMap::new(),
        };
        let table = find::file(source, &[""], |name| name == "indiana_reports.csv");
        let folder = find::folder(source, &["ecgen-radiology", "NLMCXR_reports/ecgen-radiology"]);
        let studies = match (table, folder) {
            (Some(table), _) => of_table(&table, &views)?,
            (None, Some(folder)) => of_xml(&source.join(folder), tally)?,
            (None, None) if annotation.is_some() => return Ok(of_annotations(source, splits)),
            (None, None) => {
                let reason = "there is no ecgen-radiology, indiana_reports.csv or annotation.json".into();
                return Err(Error::Layout { dir: source.to_owned(), reason });
            }
        };
        let splits: HashMap<&str, Split> =
            splits.iter().map(|entry| (entry.id.split('_').next().unwrap_or(&entry.id), entry.split)).collect();
        let files: HashMap<String, String> =
            find::images(source)?.into_iter().map(|(name, file)| (key(&name).to_owned(), file)).collect();
        let records = studies.into_iter().map(|(id, study)| {
            let known = study.images.iter().any(|image| views.contains_key(image));
            if !known && !study.images.is_empty() {
                tally.note("views told by the order of the images", &id);
            }
            let image = |(at, name): (usize, &String)| Image {
                file: files.get(name).cloned().unwrap_or_else(|| format!("{name}.png")),
                seen: if known { views.get(name).copied().unwrap_or(Seen::Unknown) } else { by_order(at) },
            };
            Record {
                patient: id.clone(),
                when: None,
                split: splits.get(id.as_str()).copied(),
                images: study.images.iter().enumerate().map(image).collect(),
                prior: None,
                report: Ok(study.report),
                id,
            }
        });
        Ok(records.collect())
    }
}

/// The name of an image without what the forms add to it: `1_IM-0001-4001` of `CXR1_1_IM-0001-4001.png` and of
/// `1_IM-0001-4001.dcm.png`.
fn key(name: &str) -> &str {
    let stem = name.split('.').next().unwrap_or(name);
    let behind = stem.strip_prefix("CXR").and_then(|rest| rest.split_once('_'));
    behind.map_or(stem, |(_, rest)| if rest.starts_with(|c: char| c.is_ascii_digit()) { rest } else { stem })
}

fn by_order(at: usize) -> Seen {
    match at {
        0 => Seen::Frontal(0),
        1 => Seen::Lateral(0),
        _ => Seen::Unknown,
    }
}

/// The views of Kaggle's table, by image.
fn projections(path: &Path) -> Result<BTreeMap<String, Seen>> {
    let table = Table::open(path)?;
    let (file, projection) = (table.column(&["filename"])?, table.column(&["projection"])?);
    let mut views = BTreeMap::new();
    for row in table.rows() {
        let row = row?;
        let seen = row.get(projection).map_or(Seen::Unknown, |projection| Seen::of(&projection));
        views.extend(row.get(file).map(|file| (key(&file).to_owned(), seen)));
    }
    Ok(views)
}

fn of_table(path: &Path, views: &BTreeMap<String, Seen>) -> Result<Vec<(String, Study)>> {
    // The images of Kaggle's table start with the number of their study.
    let mut images: HashMap<&str, Vec<String>> = HashMap::new();
    for image in views.keys() {
        images.entry(image.split('_').next().unwrap_or(image)).or_default().push(image.clone());
    }
    let table = Table::open(path)?;
    let uid = table.column(&["uid"])?;
    let sections = [&["findings"], &["impression"], &["indication"], &["image"], &["comparison"]];
    let sections = sections.map(|name| table.optional(name));
    let mut studies = Vec::new();
    for row in table.rows() {
        let row = row?;
        let Some(uid) = row.get(uid) else { continue };
        let [findings, impression, indication, technique, comparison] = sections.map(|column| row.find(column));
        let report = Report { findings, impression, indication, technique, comparison };
        studies.push((
            format!("CXR{uid}"),
            Study { report, images: images.get(uid.as_str()).cloned().unwrap_or_default() },
        ));
    }
    Ok(studies)
}

fn of_xml(folder: &Path, tally: &mut Tally) -> Result<Vec<(String, Study)>> {
    let entries = fs::read_dir(folder).map_err(Error::io(folder))?;
    let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "xml"));
    files.sort_unstable();
    let mut studies = Vec::with_capacity(files.len());
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let bytes = fs::read(&file).map_err(Error::io(&file))?;
        let xml = String::from_utf8_lossy(&bytes);
        let id = xml::elements(&xml, "uId").first().and_then(|id| id.attribute("id"));
        match id {
            Some(id) => studies.push((id, study_of_xml(&xml))),
            None => tally.study("a report file without an id (uId)", &name),
        }
    }
    Ok(studies)
}

fn study_of_xml(xml: &str) -> Study {
    let parts = xml::elements(xml, "AbstractText");
    let part = |label: &str| {
        let labelled =
            parts.iter().find(|part| part.attribute("Label").is_some_and(|is| is.eq_ignore_ascii_case(label)));
        labelled.and_then(|part| text::cell(&part.text()))
    };
    let images = xml::elements(xml, "parentImage");
    let caption = images.first().and_then(|image| text::cell(&image.inside("caption").first()?.text()));
    Study {
        report: Report {
            findings: part("FINDINGS"),
            impression: part("IMPRESSION"),
            indication: part("INDICATION"),
            technique: caption,
            comparison: part("COMPARISON"),
        },
        images: images.iter().filter_map(|image| Some(key(&image.attribute("id")?).to_owned())).collect(),
    }
}

/// An entry of R2Gen's file.
struct Annotation {
    id: String,
    split: Split,
    report: Option<String>,
    images: Vec<String>,
}

fn annotations(path: &Path) -> Result<Vec<Annotation>> {
    let file: Value = text::json(path)?;
    let mut found = Vec::new();
    for split in Split::ALL {
        for entry in file.get(split.name()).and_then(Value::as_array).map_or(&[][..], Vec::as_slice) {
            let images = entry.get("image_path").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            let Some(id) = entry.get("id").and_then(text::value) else { continue };
            let report = entry.get("report").and_then(text::value);
            found.push(Annotation { id, split, report, images: images.iter().filter_map(text::value).collect() });
        }
    }
    Ok(found)
}

/// R2Gen's form alone. Its reports are the findings.
fn of_annotations(source: &Path, annotations: Vec<Annotation>) -> Vec<Record> {
    let folder =
        find::folder(source, &["iu_xray/images", "images"]).map_or(String::new(), |folder| format!("{folder}/"));
    let records = annotations.into_iter().map(|Annotation { id, split, report, images }| Record {
        patient: id.split('_').next().unwrap_or(&id).to_owned(),
        id,
        when: None,
        split: Some(split),
        images: images
            .iter()
            .enumerate()
            .map(|(at, name)| Image { file: format!("{folder}{name}"), seen: by_order(at) })
            .collect(),
        prior: None,
        report: Ok(Report { findings: report, ..Report::default() }),
    });
    records.collect()
}
