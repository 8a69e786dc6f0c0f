//! CIDEr (the CIDEr-D of Vedantam et al. 2015, as the COCO caption evaluation computes it) against one reference each.

use std::collections::BTreeMap;

use super::{
    ngrams::{self, Counts, LONGEST},
    words::words,
};

/// The width, in words, of the penalty on unequal lengths.
const SIGMA: f64 = 6.;

/// The score of each pair of [normalised](super::caption) reports, in [0, 10]; the corpus's score is their mean.
///
/// A sequence weighs by how few references of the same call hold it, so a score depends on the corpus, and that of a
/// single pair is 0. A text scores 10 against itself if some sequence of each length is rare. What one list has beyond
/// the other is left out.
pub fn scores(hypotheses: &[&str], references: &[&str]) -> Vec<f64> {
    let (hypotheses, references) = (split(hypotheses), split(references));
    let pairs: Vec<_> = hypotheses.iter().zip(&references).map(|(h, r)| (ngrams::count(h), ngrams::count(r))).collect();
    let mut documents: Counts = BTreeMap::new();
    for sequence in pairs.iter().flat_map(|(_, reference)| reference.keys()) {
        *documents.entry(sequence).or_default() += 1;
    }
    let corpus = (pairs.len() as f64).ln();
    let rarity = |sequence: &[&str]| corpus - (documents.get(sequence).copied().unwrap_or(1) as f64).ln();
    pairs.iter().map(|(hypothesis, reference)| 10. * similarity(hypothesis, reference, rarity)).collect()
}

fn split<'a>(texts: &[&'a str]) -> Vec<Vec<&'a str>> {
    texts.iter().map(|text| words(text).collect()).collect()
}

/// The mean over lengths of the cosine of the two weighted counts, those of the hypothesis clipped to the reference's.
fn similarity(hypothesis: &Counts, reference: &Counts, rarity: impl Fn(&[&str]) -> f64) -> f64 {
    let (mut products, mut ours, mut theirs) = ([0.; LONGEST], [0.; LONGEST], [0.; LONGEST]);
    for (&sequence, &count) in reference {
        theirs[sequence.len() - 1] += (count as f64 * rarity(sequence)).powi(2);
    }
    for (&sequence, &count) in hypothesis {
        let (k, rarity) = (sequence.len() - 1, rarity(sequence));
        let weight = count as f64 * rarity;
        ours[k] += weight.powi(2);
        if let Some(&other) = reference.get(sequence) {
            let other = other as f64 * rarity;
            products[k] += weight.min(other) * other;
        }
    }
    let difference = pairs_of_words(hypothesis) - pairs_of_words(reference);
    let penalty = (-difference.powi(2) / (2. * SIGMA * SIGMA)).exp();
    let cosine = |k: usize| {
        let norm = ours[k].sqrt() * theirs[k].sqrt();
        if norm == 0. { 0. } else { products[k] / norm }
    };
    penalty * (0..LONGEST).map(cosine).sum::<f64>() / LONGEST as f64
}

/// The length of a text as CIDEr-D counts it.
fn pairs_of_words(counts: &Counts) -> f64 {
    counts.iter().filter(|(sequence, _)| sequence.len() == 2).map(|(_, &count)| count as f64).sum()
}
