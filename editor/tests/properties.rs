//! What must hold for any report, reference and random stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use addendum_editor::sentences::split;
use addendum_editor::{EditConfig, Edited, Editor, Error, Operation};
use addendum_rewards::{Entity, EntityExtractor, EntityType};
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// Finds a handful of words; a sentence that starts with "no" denies them.
#[derive(Default)]
struct Toy {
    calls: AtomicUsize,
}

const WORDS: [(&str, [f32; 4]); 7] = [
    ("effusion", [1., 0., 0., 0.]),
    ("fluid", [0.8, 0.6, 0., 0.]),
    ("edema", [0., 1., 0., 0.]),
    ("fracture", [0., 0., 1., 0.]),
    ("mass", [0., 0.4, 0., 1.]),
    ("artifact", [0., 0., 0., 0.]),
    ("heart", [0., 0., -1., 1.]),
];

impl EntityExtractor for Toy {
    fn extract(&self, sentences: &[&str]) -> addendum_rewards::Result<Vec<Vec<Entity>>> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        Ok(sentences.iter().map(|sentence| entities(&sentence.to_lowercase())).collect())
    }
}

fn entities(sentence: &str) -> Vec<Entity> {
    let finding = if sentence.starts_with("no") { EntityType::NonDisease } else { EntityType::Disease };
    let kind = |word| if word == "heart" { EntityType::Anatomy } else { finding };
    let found = WORDS.iter().filter(|(word, _)| sentence.contains(word));
    found.map(|&(word, vector)| Entity { text: word.into(), kind: kind(word), embedding: vector.into() }).collect()
}

fn stream(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

fn edit(report: &str, reference: &str, seed: u64) -> Edited {
    let editor = Editor::new(EditConfig::default(), Arc::new(Toy::default())).unwrap();
    editor.edit(report, reference, &mut stream(seed)).unwrap()
}

fn sentence() -> impl Strategy<Value = String> {
    let opening = prop::sample::select(vec!["No ", "There is ", "Small ", "no ", "1. ", "- ", "2.5 cm ", "Approx. "]);
    let middle = prop::sample::select(vec!["", "left ", "basal\n", "Dr. Roe's "]);
    let noun = prop::sample::select(WORDS.iter().map(|(word, _)| *word).chain(["lung"]).collect::<Vec<_>>());
    let end = prop::sample::select(vec![".", ".", ".", ".", "", "!", ".)"]);
    (opening, middle, noun, end).prop_map(|(opening, middle, noun, end)| format!("{opening}{middle}{noun}{end}"))
}

fn report() -> impl Strategy<Value = String> {
    let gap = prop::sample::select(vec![" ", " ", " ", "  ", "\n", "\n\n", "", "\u{a0}"]);
    prop::collection::vec((sentence(), gap), 0..6)
        .prop_map(|parts| parts.into_iter().map(|(sentence, gap)| sentence + gap).collect())
}

/// A full stop may have been put between two sentences that would otherwise be welded.
fn same(a: &str, b: &str) -> bool {
    a == b || a.strip_prefix(b) == Some(".") || b.strip_prefix(a) == Some(".")
}

/// Sentences of either list that are left when what they share at the start and at the end is taken away.
fn difference(before: &[&str], after: &[&str]) -> (usize, usize) {
    let prefix = before.iter().zip(after).take_while(|(a, b)| same(a, b)).count();
    let (before, after) = (&before[prefix..], &after[prefix..]);
    let suffix = before.iter().rev().zip(after.iter().rev()).take_while(|(a, b)| same(a, b)).count();
    (before.len() - suffix, after.len() - suffix)
}

/// Whether a sentence holds the mark of a list item, which ends it where a list has begun, and nowhere else.
fn depends_on_its_place(sentence: &str) -> bool {
    sentence.split_whitespace().skip(1).any(|word| word == "-")
}

/// Whether a text is these sentences in this order, with nothing between them but white space and full stops.
fn consists_of(text: &str, sentences: &[&str]) -> bool {
    let mut rest = text;
    for &sentence in sentences {
        let Some((gap, after)) = rest.split_once(sentence) else { return false };
        if gap.contains(|c: char| !c.is_whitespace() && c != '.') {
            return false;
        }
        rest = after;
    }
    rest.trim().is_empty()
}

/// Law 4.
fn differs_by_one_sentence_operation(report: &str, reference: &str, seed: u64) -> Result<(), TestCaseError> {
    let Edited { text, log } = edit(report, reference, seed);
    let (before, after) = (split(report), split(&text));
    let Some(only) = log.first() else {
        prop_assert_eq!(text, report);
        return Ok(());
    };
    prop_assert_eq!(log.len(), 1);
    prop_assert_eq!(only.source.as_deref(), before.get(only.position).copied());
    if let Some(target) = &only.target {
        prop_assert!(split(reference).contains(&target.as_str()), "{} is not verbatim", target);
    }
    let target = only.target.as_deref();
    let mut expected = before.clone();
    let (gone, come) = match only.operation {
        Operation::Replace => (1, 1),
        Operation::Delete => (1, 0),
        Operation::Append => (0, 1),
    };
    expected.splice(only.position..only.position + gone, target);
    prop_assert!(consists_of(&text, &expected), "{:?} -> {:?}: {}", report, text, only);
    // A reader of the text cuts it the same way.
    if !expected.iter().chain(&after).any(|sentence| depends_on_its_place(sentence)) {
        prop_assert_eq!(difference(&before, &after), (gone, come), "{:?} -> {:?}: {}", report, text, only);
        prop_assert!(target.is_none_or(|target| same(after[only.position], target)));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn an_edited_report_differs_from_its_source_by_exactly_one_sentence_operation(
        report in report(), reference in report(), seed: u64,
    ) {
        differs_by_one_sentence_operation(&report, &reference, seed)?;
    }

    #[test]
    fn what_stands_before_the_edit_keeps_its_bytes(report in report(), reference in report(), seed: u64) {
        let Edited { text, log } = edit(&report, &reference, seed);
        if let Some(only) = log.first() && only.position > 0 {
            let mut end = 0;
            for sentence in &split(&report)[..only.position] {
                end += report[end..].find(sentence).unwrap() + sentence.len();
            }
            prop_assert!(text.starts_with(&report[..end]), "{:?} -> {:?}", report, text);
        }
    }

    #[test]
    fn a_report_equal_to_its_reference_stays(reference in report(), any in any::<String>(), seed: u64) {
        for text in [reference, any] {
            prop_assert_eq!(edit(&text, &text, seed), Edited { text, log: Vec::new() });
        }
    }

    #[test]
    fn the_same_stream_gives_the_same_edit(report in report(), reference in report(), seed: u64) {
        prop_assert_eq!(edit(&report, &reference, seed), edit(&report, &reference, seed));
    }

    #[test]
    fn any_unicode_is_edited_without_panic(report: String, reference: String, word in 0..WORDS.len(), seed: u64) {
        let word = WORDS[word].0;
        for (report, reference) in [(format!("{report}{word}{reference}"), reference.clone()), (report, reference + word)] {
            let edited = edit(&report, &reference, seed);
            prop_assert!(edited.log.len() <= 1);
            prop_assert!(!edited.log.is_empty() || edited.text == report);
        }
    }
}

#[test]
fn a_reference_sentence_with_a_dash_is_one_sentence_even_where_a_list_has_begun() {
    let (report, reference) = ("- effusion. There is effusion. ", "No effusion - Dr. Roe's effusion. No effusion. ");
    let target = "No effusion - Dr. Roe's effusion.";
    assert_eq!(split(reference), [target, "No effusion."]);
    let edited = edit(report, reference, 7_045_095_658_317_899_594);
    assert_eq!(edited.text, format!("- effusion. {target} "));
    assert_eq!(edited.log[0].target.as_deref(), Some(target));
    // Whoever cuts the text by itself takes the dash for the mark of the list's next item.
    assert_eq!(split(&edited.text), ["- effusion.", "No effusion", "- Dr. Roe's effusion."]);
    differs_by_one_sentence_operation(report, reference, 7_045_095_658_317_899_594).unwrap();
}

#[test]
fn a_report_whose_list_began_with_the_deleted_sentence_loses_that_sentence_only() {
    let report = "- fracture. No fracture. No effusion - Dr. Roe's effusion. ";
    assert_eq!(split(report), ["- fracture.", "No fracture.", "No effusion", "- Dr. Roe's effusion."]);
    let edited = edit(report, "", 3_583_372_008_637_661_043);
    assert_eq!(edited.text, "No fracture. No effusion - Dr. Roe's effusion. ");
    assert_eq!(split(&edited.text), ["No fracture.", "No effusion - Dr. Roe's effusion."]);
    differs_by_one_sentence_operation(report, "", 3_583_372_008_637_661_043).unwrap();
}

#[test]
fn repeated_operations_end_in_agreement_with_the_reference() {
    let config = EditConfig { operations_per_report: 20, ..EditConfig::default() };
    let editor = Editor::new(config, Arc::new(Toy::default())).unwrap();
    let (report, reference) =
        ("No effusion. A fracture. The lungs. Some mass.", "Effusion. No mass. The heart. Edema.");
    let edited = editor.edit(report, reference, &mut stream(1)).unwrap();
    assert!(edited.log.len() < 20, "{:#?}", edited.log);
    let mut sentences = split(&edited.text);
    sentences.sort_unstable();
    assert_eq!(sentences, ["Edema.", "Effusion.", "No mass.", "The heart.", "The lungs."]);
}

#[test]
fn a_reference_is_analysed_once() {
    let toy = Arc::new(Toy::default());
    let editor = Editor::new(EditConfig::default(), toy.clone()).unwrap();
    for seed in 0..5 {
        editor.edit("No effusion.", "Small effusion.", &mut stream(seed)).unwrap();
    }
    assert_eq!(toy.calls.load(Ordering::Relaxed), 5 + 1);
}

/// An extractor that fails as `Err` does, or loses a sentence.
struct Broken {
    loses_a_sentence: bool,
}

impl EntityExtractor for Broken {
    fn extract(&self, sentences: &[&str]) -> addendum_rewards::Result<Vec<Vec<Entity>>> {
        if self.loses_a_sentence {
            return Ok(vec![Vec::new(); sentences.len() - 1]);
        }
        Err(addendum_rewards::Error::Component { component: "toy", reason: "out of order".into() })
    }
}

#[test]
fn a_broken_extractor_is_an_error_and_not_an_unedited_report() {
    let editor = |loses_a_sentence| Editor::new(EditConfig::default(), Arc::new(Broken { loses_a_sentence })).unwrap();
    let error = |editor: Editor| editor.edit("No effusion.", "Effusion. Edema.", &mut stream(0)).unwrap_err();
    assert_eq!(error(editor(false)).to_string(), "entities of the reference: toy: out of order");
    let lists = "entities of the reference: the extractor returned 1 lists for 2 sentences";
    assert_eq!(error(editor(true)).to_string(), lists);
}

#[test]
fn an_impossible_config_makes_no_editor() {
    let config = EditConfig { tau: -1., ..EditConfig::default() };
    let refused = Editor::new(config, Arc::new(Toy::default())).err();
    assert!(matches!(refused, Some(Error::Config { field: "tau", .. })));
}
