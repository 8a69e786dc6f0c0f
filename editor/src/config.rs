//! The parameters of the edit rule, and the readings of what the paper's text leaves open.

use addendum_rewards::{Entity, cosine};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How alike two entities are, at most 1.
pub(crate) type Similarity = fn(&Entity, &Entity) -> f64;

/// Parameters of the edit rule (EditGRPO, section 2).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EditConfig {
    /// Two entities are similar when the cosine of their embeddings is greater than this; in [0, 1].
    pub tau: f64,
    /// The rule replaces a sentence with spurious entities (b) when their mean similarity to a reference sentence is at
    /// least this; in [0, 1], `tau` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replace_threshold: Option<f64>,
    /// The most edits of one report; at least 1, which the paper uses.
    pub operations_per_report: usize,
    /// Allows long reports more edits: one for so many sentences, rounded, where that is more than
    /// `operations_per_report`. 0 makes no difference between reports.
    pub sentences_per_edit: usize,
    /// What an edit exchanges: a `sentence`, or the whole `report`.
    pub granularity: Granularity,
    /// Whose entities the rule sees, and with it how they match: `rate` by cosine, `radgraph` by their words, `lexicon` by
    /// cosine whatever the reward's back ends are.
    pub extractor: Extractor,
    /// Follow the rule of the paper's published code where it differs from the paper's text; `reading` then says nothing.
    ///
    /// See [`reference_code`](crate::reference_code).
    pub reference_code: bool,
    /// How the open points of the paper's text are read.
    pub reading: Reading,
}

/// What an edit exchanges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Granularity {
    /// One sentence.
    #[default]
    Sentence,
    /// The whole report: where the rule would edit a sentence, the reference takes the report's place.
    Report,
}

/// Where entities come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Extractor {
    /// The back ends' RaTE entities (the lexicon's, where they have no others), matched by the cosine of their embeddings.
    #[default]
    Rate,
    /// The back ends' RadGraph entities, matched when their words are the same: the paper's ablation.
    Radgraph,
    /// The lexicon's entities whatever the back ends are, matched by cosine.
    Lexicon,
}

/// How the open points of the paper's text are read. All `false` is [`Reading::CANONICAL`]; the default adds two guards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Reading {
    /// A conflict (a) needs the same words with opposite labels; otherwise entities that are similar.
    pub conflict_needs_same_text: bool,
    /// A conflict (a) ignores an entity that matches some reference sentence with its own label. Guard, on by default.
    pub a_only_if_spurious: bool,
    /// A sentence that stands word for word in the reference is never replaced or deleted, nor appended once more.
    /// Guard, on by default: with it a report equal to its reference stays as it is.
    pub verbatim_sentences_stay: bool,
    /// Replacement (b) looks for similarity in the generated entities near a reference sentence y_j too (all of E\[y_j\]);
    /// otherwise in the entities of y_j.
    pub b_over_all_of_e: bool,
    /// Replacement (b) also serves spurious entities that all lie in one E\[y_j\].
    pub b_without_subset_test: bool,
    /// Appending (d) does not count a similar entity with another label as missing.
    pub missing_ignores_label: bool,
    /// An entity without a presence label matches every label; otherwise only its own kind.
    pub neutral_matches_anything: bool,
    /// The sentence for a report that an edit left empty is drawn from what was missing in the report as generated; otherwise from all reference sentences with entities.
    pub fallback_from_original_false_negatives: bool,
}

impl Reading {
    /// The text as printed, without guards.
    pub const CANONICAL: Self = Self {
        conflict_needs_same_text: false,
        a_only_if_spurious: false,
        verbatim_sentences_stay: false,
        b_over_all_of_e: false,
        b_without_subset_test: false,
        missing_ignores_label: false,
        neutral_matches_anything: false,
        fallback_from_original_false_negatives: false,
    };
}

impl Default for Reading {
    fn default() -> Self {
        Self { a_only_if_spurious: true, verbatim_sentences_stay: true, ..Self::CANONICAL }
    }
}

impl Default for EditConfig {
    fn default() -> Self {
        Self {
            tau: 0.6,
            replace_threshold: None,
            operations_per_report: 1,
            sentences_per_edit: 0,
            granularity: Granularity::default(),
            extractor: Extractor::default(),
            reference_code: false,
            reading: Reading::default(),
        }
    }
}

impl EditConfig {
    /// The threshold of rule (b).
    pub fn replace_threshold(&self) -> f64 {
        self.replace_threshold.unwrap_or(self.tau)
    }

    /// The most edits of a report of so many sentences: max(`operations_per_report`, round(n / `sentences_per_edit`)).
    pub fn operations(&self, sentences: usize) -> usize {
        let each = self.sentences_per_edit;
        // Half a sentence is rounded up.
        let for_length = (sentences + each / 2).checked_div(each).unwrap_or(0);
        self.operations_per_report.max(for_length)
    }

    /// What similarity means with this extractor.
    pub(crate) fn similarity(&self) -> Similarity {
        match self.extractor {
            Extractor::Rate | Extractor::Lexicon => |a, b| cosine(&a.embedding, &b.embedding),
            Extractor::Radgraph => |a, b| f64::from(u8::from(same_words(&a.text, &b.text))),
        }
    }

    /// Fails with [`Error::Config`] when a value is out of range.
    pub fn validate(&self) -> Result<()> {
        similarity("tau", self.tau)?;
        similarity("replace_threshold", self.replace_threshold())?;
        if self.operations_per_report == 0 {
            return Err(Error::Config { field: "operations_per_report", value: "0".into(), expected: "at least 1" });
        }
        if self.reference_code && self.granularity == Granularity::Report {
            return Err(Error::Config {
                field: "granularity",
                value: "report".into(),
                expected: "sentence, as `reference_code` is on",
            });
        }
        if self.reference_code && self.extractor == Extractor::Radgraph {
            return Err(Error::Config {
                field: "extractor",
                value: "radgraph".into(),
                expected: "rate or lexicon, as `reference_code` is on",
            });
        }
        Ok(())
    }
}

/// Whatever the case and the white space between them.
fn same_words(a: &str, b: &str) -> bool {
    a.to_lowercase().split_whitespace().eq(b.to_lowercase().split_whitespace())
}

fn similarity(field: &'static str, value: f64) -> Result<()> {
    if (0. ..=1.).contains(&value) {
        return Ok(());
    }
    Err(Error::Config { field, value: value.to_string(), expected: "a number from 0 to 1" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(config: EditConfig) -> String {
        config.validate().unwrap_err().to_string()
    }

    #[test]
    fn values_out_of_range_are_refused_by_name() {
        let default = EditConfig::default;
        assert!(default().validate().is_ok());
        assert_eq!(
            refused(EditConfig { tau: 1.5, ..default() }),
            "edit config: tau is 1.5, expected a number from 0 to 1"
        );
        assert!(refused(EditConfig { tau: f64::NAN, ..default() }).contains("tau is NaN"));
        assert!(
            refused(EditConfig { replace_threshold: Some(-0.1), ..default() }).contains("replace_threshold is -0.1")
        );
        assert!(refused(EditConfig { operations_per_report: 0, ..default() }).contains("operations_per_report is 0"));
        let both = EditConfig { reference_code: true, granularity: Granularity::Report, ..default() };
        assert!(refused(both).contains("granularity is report, expected sentence"));
        let both = EditConfig { reference_code: true, extractor: Extractor::Radgraph, ..default() };
        assert!(refused(both).contains("extractor is radgraph, expected rate or lexicon"));
    }

    #[test]
    fn long_reports_are_edited_more_often_where_that_is_asked_for() {
        let operations = |operations_per_report, sentences_per_edit, sentences| {
            EditConfig { operations_per_report, sentences_per_edit, ..EditConfig::default() }.operations(sentences)
        };
        assert_eq!([0, 1, 5, 100].map(|n| operations(1, 0, n)), [1; 4]);
        assert_eq!([0, 1, 4, 5, 6, 9, 10, 12].map(|n| operations(1, 4, n)), [1, 1, 1, 1, 2, 2, 3, 3]);
        assert_eq!([0, 1, 4, 5, 7, 8].map(|n| operations(1, 3, n)), [1, 1, 1, 2, 2, 3]);
        assert_eq!([4, 12].map(|n| operations(2, 4, n)), [2, 3]);
    }

    #[test]
    fn absent_fields_take_their_defaults_and_unknown_ones_are_refused() {
        let config: EditConfig = serde_json::from_str(r#"{"tau": 0.5, "reading": {"b_over_all_of_e": true}}"#).unwrap();
        assert_eq!(config.replace_threshold(), 0.5);
        assert_eq!(config.reading, Reading { b_over_all_of_e: true, ..Reading::default() });
        assert!(serde_json::from_str::<EditConfig>(r#"{"threshold": 0.5}"#).is_err());
        let named: EditConfig = serde_json::from_str(r#"{"granularity": "report", "extractor": "lexicon"}"#).unwrap();
        assert_eq!((named.granularity, named.extractor), (Granularity::Report, Extractor::Lexicon));
    }

    #[test]
    fn a_config_survives_json() {
        let config = EditConfig {
            replace_threshold: Some(0.3),
            operations_per_report: 2,
            granularity: Granularity::Report,
            extractor: Extractor::Radgraph,
            ..EditConfig::default()
        };
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<EditConfig>(&json).unwrap(), config);
    }
}
