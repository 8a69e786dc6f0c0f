//! The studies of a run: how many there are, and a sample of each set, read as the run would read it.

use std::sync::Arc;

use addendum_policy::Processor;
use addendum_studies::{Dataset, Prompt, Split, Study};
use rayon::prelude::*;
use serde::Serialize;

use super::findings::Findings;
use crate::train::{Settings, data::Data};

/// Studies of each set that are read.
const SAMPLE: usize = 16;

/// A set of studies under its name.
pub struct Set {
    pub name: String,
    /// What scores on it are called, where it is for validation.
    pub validates: Option<String>,
    pub dataset: Arc<dyn Dataset>,
}

/// A set of studies.
#[derive(Clone, Debug, Serialize)]
pub struct SetPlan {
    pub name: String,
    pub studies: usize,
    /// Studies that were read.
    pub sampled: usize,
}

/// Numbers of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Lengths {
    /// The median.
    pub typical: usize,
    pub longest: usize,
}

impl Lengths {
    fn of(mut tokens: Vec<usize>) -> Option<Self> {
        tokens.sort_unstable();
        Some(Self { typical: *tokens.get(tokens.len() / 2)?, longest: *tokens.last()? })
    }
}

/// The sample of all sets.
#[derive(Debug, Default)]
pub struct Sample {
    pub sets: Vec<SetPlan>,
    pub prompts: Option<Lengths>,
    pub references: Option<Lengths>,
    /// Of every reference.
    reference_tokens: Vec<usize>,
    /// The most image patches and image tokens of a study.
    pub patches: usize,
    pub image_tokens: usize,
}

/// What one study is like.
struct Reading {
    prompt: usize,
    patches: usize,
    image_tokens: usize,
    reference: usize,
}

/// The sets of the run, the training set first; each split of a folder by itself, so that each tells what it lacks.
pub fn sets(settings: &Settings, own: Option<&Data>, findings: &mut Findings) -> Vec<Set> {
    let of = |data: Data| {
        let held_out = [("validation", data.validation), ("test", data.tests)];
        let held_out = held_out.into_iter().flat_map(|(kind, sets)| {
            sets.into_iter().map(move |(name, dataset)| Set {
                validates: (kind == "validation").then(|| name.clone()),
                name: if name == kind { name } else { format!("{kind} {name}") },
                dataset,
            })
        });
        let training = Set { name: "training".into(), validates: None, dataset: data.training };
        std::iter::once(training).chain(held_out).collect()
    };
    match (own, &settings.data.folder) {
        (Some(data), _) => of(data.clone()),
        (None, Some(folder)) => {
            let load = |split: Split| {
                let studies = findings.note("data.folder", Data::split(folder, split, settings.data.skip_bad))?;
                if !studies.bad().is_empty() {
                    let reason = format!("{}: {} entries are left out", studies.path().display(), studies.bad().len());
                    findings.warning("data.skip_bad", reason);
                }
                let validates = (split == Split::Val).then(|| "validation".into());
                Some(Set { name: split.to_string(), validates, dataset: Arc::new(studies) })
            };
            Split::ALL.into_iter().filter_map(load).collect()
        }
        // That neither is named was told with the settings.
        (None, None) if settings.data.phantoms.is_none() => Vec::new(),
        (None, None) => findings.note("data.phantoms", Data::load(&settings.data)).map(of).unwrap_or_default(),
    }
}

/// Reads the first study of every set, the last one, and some between them.
pub fn sample(sets: &[Set], processor: Option<&Processor>, findings: &mut Findings) -> Sample {
    let mut sample = Sample::default();
    let mut prompts = Vec::new();
    for set in sets {
        let indices = spread(set.dataset.len());
        let read: Vec<_> = indices.par_iter().map(|&index| read(set, index, processor)).collect();
        sample.sets.push(SetPlan { name: set.name.clone(), studies: set.dataset.len(), sampled: indices.len() });
        for result in read {
            match result {
                Ok(Some(reading)) => {
                    prompts.push(reading.prompt);
                    sample.reference_tokens.push(reading.reference);
                    sample.patches = sample.patches.max(reading.patches);
                    sample.image_tokens = sample.image_tokens.max(reading.image_tokens);
                }
                Ok(None) => {}
                Err(reasons) => reasons.iter().for_each(|reason| findings.problem("data", reason)),
            }
        }
    }
    sample.prompts = Lengths::of(prompts);
    sample.references = Lengths::of(sample.reference_tokens.clone());
    sample
}

/// Warns of references that no sampled report could be as long as.
pub fn check_lengths(sample: &Sample, settings: &Settings, findings: &mut Findings) {
    let most = settings.sampling.max_new_tokens;
    let longer = sample.reference_tokens.iter().filter(|tokens| **tokens > most).count();
    if let (1.., Some(Lengths { longest, .. })) = (longer, sample.references) {
        let all = sample.reference_tokens.len();
        let reason =
            format!("is {most}; {longer} of {all} sampled references are longer, the longest has {longest} tokens");
        findings.warning("sampling.max_new_tokens", reason);
    }
}

/// Indices from the first to the last, evenly.
fn spread(len: usize) -> Vec<usize> {
    let count = len.min(SAMPLE);
    (0..count).map(|i| i * (len - 1) / (count - 1).max(1)).collect()
}

/// All that is wrong with a study, or what it is like where there is a processor to tell.
fn read(set: &Set, index: usize, processor: Option<&Processor>) -> Result<Option<Reading>, Vec<String>> {
    let study = set.dataset.study(index).map_err(|error| vec![format!("{}: study {index}: {error}", set.name)])?;
    let told = |reason: &dyn std::fmt::Display| format!("{}: study `{}`: {reason}", set.name, study.id);
    let mut wrong = Vec::new();
    if study.reference.text().trim().is_empty() {
        wrong.push(told(&"its reference is empty"));
    }
    let reading = match processor.map(|processor| measured(&study, processor)) {
        Some(Ok(reading)) => Some(reading),
        failed => {
            let unread: Vec<_> = study.views.iter().filter_map(|view| view.load().err()).collect();
            wrong.extend(unread.iter().map(|error| told(error)));
            if let (Some(Err(error)), true) = (&failed, unread.is_empty()) {
                wrong.push(told(error));
            }
            None
        }
    };
    if wrong.is_empty() { Ok(reading) } else { Err(wrong) }
}

fn measured(study: &Study, processor: &Processor) -> addendum_policy::Result<Reading> {
    let (prompt, images) = processor.tokenise(&Prompt::new(study))?;
    Ok(Reading {
        prompt: prompt.ids.len(),
        patches: images.iter().map(|image| image.grid.iter().product::<usize>()).sum(),
        image_tokens: prompt.image_at.len(),
        reference: processor.tokenizer().encode_report(study.reference.text())?.len(),
    })
}
