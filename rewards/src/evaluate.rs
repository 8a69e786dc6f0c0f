//! The evaluation of a set of reports: the paper's table, and what tells a better policy from a blander one.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    Entity, Error, Label, Labels, Observation, Presence, Result,
    labels::binary,
    metrics::{
        chexbert,
        radgraph::{self, Level},
        rate,
    },
    score::Backends,
    sentences,
};

/// Scores of a set of reports. All in [0, 1] except the two means of lengths.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClinicalScores {
    /// F1 over the 14 labels of all reports together.
    pub micro_f1_14: f64,
    /// Mean of the F1 of the 14 observations.
    pub macro_f1_14: f64,
    /// F1 over the five labels of all reports together.
    pub micro_f1_5: f64,
    /// Mean of the F1 of the five observations.
    pub macro_f1_5: f64,
    /// Mean RadGraph F1, partial level.
    pub radgraph_f1: f64,
    /// Mean RaTEScore.
    pub rate: f64,
    /// The plain mean of the six above.
    pub average: f64,
    /// The share of asserted labels of the reports that references assert too.
    pub micro_precision_14: f64,
    /// The share of asserted labels of the references that reports assert too.
    pub micro_recall_14: f64,
    /// Share of reports labelled No Finding.
    pub normal_share: f64,
    /// Distinct reports per report.
    pub distinct_share: f64,
    /// Mean number of words per report.
    pub mean_words: f64,
    /// Mean number of sentences per report.
    pub mean_sentences: f64,
    /// Share of sentences that stand earlier in the same report.
    pub repeated_sentence_share: f64,
}

impl ClinicalScores {
    /// The fields, by name and in order.
    pub const NAMES: [&str; 14] = [
        "micro_f1_14",
        "macro_f1_14",
        "micro_f1_5",
        "macro_f1_5",
        "radgraph_f1",
        "rate",
        "average",
        "micro_precision_14",
        "micro_recall_14",
        "normal_share",
        "distinct_share",
        "mean_words",
        "mean_sentences",
        "repeated_sentence_share",
    ];

    /// The names that say how good reports are; those after them say what reports are like.
    pub const QUALITIES: &[&str] = Self::NAMES.split_at(9).0;

    /// The scores under [`ClinicalScores::NAMES`].
    pub fn by_name(&self) -> BTreeMap<String, f64> {
        let values = [
            self.micro_f1_14,
            self.macro_f1_14,
            self.micro_f1_5,
            self.macro_f1_5,
            self.radgraph_f1,
            self.rate,
            self.average,
            self.micro_precision_14,
            self.micro_recall_14,
            self.normal_share,
            self.distinct_share,
            self.mean_words,
            self.mean_sentences,
            self.repeated_sentence_share,
        ];
        Self::NAMES.into_iter().map(str::to_owned).zip(values).collect()
    }
}

/// A report and its reference with all that the scores of a set need to know of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// The hypothesis, as it was given.
    pub report: String,
    /// What it was judged by.
    pub reference: String,
    /// What the report says of each observation, in the order of [`Observation::ALL`].
    pub labels: Labels,
    /// What the reference says of it.
    pub truth: Labels,
    /// RadGraph F1, partial level.
    pub radgraph: f64,
    /// RaTEScore.
    pub rate: f64,
    /// The words of the entities that the report asserts.
    pub said: Vec<String>,
    /// The words of those that the reference asserts.
    pub meant: Vec<String>,
}

/// Scores hypotheses against their references.
///
/// # Errors
/// As [`judge`].
pub fn evaluate(backends: &Backends, hypotheses: &[&str], references: &[&str]) -> Result<ClinicalScores> {
    Ok(pool(&judge(backends, hypotheses, references)?.iter().collect::<Vec<_>>()))
}

/// Judges each hypothesis by its reference.
///
/// # Errors
/// Unequal or zero numbers of reports, and whatever a back end reports.
pub fn judge(backends: &Backends, hypotheses: &[&str], references: &[&str]) -> Result<Vec<Judged>> {
    if hypotheses.is_empty() || hypotheses.len() != references.len() {
        return Err(Error::Pairs { hypotheses: hypotheses.len(), references: references.len() });
    }
    let labels = backends.labels(hypotheses)?.into_iter().zip(backends.labels(references)?);
    let graphs = backends.graphs(hypotheses)?.into_iter().zip(backends.graphs(references)?);
    let entities = backends.entities(hypotheses)?.into_iter().zip(backends.entities(references)?);
    let weights = rate::Weights::default();
    let judged = hypotheses.iter().zip(references).zip(labels).zip(graphs).zip(entities);
    let judged = judged.map(|((((report, reference), (labels, truth)), graphs), entities)| {
        let radgraph = finite("radgraph", radgraph::score(&graphs.0, &graphs.1, Level::Partial).f1)?;
        let rate = finite("rate", rate::score(&entities.1, &entities.0, &weights))?;
        Ok(Judged {
            report: (*report).to_owned(),
            reference: (*reference).to_owned(),
            labels,
            truth,
            radgraph,
            rate,
            said: asserted(&entities.0),
            meant: asserted(&entities.1),
        })
    });
    judged.collect()
}

/// The words of the entities that are said to be present.
pub fn asserted(entities: &[Entity]) -> Vec<String> {
    let present = entities.iter().filter(|entity| entity.kind.presence() == Presence::Present);
    present.map(|entity| entity.text.clone()).collect()
}

fn finite(component: &'static str, value: f64) -> Result<f64> {
    if value.is_finite() { Ok(value) } else { Err(Error::NotFinite { component, value }) }
}

/// The scores of a set of judged reports, of which there is at least one.
pub fn pool(judged: &[&Judged]) -> ClinicalScores {
    let rows: Vec<chexbert::Row> = judged.iter().map(|one| binary(&one.labels)).collect();
    let truth: Vec<chexbert::Row> = judged.iter().map(|one| binary(&one.truth)).collect();
    let all = chexbert::report(&rows, &truth, &Observation::ALL);
    let five = chexbert::report(&rows, &truth, &Observation::FIVE);
    let radgraph_f1 = mean(judged.iter().map(|one| one.radgraph));
    let rate = mean(judged.iter().map(|one| one.rate));

    let table = [all.micro.f1, all.macro_.f1, five.micro.f1, five.macro_.f1, radgraph_f1, rate];
    let normal = |one: &Judged| one.labels[Observation::NoFinding.index()] == Label::Positive;
    let distinct: BTreeSet<String> = judged.iter().map(|one| spaced(&one.report)).collect();
    let cut: Vec<Vec<&str>> = judged.iter().map(|one| sentences::split(&one.report)).collect();
    let said: usize = cut.iter().map(Vec::len).sum();
    let unique: usize =
        cut.iter().map(|sentences| sentences.iter().map(|s| spaced(s)).collect::<BTreeSet<_>>().len()).sum();
    ClinicalScores {
        micro_f1_14: all.micro.f1,
        macro_f1_14: all.macro_.f1,
        micro_f1_5: five.micro.f1,
        macro_f1_5: five.macro_.f1,
        radgraph_f1,
        rate,
        average: mean(table.into_iter()),
        micro_precision_14: all.micro.precision,
        micro_recall_14: all.micro.recall,
        normal_share: mean(judged.iter().map(|one| f64::from(u8::from(normal(one))))),
        distinct_share: distinct.len() as f64 / judged.len().max(1) as f64,
        mean_words: mean(judged.iter().map(|one| one.report.split_whitespace().count() as f64)),
        mean_sentences: mean(cut.iter().map(|sentences| sentences.len() as f64)),
        repeated_sentence_share: if said == 0 { 0. } else { (said - unique) as f64 / said as f64 },
    }
}

fn spaced(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len();
    if count == 0 { 0. } else { values.sum::<f64>() / count as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_of_the_fields() {
        let reports = ["Cardiomegaly. Small left effusion.", "Edema. No effusion. Edema."];
        let scores = evaluate(&Backends::lexicon(), &reports, &["Cardiomegaly.", "Edema. Effusion."]).unwrap();
        let by_name = scores.by_name();
        let json = serde_json::to_value(scores).unwrap();
        assert_eq!(serde_json::to_value(by_name).unwrap(), json);
        let mut names = ClinicalScores::NAMES;
        names.sort_unstable();
        assert_eq!(json.as_object().unwrap().keys().map(String::as_str).collect::<Vec<_>>(), names);
    }

    #[test]
    fn perfect_reports_score_one_wherever_the_metric_can() {
        let reports = ["Cardiomegaly. Small left effusion.", "Mild edema. Bibasilar atelectasis. Consolidation."];
        let scores = evaluate(&Backends::lexicon(), &reports, &reports).unwrap();
        for value in [scores.micro_f1_14, scores.micro_f1_5, scores.macro_f1_5, scores.radgraph_f1, scores.rate] {
            assert!((value - 1.).abs() < 1e-6, "{scores:?}");
        }
        // Nine of fourteen observations do not occur and count 0.
        assert!((scores.macro_f1_14 - 5. / 14.).abs() < 1e-12);
        let six = [scores.micro_f1_14, scores.macro_f1_14, scores.micro_f1_5, scores.macro_f1_5, scores.radgraph_f1];
        assert!((scores.average - (six.iter().sum::<f64>() + scores.rate) / 6.).abs() < 1e-12);
    }

    #[test]
    fn blandness_and_repetition_are_measured() {
        let hypotheses = ["The lungs are clear. The lungs are clear.", "The lungs are clear. The lungs  are clear."];
        let references = ["Left pneumothorax.", "The lungs are clear."];
        let scores = evaluate(&Backends::lexicon(), &hypotheses, &references).unwrap();
        assert_eq!((scores.normal_share, scores.distinct_share, scores.repeated_sentence_share), (1., 0.5, 0.5));
        assert_eq!((scores.mean_words, scores.mean_sentences), (8., 2.));
        assert_eq!((scores.micro_precision_14, scores.micro_recall_14), (0.5, 0.5));
    }

    #[test]
    fn unequal_or_empty_sets_are_refused() {
        assert!(evaluate(&Backends::lexicon(), &["a"], &[]).unwrap_err().to_string().contains("1 hypotheses"));
        assert!(evaluate(&Backends::lexicon(), &[], &[]).is_err());
    }
}
