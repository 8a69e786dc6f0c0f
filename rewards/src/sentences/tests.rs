use proptest::prelude::*;

use super::split;
use addendum_fixtures::fixture;

#[derive(serde::Deserialize)]
struct Case {
    text: String,
    clinician: Vec<String>,
}

/// Wrapped lines stay in the slice; a reader's sentence has single spaces.
fn unwrapped(sentence: &str) -> String {
    sentence.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn parity_sentences_are_those_a_clinician_would_read() {
    let cases: Vec<Case> = serde_json::from_slice(&fixture("rewards/editor/sentence_split.json")).unwrap();
    for case in cases {
        let got: Vec<_> = split(&case.text).into_iter().map(unwrapped).collect();
        let expected: Vec<_> = case.clinician.iter().map(|s| unwrapped(s)).collect();
        assert_eq!(got, expected, "{:?}", case.text);
    }
}

#[test]
fn list_items_and_abbreviations_are_kept_whole() {
    assert_eq!(split("FINDINGS:\n- No effusion\n- Heart normal"), ["FINDINGS:", "- No effusion", "- Heart normal"]);
    assert_eq!(split("Opacity, e.g. atelectasis. No edema."), ["Opacity, e.g. atelectasis.", "No edema."]);
    assert_eq!(split("Seen at 3 p.m. The heart is large."), ["Seen at 3 p.m.", "The heart is large."]);
    assert_eq!(split("Is there effusion? No."), ["Is there effusion?", "No."]);
}

#[test]
fn dots_inside_names_times_and_degrees_end_no_sentence() {
    for whole in [
        "Discussed with Dr. J. Smith at 3 p.m. by telephone.",
        "Reported by J. R. Smith, M.D., on Jan. 5.",
        "Dr.Smith and Prof. Jones agree.",
        "Seen by Jane Doe, M.D. and Ph.D. students.",
        "Given at 10 a. m. today, approx. 2.5 cm, e.g. at the rt. Lung apex.",
        "Opacity vs. Atelectasis at St. Mary's.",
        "Opacity (? Pneumonia) at the left base.",
        "J. Smith, F.R.C.R. reviewed it.",
    ] {
        assert_eq!(split(whole), [whole]);
    }
}

#[test]
fn an_abbreviation_before_a_new_sentence_ends_its_own() {
    for (text, first) in [
        ("Called at 3 p.m. No pneumothorax.", "Called at 3 p.m."),
        ("Read by Jane Doe, M.D. The heart is large.", "Read by Jane Doe, M.D."),
        ("History of CA. Heart normal.", "History of CA."),
        ("Lines, tubes, etc. Heart normal.", "Lines, tubes, etc."),
        ("Known hepatitis B. Heart normal.", "Known hepatitis B."),
        ("Film of Nov. No change.", "Film of Nov."),
        ("No effusion.A nodule.", "No effusion."),
    ] {
        assert_eq!(split(text)[0], first, "{text:?}");
        assert_eq!(split(text).len(), 2, "{text:?}");
    }
}

#[test]
fn a_report_on_one_line_has_the_sentences_of_its_lines() {
    for (text, lines) in [
        (
            "FINDINGS: Edema IMPRESSION: 1. Edema 2. No effusion",
            vec!["FINDINGS: Edema", "IMPRESSION: 1. Edema", "2. No effusion"],
        ),
        ("(1) edema (2) no effusion", vec!["(1) edema", "(2) no effusion"]),
        ("a) edema b) no effusion", vec!["a) edema", "b) no effusion"]),
        ("Edema • No effusion", vec!["Edema", "• No effusion"]),
        ("- Edema - No effusion", vec!["- Edema", "- No effusion"]),
        ("REASON FOR EXAM: Cough FINDINGS: Edema.", vec!["REASON FOR EXAM: Cough", "FINDINGS: Edema."]),
    ] {
        assert_eq!(split(text), lines);
    }
    for whole in ["Tube 4 - 5 cm above the carina", "Seen on image 2 (3) and 4)", "Between 1) and 3) of the list"] {
        assert_eq!(split(whole), [whole]);
    }
}

#[test]
fn long_reports_are_cut_in_linear_time() {
    let started = std::time::Instant::now();
    for piece in ["\n", ".", ". ", "1. ", "- ", "A ", "a.", "word ", "word\n", "\n1. x", "A: ", "?", "(", "1) "] {
        assert!(split(&piece.repeat(100_000)).len() <= 100_001);
    }
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_piece_is_trimmed_non_empty_and_in_order(text in any::<String>()) {
        let mut at = 0;
        for sentence in split(&text) {
            prop_assert!(!sentence.is_empty() && sentence == sentence.trim());
            let found = text[at..].find(sentence);
            prop_assert!(found.is_some());
            at += found.unwrap() + sentence.len();
        }
    }

    #[test]
    fn nothing_but_white_space_is_lost(text in "[A-Za-z0-9 .!?\n\r,:)(\"。é-]{0,80}") {
        let kept: String = split(&text).concat().chars().filter(|c| !c.is_whitespace()).collect();
        let all: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        prop_assert_eq!(kept, all);
    }
}
