//! Everything that a check found.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
};

use addendum::{
    report::progress::Progress,
    studies::{Dataset, Folder, Place, Split},
};
use rayon::prelude::*;
use serde::Serialize;

use super::{
    finding::{Finding, Kind},
    limits::Limits,
    set::Set,
    study::{Check, Examined},
};

/// Studies between two steps of the progress bar.
const STEP: usize = 256;

#[derive(Debug, Serialize)]
pub struct Summary {
    pub folder: PathBuf,
    pub limits: Limits,
    pub sets: Vec<Set>,
    /// What keeps a run from being made, or spoils it.
    pub problems: Vec<Finding>,
    /// What is odd.
    pub warnings: Vec<Finding>,
}

/// Where names of studies or patients were met first.
type Met = HashMap<String, (Split, Place)>;

impl Summary {
    /// Reads all splits of a folder.
    pub fn of(folder: &Path, check: &Check, progress: &Progress) -> Self {
        let (sets, problems, warnings) = (Vec::new(), Vec::new(), Vec::new());
        let mut summary = Self { folder: folder.to_owned(), limits: check.limits, sets, problems, warnings };
        let (mut ids, mut patients) = (Met::new(), Met::new());
        for split in Split::ALL {
            match Folder::read(folder, split) {
                Ok(studies) => {
                    let examined = examine(&studies, split, check, progress);
                    summary.take(split, &studies, &examined);
                    for (what, met, name) in [
                        ("id", &mut ids, (|study| study.named.clone()) as fn(&Examined) -> Option<String>),
                        ("patient", &mut patients, |study| study.patient.clone()),
                    ] {
                        summary.problems.extend(shared(what, met, split, &studies, &examined, name));
                    }
                }
                Err(error) => summary.problems.push(Finding::of_split(Kind::File, split, error.to_string())),
            }
        }
        summary
    }

    fn take(&mut self, split: Split, folder: &Folder, examined: &[Examined]) {
        for row in folder.bad() {
            let finding = |problem: &addendum::studies::Problem| {
                Finding::at(Kind::Entry, split, &row.place, None, problem.to_string())
            };
            self.problems.extend(row.problems.iter().map(finding));
        }
        if folder.is_empty() {
            self.problems.push(Finding::of_split(Kind::File, split, "holds no study, expected at least one".into()));
        }
        for (index, study) in examined.iter().enumerate() {
            let Ok(place) = folder.place(index) else { continue };
            let at =
                |(kind, reason): &(Kind, String)| Finding::at(*kind, split, &place, Some(&study.id), reason.clone());
            self.problems.extend(study.problems.iter().map(at));
            self.warnings.extend(study.warnings.iter().map(at));
        }
        self.sets.push(Set::of(split, folder.path().display().to_string(), folder.bad().len(), examined));
    }
}

/// All studies, by all cores.
fn examine(folder: &Folder, split: Split, check: &Check, progress: &Progress) -> Vec<Examined> {
    let mut counting = progress.counting(split.name(), folder.len() as u64, "studies");
    let mut examined = Vec::with_capacity(folder.len());
    for start in (0..folder.len()).step_by(STEP) {
        let end = folder.len().min(start + STEP);
        examined.par_extend((start..end).into_par_iter().map(|index| check.examine(folder, index)));
        counting.advance((end - start) as u64);
    }
    counting.finish();
    examined
}

/// Names that an earlier split has, too: each once.
fn shared(
    what: &str,
    met: &mut Met,
    split: Split,
    folder: &Folder,
    examined: &[Examined],
    name: fn(&Examined) -> Option<String>,
) -> Vec<Finding> {
    let mut told = HashSet::new();
    let mut findings = Vec::new();
    for (index, study) in examined.iter().enumerate() {
        let (Some(name), Ok(place)) = (name(study).filter(|name| !name.is_empty()), folder.place(index)) else {
            continue;
        };
        match met.get(&name) {
            Some((first, there)) if *first != split => {
                if told.insert(name.clone()) {
                    let reason = format!("its {what} `{name}` is also in the {first} split, {there}");
                    findings.push(Finding::at(Kind::Split, split, &place, Some(&study.id), reason));
                }
            }
            Some(_) => {}
            None => drop(met.insert(name, (split, place))),
        }
    }
    findings
}
