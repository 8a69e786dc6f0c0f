//! What the studies of a split are like together.

use std::collections::{BTreeMap, BTreeSet};

use addendum::{
    rewards::{Label, Observation},
    studies::Split,
};
use serde::Serialize;

use super::study::Examined;

/// Bars of a histogram, about.
const BARS: usize = 10;

/// The studies of a split.
#[derive(Debug, Serialize)]
pub struct Set {
    pub split: Split,
    pub file: String,
    pub studies: usize,
    /// Entries that are no studies.
    pub bad_entries: usize,
    /// Patients, where the file names them.
    pub patients: usize,
    pub images: usize,
    pub report_words: Option<Lengths>,
    pub report_tokens: Option<Lengths>,
    /// Images included.
    pub prompt_tokens: Option<Lengths>,
    /// What the reports say by the lexicon, by observation.
    pub labels: BTreeMap<&'static str, Counts>,
}

/// Reports that say each of an observation; the others say nothing of it.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Counts {
    pub positive: usize,
    pub uncertain: usize,
    pub negative: usize,
}

/// How long something is.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Lengths {
    pub least: usize,
    /// The median.
    pub typical: usize,
    pub longest: usize,
    pub histogram: Vec<Bar>,
}

/// How many are at least `from` and less than `to`.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Bar {
    pub from: usize,
    pub to: usize,
    pub count: usize,
}

impl Set {
    pub fn of(split: Split, file: String, bad_entries: usize, studies: &[Examined]) -> Self {
        let lengths = |of: fn(&Examined) -> Option<usize>| Lengths::of(studies.iter().filter_map(of).collect());
        let mut labels: BTreeMap<&'static str, Counts> = BTreeMap::new();
        for observation in Observation::ALL {
            let counts = labels.entry(observation.name()).or_default();
            for study in studies {
                match study.labels[observation.index()] {
                    Label::Positive => counts.positive += 1,
                    Label::Uncertain => counts.uncertain += 1,
                    Label::Negative => counts.negative += 1,
                    Label::Blank => {}
                }
            }
        }
        let patients: BTreeSet<&String> = studies.iter().filter_map(|study| study.patient.as_ref()).collect();
        Self {
            split,
            file,
            studies: studies.len(),
            bad_entries,
            patients: patients.len(),
            images: studies.iter().map(|study| study.images).sum(),
            report_words: lengths(|study| Some(study.words)),
            report_tokens: lengths(|study| study.report_tokens),
            prompt_tokens: lengths(|study| study.prompt_tokens),
            labels,
        }
    }
}

impl Lengths {
    fn of(mut lengths: Vec<usize>) -> Option<Self> {
        lengths.sort_unstable();
        let (least, typical, longest) = (*lengths.first()?, *lengths.get(lengths.len() / 2)?, *lengths.last()?);
        let width = width(longest - least);
        let (first, last) = (least / width, longest / width);
        let bars = (first..=last).map(|bar| Bar { from: bar * width, to: (bar + 1) * width, count: 0 });
        let mut histogram: Vec<Bar> = bars.collect();
        lengths.iter().for_each(|length| histogram[length / width - first].count += 1);
        Some(Self { least, typical, longest, histogram })
    }
}

/// Of a bar: 1, 2 or 5 times a power of ten.
fn width(span: usize) -> usize {
    let powers = std::iter::successors(Some(1usize), |power| power.checked_mul(10));
    let widths = powers.flat_map(|power| [1, 2, 5].map(|times: usize| power.saturating_mul(times)));
    widths.into_iter().find(|width| span / width < BARS).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_in_one_bar_of_a_round_width() {
        let lengths = Lengths::of(vec![7, 93, 12, 12, 40]).unwrap();
        assert_eq!((lengths.least, lengths.typical, lengths.longest), (7, 12, 93));
        assert!(lengths.histogram.len() <= BARS + 1);
        assert_eq!(lengths.histogram[0], Bar { from: 0, to: 10, count: 1 });
        assert_eq!(lengths.histogram[1], Bar { from: 10, to: 20, count: 2 });
        assert_eq!(lengths.histogram.iter().map(|bar| bar.count).sum::<usize>(), 5);
        assert_eq!(Lengths::of(vec![3, 3]).unwrap().histogram, [Bar { from: 3, to: 4, count: 2 }]);
        assert_eq!(Lengths::of(vec![]), None);
        assert_eq!((width(0), width(9), width(10), width(999)), (1, 1, 2, 100));
    }
}
