//! The editor with the lexicon that ships: the rule on sentences a radiologist would write.

use std::sync::Arc;

use addendum_editor::{EditConfig, Edited, Editor, Rule};
use addendum_rewards::Lexicon;
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

fn editor() -> Editor {
    Editor::new(EditConfig::default(), Arc::new(Lexicon::new())).unwrap()
}

fn edit(report: &str, reference: &str) -> Edited {
    editor().edit(report, reference, &mut ChaCha8Rng::seed_from_u64(0)).unwrap()
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_unicode_is_edited_without_panic(report: String, reference: String, seed: u64) {
        let words = format!("{report} effusion. {reference}");
        let edited = editor().edit(&words, &reference, &mut ChaCha8Rng::seed_from_u64(seed)).unwrap();
        prop_assert!(edited.log.len() <= 1);
    }
}
