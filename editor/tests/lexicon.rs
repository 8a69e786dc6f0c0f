//! The editor with the lexicon that ships: the rule on sentences a radiologist would write.

use std::sync::LazyLock;

use addendum_editor::sentences::split;
use addendum_editor::{EditConfig, Edited, Editor, Extractor, Granularity, Operation, Rule};
use addendum_rewards::Backends;
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

static BACKENDS: LazyLock<Backends> = LazyLock::new(Backends::lexicon);

fn editor(config: EditConfig) -> Editor {
    Editor::from_backends(config, &BACKENDS).unwrap()
}

fn edit_with(config: EditConfig, report: &str, reference: &str) -> Edited {
    editor(config).edit(report, reference, &mut ChaCha8Rng::seed_from_u64(0)).unwrap()
}

fn edit(report: &str, reference: &str) -> Edited {
    edit_with(EditConfig::default(), report, reference)
}

#[test]
fn a_denied_finding_is_replaced_by_its_assertion() {
    let edited = edit(
        "The heart is enlarged. No pleural effusion. No pneumothorax.",
        "There is cardiomegaly. Small left pleural effusion. No pneumothorax.",
    );
    assert_eq!(edited.text, "The heart is enlarged. Small left pleural effusion. No pneumothorax.", "{:?}", edited.log);
    assert_eq!(edited.log[0].rule, Rule::Conflict);
}

#[test]
fn a_missing_finding_is_appended() {
    let edited = edit("No pneumothorax.", "No pneumothorax. There is a rib fracture.");
    assert_eq!(edited.text, "No pneumothorax. There is a rib fracture.", "{:?}", edited.log);
    assert_eq!(edited.log[0].rule, Rule::Missing);
}

#[test]
fn an_invented_finding_is_deleted() {
    let edited = edit("There is a rib fracture. No pneumothorax.", "No pneumothorax.");
    assert_eq!(edited.text, "No pneumothorax.", "{:?}", edited.log);
    assert_eq!(edited.log[0].rule, Rule::Spurious);
}

#[test]
fn another_wording_of_the_same_finding_is_left_alone() {
    let edited = edit("The heart is enlarged.", "Cardiomegaly.");
    assert_eq!(edited.log, [], "{}", edited.text);
}

#[test]
fn radgraph_entities_match_by_their_words_and_presence() {
    let config = EditConfig { extractor: Extractor::Radgraph, ..EditConfig::default() };
    let conflict = edit_with(config.clone(), "No effusion. Normal heart.", "There is an effusion. Normal heart.");
    assert_eq!(conflict.text, "There is an effusion. Normal heart.", "{:?}", conflict.log);
    assert_eq!(conflict.log[0].rule, Rule::Conflict);
    // The same finding in other words is another entity here, so the rule takes it away.
    let edited = edit_with(config, "The heart is enlarged. No effusion.", "Cardiomegaly. No effusion.");
    assert_eq!(edited.log[0].rule, Rule::Spurious, "{:?}", edited.log);
}

#[test]
fn with_report_granularity_the_whole_reference_takes_the_place_of_a_wrong_report_only() {
    let config = || EditConfig { granularity: Granularity::Report, operations_per_report: 3, ..EditConfig::default() };
    let reference = "Cardiomegaly. Small left pleural effusion.\n";
    let edited = edit_with(config(), "The heart is enlarged. No pleural effusion.", reference);
    assert_eq!(edited.text, reference.trim());
    let [only] = edited.log.as_slice() else { panic!("{:?}", edited.log) };
    assert_eq!((only.operation, only.rule), (Operation::Replace, Rule::Conflict));
    assert_eq!(only.target.as_deref(), Some(reference.trim()));
    let right = "Small left pleural effusion. The heart is enlarged.";
    assert_eq!(edit_with(config(), right, reference), Edited { text: right.into(), log: Vec::new() });
    let kept = edit_with(config(), "There is a rib fracture.", " ");
    assert_eq!(kept, Edited { text: "There is a rib fracture.".into(), log: Vec::new() });
}

#[test]
fn the_published_code_never_resolves_a_conflict_as_such() {
    let config = EditConfig { reference_code: true, ..EditConfig::default() };
    let edited =
        edit_with(config, "No pneumothorax.  Heart is big.", "There is a pneumothorax. The heart is enlarged.");
    assert_eq!(edited.log[0].rule, Rule::Similar, "{:?}", edited.log);
    assert_eq!(edited.text, "There is a pneumothorax. Heart is big.");
}

/// Every kind of editor, and its granularity.
static EDITORS: LazyLock<Vec<(Granularity, Editor)>> = LazyLock::new(|| {
    let mut editors = Vec::new();
    for extractor in [Extractor::Rate, Extractor::Radgraph, Extractor::Lexicon] {
        for granularity in [Granularity::Sentence, Granularity::Report] {
            let config = EditConfig { extractor, granularity, ..EditConfig::default() };
            editors.push((granularity, editor(config)));
        }
    }
    editors
});

fn prose() -> impl Strategy<Value = String> {
    let sentence = prop::sample::select(vec![
        "No effusion.",
        "Small left effusion.",
        "The heart is enlarged.",
        "Normal heart size.",
        "Possible pneumonia.",
        "Dr. Roe was told at 3 p.m.",
        "No pneumothorax or rib fracture.",
        "The tip is 2.5 cm above the carina",
        "1. Edema.",
    ]);
    let gap = prop::sample::select(vec![" ", "  ", "\n", "\n\n", ""]);
    prop::collection::vec((sentence, gap), 0..6)
        .prop_map(|parts| parts.into_iter().map(|(sentence, gap)| sentence.to_owned() + gap).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn every_kind_of_editor_leaves_a_report_equal_to_its_reference(reference in prose(), any: String, seed: u64) {
        for text in [reference, any] {
            for (_, editor) in EDITORS.iter() {
                let edited = editor.edit(&text, &text, &mut ChaCha8Rng::seed_from_u64(seed)).unwrap();
                prop_assert_eq!(edited, Edited { text: text.clone(), log: Vec::new() });
            }
        }
    }

    #[test]
    fn one_sentence_operation_changes_the_number_of_sentences_by_one_at_most(
        report in prose(), reference in prose(), seed: u64,
    ) {
        for (_, editor) in EDITORS.iter().filter(|(granularity, _)| *granularity == Granularity::Sentence) {
            let Edited { text, log } = editor.edit(&report, &reference, &mut ChaCha8Rng::seed_from_u64(seed)).unwrap();
            let Some(only) = log.first() else {
                prop_assert_eq!(text, report.clone());
                continue;
            };
            let change = match only.operation { Operation::Replace => 0, Operation::Delete => -1, Operation::Append => 1 };
            let count = |text: &str| split(text).len() as i64;
            prop_assert_eq!(count(&text) - count(&report), change, "{:?} -> {:?}: {}", report, text, only);
        }
    }

    #[test]
    fn the_published_code_edits_any_unicode_without_panic(report: String, reference: String, seed: u64) {
        let config = EditConfig { reference_code: true, operations_per_report: 3, ..EditConfig::default() };
        let reference = format!("{reference}. Small effusion.\nNo effusion.");
        editor(config).edit(&(report + " effusion."), &reference, &mut ChaCha8Rng::seed_from_u64(seed)).unwrap();
    }

    #[test]
    fn any_unicode_is_edited_without_panic(report: String, reference: String, seed: u64) {
        let words = format!("{report} effusion. {reference}");
        for (_, editor) in EDITORS.iter() {
            let edited = editor.edit(&words, &reference, &mut ChaCha8Rng::seed_from_u64(seed)).unwrap();
            prop_assert!(edited.log.len() <= 1);
        }
    }
}
