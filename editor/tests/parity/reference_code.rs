//! Parity of the compatibility switch with what the paper's published code does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use addendum_editor::reference_code::{
    Analysis, analyse, attribute, attributed, clean_eos_tokens, clean_rollout, edit, sentence_of, sentences,
};
use addendum_editor::{Edit, EditConfig, Edited, Editor, Operation, Rule};
use serde::Deserialize;

use crate::cases::{Case, cases, fixture, stream};
use crate::{Known, applied, joined};

/// Text and log under enough streams to meet every random choice.
fn outcomes(case: &Case) -> Vec<(String, Vec<Edit>)> {
    let config = EditConfig { tau: case.tau, reference_code: true, ..EditConfig::default() };
    let (generated, reference) = (case.generated(), case.reference());
    let outcome = |seed| {
        let log = edit(&generated, &reference, &config, &mut stream(seed));
        (applied(&generated, &log).join(" "), log)
    };
    (0..100).map(outcome).collect()
}

#[test]
fn parity_of_the_reference_code_in_every_case() {
    for case in cases() {
        let reached: BTreeSet<String> = outcomes(&case).into_iter().map(|(text, _)| text).collect();
        let expected: BTreeSet<String> = case.reference_code.outputs_over_12_seeds.iter().cloned().collect();
        // Twelve seeds may miss one of many choices.
        let complete = reached.len() <= 3;
        assert!(expected.is_subset(&reached), "{}: {reached:#?}, expected {expected:#?}", case.name);
        assert!(!complete || reached == expected, "{}: {reached:#?}, expected {expected:#?}", case.name);
    }
}

#[test]
fn parity_of_the_reference_code_in_its_operations() {
    for case in cases() {
        let names: BTreeSet<&str> = outcomes(&case)
            .iter()
            .flat_map(|(_, log)| log)
            .map(|edit| match (edit.operation, edit.rule) {
                (Operation::Replace, _) => "replace_fp_complex",
                (Operation::Delete, _) => "delete_fp_simple",
                (Operation::Append, Rule::Empty) => "add_fn_empty_fallback",
                (Operation::Append, _) => "add_fn",
            })
            .collect();
        let done = case.reference_code.operations.iter().map(String::as_str).filter(|name| !name.ends_with("_failed"));
        assert_eq!(names, done.collect(), "{}", case.name);
    }
}

#[test]
fn parity_of_the_reference_code_in_what_it_counts() {
    for case in cases() {
        let (generated, reference) = (case.generated(), case.reference());
        let Analysis { contradictions, false_positives, false_negatives } =
            analyse(&attributed(&generated), &attributed(&reference), case.tau);
        let got = [contradictions.len(), false_positives.len(), false_negatives.len()];
        assert_eq!(got, case.reference_code.contradictions_fp_fn, "{}", case.name);
    }
}

#[derive(Deserialize)]
struct Split {
    text: String,
    reference_regex: Vec<String>,
}

#[test]
fn parity_of_the_reference_code_in_its_sentences() {
    let cases: Vec<Split> = fixture("sentence_split.json");
    assert!(!cases.is_empty());
    for case in cases {
        assert_eq!(sentences(&case.text), case.reference_regex, "{:?}", case.text);
    }
}

#[derive(Deserialize)]
struct EndTokens {
    eos_token: String,
    cases: Vec<Cleaned>,
}

#[derive(Deserialize)]
struct Cleaned {
    text: String,
    clean_eos_tokens: String,
    rollout_clean_eos_from_text: String,
}

#[test]
fn parity_of_the_reference_code_in_removing_end_tokens() {
    let EndTokens { eos_token, cases } = fixture("eos.json");
    assert!(!cases.is_empty());
    for Cleaned { text, clean_eos_tokens: expected, rollout_clean_eos_from_text } in cases {
        assert_eq!(clean_eos_tokens(&text), expected, "{text:?}");
        assert_eq!(clean_rollout(&text, &eos_token), rollout_clean_eos_from_text, "{text:?}");
    }
}

#[test]
fn only_the_policys_own_end_token_leaves_no_blank() {
    let end = "<|im_end|>";
    for (text, editor, rollout) in [
        ("no<|im_end|>effusion", "no effusion", "noeffusion"),
        ("a<|im_<|im_end|>end|>b", "a<|im_ end|>b", "a b"),
        ("a<|im_<|im_<|im_end|>end|>end|>b", "a<|im_<|im_ end|>end|>b", "a<|im_ end|>b"),
        ("a</<|im_end|>s>b", "a</ s>b", "a b"),
        ("a<|im_</s>end|>b", "a<|im_ end|>b", "a<|im_ end|>b"),
        ("a</s</s>>b", "a</s >b", "a</s >b"),
        ("[<|im_end|>EOS]", "[ EOS]", ""),
        ("a</s></s>b", "a b", "a b"),
        ("a\u{1c}\u{1f}b\u{a0}</s>\u{2003}c\u{200b}", "a b c\u{200b}", "a b c\u{200b}"),
    ] {
        assert_eq!(clean_eos_tokens(text), editor, "{text:?}");
        assert_eq!(clean_rollout(text, end), rollout, "{text:?}");
    }
    assert_eq!(clean_rollout("a<|endoftext|>b", "<|endoftext|>"), "ab");
    assert_eq!(clean_rollout("a<|endoftext|>b", ""), "a b");
}

#[test]
fn sentences_end_at_the_white_space_of_the_codes_language() {
    assert_eq!(sentences("No.\u{1c}Yes.\u{1f} "), ["No.", "Yes."]);
}

#[derive(Deserialize)]
struct Attribution {
    text: String,
    entity: String,
    sentence: Option<String>,
}

#[test]
fn parity_of_the_reference_code_in_attributing_entities() {
    let cases: Vec<Attribution> = fixture("sentence_of_entity.json");
    assert!(!cases.is_empty());
    for Attribution { text, entity, sentence } in cases {
        let sentences = sentences(&text);
        let found = sentence_of(&sentences, &entity).map(|at| sentences[at]);
        assert_eq!(found, sentence.as_deref(), "{text:?} {entity:?}");
    }
}

#[test]
fn parity_the_editor_attributes_entities_as_the_reference_code_does() {
    let case = cases().into_iter().find(|case| case.name == "a_only_one_of_two_contradicting_sentences").unwrap();
    let (mut generated, mut reference) = (case.generated(), case.reference());
    let known: BTreeMap<_, _> =
        generated.iter().chain(&reference).map(|s| (s.text.clone(), s.entities.clone())).collect();
    let config = EditConfig { tau: case.tau, reference_code: true, ..EditConfig::default() };
    let editor = Editor::new(config.clone(), Arc::new(Known(known))).unwrap();
    let got = editor.edit(&joined(&generated), &joined(&reference), &mut stream(0)).unwrap();
    attribute(&mut generated);
    attribute(&mut reference);
    assert_eq!(generated[0].entities.len(), 2);
    assert_eq!(got.log, edit(&generated, &reference, &config, &mut stream(0)));
    assert_eq!(got.text, applied(&generated, &got.log).join(" "));
}

#[test]
fn a_blank_report_stays_as_it_is() {
    let config = EditConfig { reference_code: true, ..EditConfig::default() };
    let editor = Editor::new(config, Arc::new(Known(BTreeMap::new()))).unwrap();
    let edited = editor.edit(" \n ", "", &mut stream(0)).unwrap();
    assert_eq!(edited, Edited { text: " \n ".into(), log: Vec::new() });
}
