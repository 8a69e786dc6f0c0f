//! The columns that an assessment can have.

use crate::{Error, Result};

/// One column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Measure {
    /// BLEU, counts summed over the reports.
    Bleu1,
    /// BLEU up to pairs of words.
    Bleu2,
    /// BLEU up to three words.
    Bleu3,
    /// BLEU up to four words.
    Bleu4,
    /// The longest common subsequence of words as an F measure; mean over reports.
    RougeL,
    /// Words matched exactly or by stem, and their order; mean over reports.
    Meteor,
    /// From 0 to 10; the others are shares.
    Cider,
    /// F1 over the labels of all reports together.
    MicroF1Of14,
    /// The mean of the observations' F1.
    MacroF1Of14,
    /// The same as [`Measure::MicroF1Of14`] over the five labels of [`Observation::FIVE`](crate::Observation::FIVE).
    MicroF1Of5,
    /// The same as [`Measure::MacroF1Of14`] over the five labels of [`Observation::FIVE`](crate::Observation::FIVE).
    MacroF1Of5,
    /// The share of reports whose five labels are all right: CheXbert's accuracy.
    AccuracyOf5,
    /// The mean over reports of the [inverse-frequency weighted accuracy](crate::metrics::chexbert::WeightedAccuracy),
    /// itself a mean over the 14 observations: from 0 to 0.5.
    WeightedAccuracy,
    /// RadGraph F1 where words and label have to agree; mean over reports.
    RadgraphSimple,
    /// The level that the reward uses.
    RadgraphPartial,
    /// RadGraph F1 where words, label and each relation with its object have to agree; mean over reports.
    RadgraphComplete,
    /// RaTEScore; mean over reports.
    Rate,
}

/// A name for several measures.
type Group = (&'static str, &'static [Measure]);

const GROUPS: [Group; 5] = [
    ("all", &Measure::ALL),
    ("text", &Measure::TEXT),
    ("bleu", &[Measure::Bleu1, Measure::Bleu2, Measure::Bleu3, Measure::Bleu4]),
    ("chexbert", &Measure::CHEXBERT),
    ("radgraph", &Measure::RADGRAPH),
];

impl Measure {
    /// In the order of a table's columns.
    pub const ALL: [Self; 17] = [
        Self::Bleu1,
        Self::Bleu2,
        Self::Bleu3,
        Self::Bleu4,
        Self::RougeL,
        Self::Meteor,
        Self::Cider,
        Self::MicroF1Of14,
        Self::MacroF1Of14,
        Self::MicroF1Of5,
        Self::MacroF1Of5,
        Self::AccuracyOf5,
        Self::WeightedAccuracy,
        Self::RadgraphSimple,
        Self::RadgraphPartial,
        Self::RadgraphComplete,
        Self::Rate,
    ];

    /// Those that compare words.
    pub const TEXT: [Self; 7] =
        [Self::Bleu1, Self::Bleu2, Self::Bleu3, Self::Bleu4, Self::RougeL, Self::Meteor, Self::Cider];

    /// Those that compare labels.
    pub const CHEXBERT: [Self; 6] = [
        Self::MicroF1Of14,
        Self::MacroF1Of14,
        Self::MicroF1Of5,
        Self::MacroF1Of5,
        Self::AccuracyOf5,
        Self::WeightedAccuracy,
    ];

    /// Those that compare graphs.
    pub const RADGRAPH: [Self; 3] = [Self::RadgraphSimple, Self::RadgraphPartial, Self::RadgraphComplete];

    /// As in a command line, in tables and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bleu1 => "bleu_1",
            Self::Bleu2 => "bleu_2",
            Self::Bleu3 => "bleu_3",
            Self::Bleu4 => "bleu_4",
            Self::RougeL => "rouge_l",
            Self::Meteor => "meteor",
            Self::Cider => "cider",
            Self::MicroF1Of14 => "micro_f1_14",
            Self::MacroF1Of14 => "macro_f1_14",
            Self::MicroF1Of5 => "micro_f1_5",
            Self::MacroF1Of5 => "macro_f1_5",
            Self::AccuracyOf5 => "accuracy_5",
            Self::WeightedAccuracy => "weighted_accuracy",
            Self::RadgraphSimple => "radgraph_simple",
            Self::RadgraphPartial => "radgraph_partial",
            Self::RadgraphComplete => "radgraph_complete",
            Self::Rate => "rate",
        }
    }

    /// The measures that names of measures and groups (`all`, `text`, `bleu`, `chexbert`, `radgraph`) stand for, each once,
    /// in the order named.
    ///
    /// # Errors
    /// The first name that is neither.
    pub fn named<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Vec<Self>> {
        let mut measures = Vec::new();
        for name in names {
            let group = GROUPS.iter().find(|(group, _)| *group == name).map(|(_, measures)| measures.to_vec());
            let one = || Self::ALL.into_iter().find(|measure| measure.name() == name).map(|measure| vec![measure]);
            let found =
                group.or_else(one).ok_or_else(|| Error::UnknownMeasure { name: name.into(), known: known() })?;
            for measure in found {
                if !measures.contains(&measure) {
                    measures.push(measure);
                }
            }
        }
        Ok(measures)
    }
}

fn known() -> String {
    let names = GROUPS.iter().map(|(name, _)| *name).chain(Measure::ALL.map(Measure::name));
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_and_names_make_a_list_without_repeats() {
        let measures = Measure::named(["rate", "bleu_2", "bleu", "rate"]).unwrap();
        let expected = [Measure::Rate, Measure::Bleu2, Measure::Bleu1, Measure::Bleu3, Measure::Bleu4];
        assert_eq!(measures, expected);
        assert_eq!(Measure::named(["all"]).unwrap(), Measure::ALL);
    }

    #[test]
    fn an_unknown_name_is_told_with_the_known_ones() {
        let message = Measure::named(["rouge"]).unwrap_err().to_string();
        assert!(message.starts_with("metric `rouge` is unknown; known are `all`, "), "{message}");
        assert!(message.contains("`rouge_l`"), "{message}");
    }
}
