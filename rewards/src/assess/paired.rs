//! How sure a difference between two arms is: the paired bootstrap over studies and seeds (Efron and Tibshirani 1993,
//! chapter 8). Scores that pool all studies are pooled anew in every resample.

use serde::Serialize;

use super::Resampling;
use crate::{
    Observation, Result,
    evaluate::Judged,
    labels::binary,
    metrics::{Prf, chexbert::Row},
};

/// A difference and the middle 95 % of its resamples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Gap {
    /// The first arm's score minus the second's.
    pub difference: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// What the scores need of one study.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    labels: Row,
    truth: Row,
    radgraph: f64,
    rate: f64,
}

impl From<&Judged> for Pair {
    fn from(judged: &Judged) -> Self {
        let (labels, truth) = (binary(&judged.labels), binary(&judged.truth));
        Self { labels, truth, radgraph: judged.radgraph, rate: judged.rate }
    }
}

/// The [`QUALITIES`](crate::ClinicalScores::QUALITIES) of an arm under one seed, each study as often as it was picked.
fn scores(pairs: &[Pair], picked: &[usize]) -> [f64; 9] {
    let (mut hits, mut said, mut support) = ([0; 14], [0; 14], [0; 14]);
    let (mut radgraph, mut rate, mut count) = (0.0, 0.0, 0);
    for (pair, &times) in pairs.iter().zip(picked).filter(|(_, times)| **times > 0) {
        for class in 0..14 {
            let (h, r) = (pair.labels[class], pair.truth[class]);
            hits[class] += times * usize::from(h && r);
            said[class] += times * usize::from(h);
            support[class] += times * usize::from(r);
        }
        radgraph += times as f64 * pair.radgraph;
        rate += times as f64 * pair.rate;
        count += times;
    }
    let over = |classes: &[Observation]| {
        let sum = |counts: &[usize; 14]| classes.iter().map(|class| counts[class.index()]).sum();
        let f1 = |class: &Observation| {
            let class = class.index();
            Prf::of_counts(hits[class], said[class], support[class]).f1
        };
        let micro = Prf::of_counts(sum(&hits), sum(&said), sum(&support));
        (micro, classes.iter().map(f1).sum::<f64>() / classes.len() as f64)
    };
    let ((micro, macro_), (five, macro_five)) = (over(&Observation::ALL), over(&Observation::FIVE));
    let (radgraph, rate) = (radgraph / count as f64, rate / count as f64);
    let six = [micro.f1, macro_, five.f1, macro_five, radgraph, rate];
    let average = six.iter().sum::<f64>() / 6.0;
    [six[0], six[1], six[2], six[3], six[4], six[5], average, micro.precision, micro.recall]
}

/// An arm's studies under each of its seeds.
pub type Seeds = Vec<Vec<Pair>>;

/// The gaps of all [`QUALITIES`](crate::ClinicalScores::QUALITIES) between pairs of arms, given by their places. The arms have the same studies, and the same
/// seeds or a single one that stands for all.
///
/// # Errors
/// A resampling out of range.
pub fn gaps(arms: &[Seeds], between: &[(usize, usize)], resampling: &Resampling) -> Result<Vec<[Gap; 9]>> {
    let studies = arms.iter().flatten().map(Vec::len).min().unwrap_or(0);
    let seeds = arms.iter().map(Vec::len).max().unwrap_or(0);
    if studies == 0 {
        return Ok(Vec::new());
    }
    let differences = |studies_picked: &[usize], seeds_picked: &[usize]| -> Vec<f64> {
        let mut times = vec![0; studies];
        studies_picked.iter().for_each(|study| times[*study] += 1);
        let mean = |seeds: &Seeds| {
            let each: Vec<[f64; 9]> = seeds.iter().map(|pairs| scores(pairs, &times)).collect();
            let mut mean = [0.0; 9];
            for seed in seeds_picked {
                let of_seed = &each[seed % each.len()];
                mean.iter_mut().zip(of_seed).for_each(|(sum, score)| *sum += score / seeds_picked.len() as f64);
            }
            mean
        };
        let means: Vec<[f64; 9]> = arms.iter().map(mean).collect();
        let difference =
            |(one, other): &(usize, usize)| std::array::from_fn::<_, 9, _>(|k| means[*one][k] - means[*other][k]);
        between.iter().flat_map(difference).collect()
    };
    let all = |count: usize| (0..count).collect::<Vec<usize>>();
    let point = differences(&all(studies), &all(seeds));
    let intervals = resampling.intervals([studies, seeds], |[studies, seeds]| differences(studies, seeds))?;
    let gaps: Vec<Gap> = point
        .iter()
        .zip(intervals)
        .map(|(difference, interval)| Gap { difference: *difference, low: interval.low, high: interval.high })
        .collect();
    Ok(gaps.as_chunks::<9>().0.to_vec())
}

#[cfg(test)]
mod tests {
    use crate::{
        Backends, ClinicalScores,
        evaluate::{judge, pool},
    };

    use super::*;

    const REFERENCES: [&str; 4] =
        ["Cardiomegaly.", "Left pleural effusion. No edema.", "The lungs are clear.", "Pneumothorax."];
    const GOOD: [&str; 4] = ["Cardiomegaly.", "Left pleural effusion.", "The lungs are clear.", "Edema."];
    const BLAND: [&str; 4] = ["The lungs are clear."; 4];

    fn judged(reports: &[&str]) -> Vec<Judged> {
        judge(&Backends::lexicon(), reports, &REFERENCES).unwrap()
    }

    fn pairs(reports: &[&str]) -> Vec<Pair> {
        judged(reports).iter().map(Pair::from).collect()
    }

    #[test]
    fn scores_of_picks_are_those_of_the_evaluation_of_the_same_studies() {
        let judged = judged(&GOOD);
        for picks in [&[0, 1, 2, 3][..], &[3, 1, 1, 0], &[2, 2, 2, 2]] {
            let mut times = [0; 4];
            picks.iter().for_each(|pick| times[*pick] += 1);
            let expected = pool(&picks.iter().map(|pick| &judged[*pick]).collect::<Vec<_>>()).by_name();
            let got = scores(&pairs(&GOOD), &times);
            for (name, score) in ClinicalScores::QUALITIES.iter().zip(got) {
                assert!((score - expected[*name]).abs() < 1e-12, "{name} of {picks:?}: {score}");
            }
        }
    }

    /// One study that both get right, one that only the first does: a resample of two holds the second study 0, 1 or 2
    /// times, in 1, 2 and 1 of 4 cases. Precision is 1 always; recall of the second arm is 1, 1/2 or 0.
    #[test]
    fn the_interval_of_two_studies_is_that_of_all_their_resamples() {
        let references = ["Cardiomegaly.", "Pneumothorax."];
        let of = |reports: &[&str]| -> Seeds {
            let judged = judge(&Backends::lexicon(), reports, &references).unwrap();
            vec![judged.iter().map(Pair::from).collect()]
        };
        let arms = [of(&references), of(&["Cardiomegaly.", "Normal."])];
        let recall = ClinicalScores::QUALITIES.iter().position(|name| *name == "micro_recall_14").unwrap();
        let gap = |confidence| {
            let resampling = Resampling { resamples: 4000, confidence, seed: 1 };
            gaps(&arms, &[(0, 1)], &resampling).unwrap()[0][recall]
        };
        assert_eq!(gap(0.95), Gap { difference: 0.5, low: 0.0, high: 1.0 });
        // The middle 49 % are the two cases with one of each.
        assert_eq!(gap(0.45), Gap { difference: 0.5, low: 0.5, high: 0.5 });
    }

    #[test]
    fn seeds_are_resampled_in_pairs_and_a_single_one_stands_for_all() {
        let arms = [vec![pairs(&GOOD), pairs(&BLAND)], vec![pairs(&GOOD), pairs(&BLAND)], vec![pairs(&BLAND)]];
        let gaps = gaps(&arms, &[(0, 1), (0, 2)], &Resampling::default()).unwrap();
        assert!(gaps[0].iter().all(|gap| *gap == Gap { difference: 0.0, low: 0.0, high: 0.0 }), "{:?}", gaps[0]);
        let average = gaps[1][6];
        assert!(average.difference > 0.0 && average.low == 0.0 && average.high > average.difference, "{average:?}");
    }
}
