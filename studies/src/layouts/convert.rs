//! From the records of a layout to a dataset folder.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use super::{
    conversion::{CONVERSION, Conversion, SplitCounts, Tally},
    options::{Options, Splits},
    pick::{self, Files, Picked},
    place::Images,
    record::{Layout, Record, Report},
    splits, text,
};
use crate::{
    dataset::Split,
    error::{Error, Result},
    folder::{List, entry},
    study::{ImageSource, Projection, Reference, Study, Timing, View},
};

/// A study that is kept.
struct Kept<'a> {
    record: &'a Record,
    report: &'a Report,
    reference: String,
    current: Vec<Picked>,
    prior: Vec<Picked>,
}

/// Converts the dataset in `source` to the dataset folder `out`: `train.json`, `val.json`, `test.json`, `images` and
/// `conversion.json`, which tells what became of everything. Nothing in `source` is changed.
///
/// # Errors
/// Those of [`Layout::read`]; `out` is the source itself or cannot be written; no study is left, which `conversion.json`
/// explains.
pub fn convert(layout: &dyn Layout, source: &Path, out: &Path, options: &Options) -> Result<Conversion> {
    let root = fs::canonicalize(source).map_err(Error::io(source))?;
    fs::create_dir_all(out).map_err(Error::io(out))?;
    if fs::canonicalize(out).map_err(Error::io(out))? == root {
        return Err(Error::Layout { dir: out.to_owned(), reason: "is the source itself; name another folder".into() });
    }
    let mut tally = Tally::default();
    let mut records = layout.read(&root, options, &mut tally)?;
    records.sort_by(|a, b| a.id.cmp(&b.id));
    records.dedup_by(|later, first| {
        let twice = later.id == first.id;
        if twice {
            tally.study("another study has the same id", &later.id);
        }
        twice
    });

    let kept = keep(&records, &root, options, &mut tally);
    let places: Vec<splits::Place> =
        kept.iter().map(|kept| (kept.record.patient.as_str(), kept.record.split)).collect();
    let official = options.splits == Splits::Official && places.iter().any(|(_, split)| split.is_some());
    let split = if official { splits::official } else { splits::seeded }(&places, options.seed);
    let mut by_split: BTreeMap<Split, Vec<&Kept>> = BTreeMap::new();
    for (kept, split) in kept.iter().zip(split) {
        match split {
            Some(split) => by_split.entry(split).or_default().push(kept),
            None => tally.study("in none of the owners' splits", &kept.record.id),
        }
    }
    let images = Images::new(&root, out, options.images)?;
    let mut counts = BTreeMap::new();
    for split in Split::ALL {
        let studies = by_split.remove(&split).unwrap_or_default();
        let studies = limited(studies, options, &mut tally);
        if studies.is_empty() && !kept.is_empty() {
            tally.note("a split without studies, which a run refuses", split.name());
        }
        counts.insert(split.name(), write_split(&studies, split, out, &images, options)?);
    }
    for patient in in_two_splits(&places, official) {
        tally.note("a patient in two of the owners' splits", patient);
    }
    let splits_by = if official { "owners" } else { "seed" };
    let conversion = Conversion { layout: layout.name(), options: options.clone(), splits_by, splits: counts, tally };
    conversion.write(&out.join(CONVERSION))?;
    if conversion.splits.values().all(|counts| counts.studies == 0) {
        let reason = format!("no study is left to convert\n{conversion}");
        return Err(Error::Layout { dir: source.to_owned(), reason });
    }
    Ok(conversion)
}

/// The studies with a reference and an image, with their priors.
fn keep<'a>(records: &'a [Record], root: &Path, options: &Options, tally: &mut Tally) -> Vec<Kept<'a>> {
    let mut files = Files::new(root.to_owned());
    let mut patients: BTreeMap<&str, Vec<(&str, &Record)>> = BTreeMap::new();
    for record in records {
        if let Some(when) = &record.when {
            patients.entry(&record.patient).or_default().push((when, record));
        }
    }
    patients.values_mut().for_each(|studies| studies.sort_by_key(|(when, record)| (*when, &record.id)));
    let mut kept = Vec::new();
    for record in records {
        let reference = |report| text::reference(report, options.section, options.placeholders);
        let said = record.report.as_ref().map_err(|reason| *reason).and_then(|report| Ok((report, reference(report)?)));
        let picked = said.and_then(|said| Ok((said, pick::current(&record.images, options, &mut files, tally)?)));
        let ((report, reference), current) = match picked {
            Ok(picked) => picked,
            Err(reason) => {
                tally.study(reason, &record.id);
                continue;
            }
        };
        let prior = match (&record.prior, &record.when) {
            (Some(images), _) => pick::prior(images, options, &mut files, tally),
            (None, Some(when)) => {
                let studies = patients.get(record.patient.as_str()).map_or(&[][..], Vec::as_slice);
                let earlier = studies.iter().rev().skip_while(|(other, _)| *other >= when.as_str());
                let mut priors = earlier.map(|(_, study)| pick::prior(&study.images, options, &mut files, tally));
                priors.find(|images| !images.is_empty()).unwrap_or_default()
            }
            (None, None) => Vec::new(),
        };
        if current.iter().all(|(projection, _)| *projection == Projection::Lateral) {
            tally.note("a study with lateral images only", &record.id);
        }
        if text::has_placeholders(&reference) {
            tally.note("a reference with marks for what was taken out (___ or XXXX)", &record.id);
        }
        kept.push(Kept { record, report, reference, current, prior });
    }
    kept
}

/// As many as the options want, chosen by the seed, in their order.
fn limited<'a, 'b>(studies: Vec<&'b Kept<'a>>, options: &Options, tally: &mut Tally) -> Vec<&'b Kept<'a>> {
    let Some(limit) = options.limit else { return studies };
    let ids = studies.iter().map(|kept| kept.record.id.as_str()).collect();
    let chosen: BTreeSet<&str> = splits::shuffled(ids, options.seed).into_iter().take(limit).collect();
    let (within, beyond) = studies.into_iter().partition(|kept| chosen.contains(kept.record.id.as_str()));
    let beyond: Vec<&Kept> = beyond;
    beyond.iter().for_each(|kept| tally.study("beyond the limit", &kept.record.id));
    within
}

fn write_split(studies: &[&Kept], split: Split, out: &Path, images: &Images, options: &Options) -> Result<SplitCounts> {
    let mut list = List::create(out.join(format!("{split}.json")))?;
    let mut counts = SplitCounts::default();
    let mut patients = BTreeSet::new();
    for kept in studies {
        let study = study(kept, options);
        let files = kept.current.iter().chain(&kept.prior);
        let names = files.map(|(_, file)| images.place(file)).collect::<Result<Vec<String>>>()?;
        let mut entry = entry(&study, &names);
        entry["patient"] = kept.record.patient.as_str().into();
        list.push(&entry)?;
        patients.insert(&kept.record.patient);
        counts.studies += 1;
        counts.images += names.len();
        counts.with_prior += usize::from(!kept.prior.is_empty());
    }
    counts.patients = patients.len();
    list.finish()?;
    Ok(counts)
}

/// The views are in prompt order.
fn study(kept: &Kept, options: &Options) -> Study {
    let view = |timing| {
        move |(projection, file): &Picked| View {
            projection: *projection,
            timing,
            image: ImageSource::File(file.into()),
        }
    };
    let current = kept.current.iter().map(view(Timing::Current));
    let context = |text: &Option<String>| text.as_deref().and_then(|text| text::tidy(text, options.placeholders));
    Study {
        id: kept.record.id.clone(),
        views: current.chain(kept.prior.iter().map(view(Timing::Prior))).collect(),
        indication: context(&kept.report.indication),
        technique: context(&kept.report.technique),
        comparison: context(&kept.report.comparison),
        reference: Reference::new(kept.reference.as_str()),
    }
}

/// Patients whom the owners have put into two splits.
fn in_two_splits<'a>(places: &[splits::Place<'a>], official: bool) -> BTreeSet<&'a str> {
    let mut first: BTreeMap<&str, Split> = BTreeMap::new();
    let split = |(patient, split): &splits::Place<'a>| Some((*patient, (*split)?));
    let mut twice = |(patient, split): &(&'a str, Split)| *first.entry(patient).or_insert(*split) != *split;
    places
        .iter()
        .filter(|_| official)
        .filter_map(split)
        .filter(|place| twice(place))
        .map(|(patient, _)| patient)
        .collect()
}
