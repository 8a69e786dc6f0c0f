//! CheXbert's scores (Smit et al. 2020) on given label vectors: F1 over 14 and 5 observations with scikit-learn's
//! conventions, accuracy over the five, and the inverse-frequency weighted accuracy of the EditGRPO code.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::prf::Prf;
use crate::labels::Observation;

/// Whether each observation is asserted (positive or uncertain), in the order of [`Observation::ALL`].
pub type Row = [bool; 14];

/// One class of a [`Report`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassScore {
    /// Over all reports, for this class alone.
    pub scores: Prf,
    /// References that assert the class.
    pub support: usize,
}

/// What scikit-learn's `classification_report` says with `zero_division=0`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// In the order of the classes asked for.
    pub classes: Vec<ClassScore>,
    /// Over the labels of all classes together.
    pub micro: Prf,
    /// Over all classes, absent ones counting 0. Its `f1` is the mean of F1s.
    pub macro_: Prf,
    /// Over classes, weighted by support.
    pub weighted: Prf,
    /// Over reports.
    pub samples: Prf,
}

/// Scores label rows over some classes. Rows pair up; a surplus row on either side is ignored.
pub fn report(hypotheses: &[Row], references: &[Row], classes: &[Observation]) -> Report {
    let pairs = || hypotheses.iter().zip(references);
    let counts = |items: &mut dyn Iterator<Item = (bool, bool)>| {
        items.fold((0, 0, 0), |(hits, h, r), (hyp, reference)| {
            (hits + usize::from(hyp && reference), h + usize::from(hyp), r + usize::from(reference))
        })
    };
    let per_class: Vec<_> =
        (classes.iter()).map(|class| counts(&mut pairs().map(|(h, r)| (h[class.index()], r[class.index()])))).collect();
    let per_sample: Vec<Prf> = pairs()
        .map(|(h, r)| counts(&mut classes.iter().map(|class| (h[class.index()], r[class.index()]))))
        .map(|(hits, h, r)| Prf::of_counts(hits, h, r))
        .collect();
    let scores: Vec<ClassScore> =
        (per_class.iter()).map(|&(hits, h, r)| ClassScore { scores: Prf::of_counts(hits, h, r), support: r }).collect();
    let (hits, h, r) = per_class.iter().fold((0, 0, 0), |a, b| (a.0 + b.0, a.1 + b.1, a.2 + b.2));
    Report {
        micro: Prf::of_counts(hits, h, r),
        macro_: mean(scores.iter().map(|class| (class.scores, 1.))),
        weighted: mean(scores.iter().map(|class| (class.scores, class.support as f64))),
        samples: mean(per_sample.into_iter().map(|scores| (scores, 1.))),
        classes: scores,
    }
}

fn mean(items: impl Iterator<Item = (Prf, f64)>) -> Prf {
    let (sum, mass) = items.fold((Prf::default(), 0.), |(sum, mass), (item, weight)| {
        let sum = Prf {
            precision: sum.precision + weight * item.precision,
            recall: sum.recall + weight * item.recall,
            f1: sum.f1 + weight * item.f1,
        };
        (sum, mass + weight)
    });
    if mass == 0. {
        return Prf::default();
    }
    Prf { precision: sum.precision / mass, recall: sum.recall / mass, f1: sum.f1 / mass }
}

/// The reward of one report: micro F1 over its 14 labels; 0 when both rows are empty, as in the reference.
pub fn micro_f1_14(hypothesis: &Row, reference: &Row) -> f64 {
    report(&[*hypothesis], &[*reference], &Observation::ALL).micro.f1
}

/// The same over the five labels of [`Observation::FIVE`].
pub fn micro_f1_5(hypothesis: &Row, reference: &Row) -> f64 {
    report(&[*hypothesis], &[*reference], &Observation::FIVE).micro.f1
}

/// The share of reports whose five labels ([`Observation::FIVE`]) all agree; 0 without reports.
pub fn accuracy_5(hypotheses: &[Row], references: &[Row]) -> f64 {
    let agree = |(h, r): (&Row, &Row)| Observation::FIVE.iter().all(|class| h[class.index()] == r[class.index()]);
    let reports = hypotheses.len().min(references.len());
    let right = hypotheses.iter().zip(references).filter(|&pair| agree(pair)).count();
    if reports == 0 { 0. } else { right as f64 / reports as f64 }
}

/// The share of rows that assert each observation; 0 without rows.
pub fn shares(rows: &[Row]) -> BTreeMap<Observation, f64> {
    let share = |class: Observation| {
        let asserted = rows.iter().filter(|row| row[class.index()]).count();
        asserted as f64 / rows.len().max(1) as f64
    };
    Observation::ALL.map(|class| (class, share(class))).into()
}

/// The inverse-frequency weighted accuracy of a batch.
///
/// Each class adds (right positives × (1 − frequency) + right negatives × frequency) / 2: counts, not rates, so it
/// grows with the batch. A class without a frequency takes the one seen in `references`; a class of frequency 0 weighs
/// negatives alone (weight 1), one of frequency 1 positives alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WeightedAccuracy {
    /// In the order of [`Observation::ALL`].
    pub classes: [f64; 14],
    /// The sum over classes.
    pub total: f64,
    /// `total` / 14; in [0, 0.5] for one report, and what the reward uses.
    pub mean: f64,
}

/// See [`WeightedAccuracy`]. `frequencies` are the positive shares of observations in the training references.
pub fn weighted_accuracy(
    hypotheses: &[Row],
    references: &[Row],
    frequencies: &BTreeMap<Observation, f64>,
) -> WeightedAccuracy {
    let pairs = hypotheses.len().min(references.len());
    let seen = shares(&references[..pairs]);
    let classes = Observation::ALL.map(|class| {
        let pairs = || hypotheses.iter().zip(references).map(|(h, r)| (h[class.index()], r[class.index()]));
        let frequency = frequencies.get(&class).or(seen.get(&class)).copied().unwrap_or_default();
        let (positive, negative) = match frequency {
            0. => (0., 1.),
            1. => (1., 0.),
            _ => (1. - frequency, frequency),
        };
        let hits = pairs().filter(|&(h, r)| h && r).count() as f64;
        let rejections = pairs().filter(|&(h, r)| !h && !r).count() as f64;
        (hits * positive + rejections * negative) / 2.
    });
    let total = classes.iter().sum();
    WeightedAccuracy { classes, total, mean: total / 14. }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use addendum_fixtures::fixture;

    fn rows(value: &Value) -> Vec<Row> {
        let row = |row: &Value| {
            let cells: Vec<bool> = row.as_array().unwrap().iter().map(|x| x.as_i64().unwrap() != 0).collect();
            Row::try_from(cells).unwrap()
        };
        value.as_array().unwrap().iter().map(row).collect()
    }

    fn close(got: f64, expected: &Value, what: &str) {
        let expected = expected.as_f64().unwrap_or_else(|| panic!("{what}: no number in the fixture"));
        assert!((got - expected).abs() < 1e-9, "{what}: {got}, expected {expected}");
    }

    fn check(got: &Report, expected: &Value, classes: &[Observation], what: &str) {
        let all = [("micro avg", got.micro), ("macro avg", got.macro_), ("weighted avg", got.weighted)];
        let averages = all.into_iter().chain([("samples avg", got.samples)]);
        let named = classes.iter().zip(&got.classes).map(|(class, score)| (class.name(), score.scores));
        for (name, scores) in averages.chain(named) {
            close(scores.precision, &expected[name]["precision"], &format!("{what} {name} precision"));
            close(scores.recall, &expected[name]["recall"], &format!("{what} {name} recall"));
            close(scores.f1, &expected[name]["f1-score"], &format!("{what} {name} f1"));
        }
        for (class, score) in classes.iter().zip(&got.classes) {
            close(score.support as f64, &expected[class.name()]["support"], class.name());
        }
    }

    fn frequencies(value: &Value) -> BTreeMap<Observation, f64> {
        serde_json::from_value(value.clone()).unwrap_or_default()
    }

    #[test]
    fn parity_chexbert_metrics_of_label_matrices() {
        let all: Value = serde_json::from_slice(&fixture("rewards/chexbert/metrics.json")).unwrap();
        let names: Vec<_> = Observation::ALL.iter().map(|class| class.name()).collect();
        assert_eq!(serde_json::json!(names), all["classes_14"]);
        for case in all["cases"].as_array().unwrap() {
            let name = case["name"].as_str().unwrap();
            let (hyps, refs) = (rows(&case["hyps"]), rows(&case["refs"]));
            check(&report(&hyps, &refs, &Observation::ALL), &case["report_14"], &Observation::ALL, name);
            check(&report(&hyps, &refs, &Observation::FIVE), &case["report_5"], &Observation::FIVE, name);
            close(accuracy_5(&hyps, &refs), &case["accuracy_5"], name);
            let given = frequencies(&case["class_frequencies"]);
            for (frequencies, key) in [(&given, "weighted"), (&BTreeMap::new(), "weighted_without_frequencies")] {
                let got = weighted_accuracy(&hyps, &refs, frequencies);
                close(got.total, &case[key]["overall"]["weighted_accuracy"], name);
                close(got.mean, &case[key]["overall"]["mean_weighted_accuracy"], name);
                for (class, value) in Observation::ALL.iter().zip(got.classes) {
                    close(value, &case[key]["per_class"][class.name()]["weighted_accuracy"], class.name());
                }
            }
            for (i, expected) in case["per_report"].as_array().unwrap().iter().enumerate() {
                let (h, r) = (&hyps[i..=i], &refs[i..=i]);
                let five = report(h, r, &Observation::FIVE);
                close(micro_f1_14(&h[0], &r[0]), &expected["micro_f1_14"], name);
                close(report(h, r, &Observation::ALL).macro_.f1, &expected["macro_f1_14"], name);
                close(micro_f1_5(&h[0], &r[0]), &expected["micro_f1_5"], name);
                close(five.macro_.f1, &expected["macro_f1_5"], name);
                close(accuracy_5(h, r), &expected["accuracy_5"], name);
                close(weighted_accuracy(h, r, &given).total, &expected["weighted_overall"], name);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn scores_are_bounded_and_blind_to_the_order_of_reports(
            pairs in prop::collection::vec((any::<Row>(), any::<Row>()), 0..6)
        ) {
            let (hyps, refs): (Vec<_>, Vec<_>) = pairs.iter().copied().unzip();
            let (back_h, back_r): (Vec<_>, Vec<_>) = pairs.iter().rev().copied().unzip();
            let got = report(&hyps, &refs, &Observation::ALL);
            let back = report(&back_h, &back_r, &Observation::ALL);
            prop_assert_eq!((got.micro, got.macro_), (back.micro, back.macro_));
            prop_assert!([got.micro.f1, got.macro_.f1, got.samples.f1].iter().all(|x| (0. ..=1.).contains(x)));
            for row in hyps {
                prop_assert_eq!(micro_f1_14(&row, &row), f64::from(u8::from(row.contains(&true))));
            }
        }
    }
}
