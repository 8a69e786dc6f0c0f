//! Scores a set of reports against their references by any choice of metrics, with bootstrap intervals.
//!
//! Reports are annotated once; what the metrics need of each pair is kept, so a resample costs no annotation. The paper's
//! table of a training run is [`evaluate`](mod@crate::evaluate); this is for files of reports.

mod bootstrap;
mod explain;
mod measure;
mod paired;

pub use bootstrap::{Interval, Resampling};
pub use explain::{Comparison, Explanation, explain};
pub use measure::Measure;
pub use paired::{Gap, Pair, Seeds, gaps};

use std::collections::BTreeMap;

use crate::{
    Backends, Error, Observation, Result,
    labels::binary,
    metrics::{
        chexbert::{self, Row},
        radgraph::{self, Level},
        rate,
    },
    text::{bleu, caption, cider, meteor, rouge},
};

/// What the metrics need to know of every pair; a list is empty where no measure asks for it.
pub struct Assessment {
    measures: Vec<Measure>,
    pairs: usize,
    bleu: Vec<bleu::Counts>,
    rouge: Vec<f64>,
    meteor: Vec<f64>,
    cider: Vec<f64>,
    /// Hypotheses and references.
    rows: [Vec<Row>; 2],
    weighted: Vec<f64>,
    /// Simple, partial, complete.
    radgraph: Vec<[f64; 3]>,
    rate: Vec<f64>,
}

/// A measure, its value over all pairs, and how far it may be off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// What was measured.
    pub measure: Measure,
    /// Over all pairs, in the measure's own unit.
    pub value: f64,
    /// `None` where no resampling was asked for.
    pub interval: Option<Interval>,
}

impl Assessment {
    /// Annotates the pairs as far as `measures` need it. [`Measure::WeightedAccuracy`] counts with `frequencies`, the
    /// shares of training references that assert an observation; where one is missing, with the share among all
    /// `references`, in every resample too.
    ///
    /// # Errors
    /// Unequal or zero numbers of reports, whatever a back end reports, and scores that are not finite.
    pub fn new(
        backends: &Backends,
        measures: &[Measure],
        frequencies: &BTreeMap<Observation, f64>,
        hypotheses: &[&str],
        references: &[&str],
    ) -> Result<Self> {
        if hypotheses.is_empty() || hypotheses.len() != references.len() {
            return Err(Error::Pairs { hypotheses: hypotheses.len(), references: references.len() });
        }
        let wants = |some: &[Measure]| some.iter().any(|measure| measures.contains(measure));
        let mut assessment = Self {
            measures: measures.to_vec(),
            pairs: hypotheses.len(),
            bleu: Vec::new(),
            rouge: Vec::new(),
            meteor: Vec::new(),
            cider: Vec::new(),
            rows: Default::default(),
            weighted: Vec::new(),
            radgraph: Vec::new(),
            rate: Vec::new(),
        };
        if wants(&Measure::TEXT) {
            assessment.read_words(hypotheses, references);
        }
        if wants(&Measure::CHEXBERT) {
            let rows = |reports| -> Result<Vec<Row>> { Ok(backends.labels(reports)?.iter().map(binary).collect()) };
            let rows = [rows(hypotheses)?, rows(references)?];
            let mut shares = chexbert::shares(&rows[1]);
            shares.extend(frequencies);
            let pairs = rows[0].iter().zip(&rows[1]);
            assessment.weighted = pairs.map(|(h, r)| chexbert::weighted_accuracy(&[*h], &[*r], &shares).mean).collect();
            assessment.rows = rows;
        }
        if wants(&Measure::RADGRAPH) {
            let graphs = backends.graphs(hypotheses)?.into_iter().zip(backends.graphs(references)?);
            let levels = [Level::Simple, Level::Partial, Level::Complete];
            let scores = graphs.map(|(h, r)| levels.map(|level| radgraph::score(&h, &r, level).f1));
            assessment.radgraph = scores.collect();
        }
        if wants(&[Measure::Rate]) {
            let weights = rate::Weights::default();
            let entities = backends.entities(hypotheses)?.into_iter().zip(backends.entities(references)?);
            for value in entities.map(|(h, r)| rate::score(&r, &h, &weights)) {
                if !value.is_finite() {
                    return Err(Error::NotFinite { component: "rate", value });
                }
                assessment.rate.push(value);
            }
        }
        Ok(assessment)
    }

    fn read_words(&mut self, hypotheses: &[&str], references: &[&str]) {
        let normal = |reports: &[&str]| -> Vec<String> { reports.iter().map(|report| caption(report)).collect() };
        let (hypotheses, references) = (normal(hypotheses), normal(references));
        let pairs = || hypotheses.iter().zip(&references);
        let wants = |measure| self.measures.contains(&measure);
        self.bleu = pairs().map(|(h, r)| bleu::Counts::of(h, r)).collect();
        self.rouge = pairs().map(|(h, r)| rouge::score(h, r)).collect();
        if wants(Measure::Meteor) {
            self.meteor = pairs().map(|(h, r)| meteor::score(h, r)).collect();
        }
        if wants(Measure::Cider) {
            self.cider = cider::scores(&strs(&hypotheses), &strs(&references));
        }
    }

    /// Every measure in the order asked for, with its interval if `resampling` is given.
    ///
    /// # Errors
    /// A resampling out of range.
    pub fn scores(&self, resampling: Option<&Resampling>) -> Result<Vec<Score>> {
        let all: Vec<usize> = (0..self.pairs).collect();
        let values = |picks: &[usize]| self.measures.iter().map(|&measure| self.value(measure, picks)).collect();
        let point: Vec<f64> = values(&all);
        let intervals = match resampling {
            Some(resampling) => {
                resampling.intervals([self.pairs], |[picks]| values(picks))?.into_iter().map(Some).collect()
            }
            None => vec![None; point.len()],
        };
        let scores = self.measures.iter().zip(point).zip(intervals);
        Ok(scores.map(|((&measure, value), interval)| Score { measure, value, interval }).collect())
    }

    /// The measure over some pairs, each as often as it is picked.
    fn value(&self, measure: Measure, picks: &[usize]) -> f64 {
        let mean = |values: &[f64]| picks.iter().map(|&i| values[i]).sum::<f64>() / picks.len() as f64;
        let level = |k: usize| picks.iter().map(|&i| self.radgraph[i][k]).sum::<f64>() / picks.len() as f64;
        let bleu = |k: usize| picks.iter().map(|&i| self.bleu[i]).sum::<bleu::Counts>().scores()[k];
        match measure {
            Measure::Bleu1 => bleu(0),
            Measure::Bleu2 => bleu(1),
            Measure::Bleu3 => bleu(2),
            Measure::Bleu4 => bleu(3),
            Measure::RougeL => mean(&self.rouge),
            Measure::Meteor => mean(&self.meteor),
            Measure::Cider => mean(&self.cider),
            Measure::MicroF1Of14 => self.labelled(picks, &Observation::ALL).micro.f1,
            Measure::MacroF1Of14 => self.labelled(picks, &Observation::ALL).macro_.f1,
            Measure::MicroF1Of5 => self.labelled(picks, &Observation::FIVE).micro.f1,
            Measure::MacroF1Of5 => self.labelled(picks, &Observation::FIVE).macro_.f1,
            Measure::AccuracyOf5 => {
                let [hypotheses, references] = self.picked(picks);
                chexbert::accuracy_5(&hypotheses, &references)
            }
            Measure::WeightedAccuracy => mean(&self.weighted),
            Measure::RadgraphSimple => level(0),
            Measure::RadgraphPartial => level(1),
            Measure::RadgraphComplete => level(2),
            Measure::Rate => mean(&self.rate),
        }
    }

    fn labelled(&self, picks: &[usize], classes: &[Observation]) -> chexbert::Report {
        let [hypotheses, references] = self.picked(picks);
        chexbert::report(&hypotheses, &references, classes)
    }

    fn picked(&self, picks: &[usize]) -> [Vec<Row>; 2] {
        self.rows.each_ref().map(|rows| picks.iter().map(|&i| rows[i]).collect())
    }
}

fn strs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYPOTHESES: [&str; 3] =
        ["Cardiomegaly. No effusion.", "Small left pleural effusion is seen today.", "Clear."];
    const REFERENCES: [&str; 3] = ["The heart is enlarged.", "Small left pleural effusion is seen.", "Pneumothorax."];

    fn assess(measures: &[Measure], hypotheses: &[&str], references: &[&str]) -> Assessment {
        Assessment::new(&Backends::lexicon(), measures, &BTreeMap::new(), hypotheses, references).unwrap()
    }

    fn value(scores: &[Score], measure: Measure) -> f64 {
        scores.iter().find(|score| score.measure == measure).unwrap().value
    }

    #[test]
    fn values_are_those_of_the_training_table() {
        let scores = assess(&Measure::ALL, &HYPOTHESES, &REFERENCES).scores(None).unwrap();
        let table = crate::evaluate(&Backends::lexicon(), &HYPOTHESES, &REFERENCES).unwrap();
        for (measure, expected) in [
            (Measure::MicroF1Of14, table.micro_f1_14),
            (Measure::MacroF1Of14, table.macro_f1_14),
            (Measure::MicroF1Of5, table.micro_f1_5),
            (Measure::MacroF1Of5, table.macro_f1_5),
            (Measure::RadgraphPartial, table.radgraph_f1),
            (Measure::Rate, table.rate),
        ] {
            assert_eq!(value(&scores, measure), expected, "{}", measure.name());
        }
    }

    #[test]
    fn the_accuracy_is_the_share_of_reports_with_all_five_labels_right() {
        // The third reference asserts a pneumothorax, which is none of the five.
        let references = ["The heart is enlarged.", "No effusion.", "Pneumothorax."];
        let scores = assess(&[Measure::AccuracyOf5], &HYPOTHESES, &references).scores(None).unwrap();
        assert_eq!(value(&scores, Measure::AccuracyOf5), 2. / 3.);
    }

    #[test]
    fn the_weighted_accuracy_counts_with_the_given_shares_or_those_of_the_references() {
        let score = |frequencies: &BTreeMap<Observation, f64>| {
            let measures = [Measure::WeightedAccuracy];
            let backends = Backends::lexicon();
            let assessment = Assessment::new(&backends, &measures, frequencies, &HYPOTHESES, &REFERENCES).unwrap();
            assessment.scores(None).unwrap()[0].value
        };
        let rows = |reports: &[&str]| -> Vec<Row> {
            Backends::lexicon().labels(reports).unwrap().iter().map(binary).collect()
        };
        let (h, r) = (rows(&HYPOTHESES), rows(&REFERENCES));
        let given: BTreeMap<_, _> = Observation::ALL.map(|class| (class, 0.2)).into();
        for frequencies in [BTreeMap::new(), given.clone()] {
            // The batch's own figure is the sum over its reports.
            let batch = chexbert::weighted_accuracy(&h, &r, &frequencies).mean / 3.;
            assert!((score(&frequencies) - batch).abs() < 1e-12);
        }
        assert_ne!(score(&given), score(&BTreeMap::new()));
    }

    #[test]
    fn a_measure_alone_is_as_among_all() {
        let all = assess(&Measure::ALL, &HYPOTHESES, &REFERENCES).scores(None).unwrap();
        for measure in Measure::ALL {
            let alone = assess(&[measure], &HYPOTHESES, &REFERENCES).scores(None).unwrap();
            assert_eq!(alone, [*all.iter().find(|score| score.measure == measure).unwrap()]);
        }
    }

    #[test]
    fn intervals_hold_their_value_and_shrink_to_it_when_all_pairs_are_alike() {
        let resampling = Resampling { resamples: 200, ..Resampling::default() };
        let some = assess(&Measure::ALL, &HYPOTHESES, &REFERENCES).scores(Some(&resampling)).unwrap();
        let interval =
            |scores: &[Score], measure| scores.iter().find(|score| score.measure == measure).unwrap().interval.unwrap();
        for score in &some {
            let Interval { low, high } = score.interval.unwrap();
            assert!(low <= score.value && score.value <= high, "{score:?}");
        }
        let Interval { low, high } = interval(&some, Measure::Rate);
        assert!(high - low > 0.1, "{low} to {high}");
        let alike =
            assess(&[Measure::Bleu2], &[HYPOTHESES[1]; 5], &[REFERENCES[1]; 5]).scores(Some(&resampling)).unwrap();
        let Interval { low, high } = interval(&alike, Measure::Bleu2);
        assert!(high - low < 1e-9, "{low} to {high}");
    }

    #[test]
    fn unequal_numbers_are_refused() {
        let refused = Assessment::new(&Backends::lexicon(), &Measure::ALL, &BTreeMap::new(), &["a", "b"], &["a"]);
        assert!(refused.err().unwrap().to_string().contains("2 hypotheses and 1 references"));
    }
}
