//! Parity of the text metrics with the reference implementations, and what holds for any text.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use addendum_fixtures::fixture;

fn strings(value: &Value) -> Vec<String> {
    serde_json::from_value(value.clone()).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    serde_json::from_value(value.clone()).unwrap()
}

fn close(got: f64, expected: f64, what: &str) {
    assert!((got - expected).abs() < 1e-6, "{what}: {got}, expected {expected}");
}

fn all_close(got: &[f64], expected: &Value, what: &str) {
    let expected = numbers(expected);
    assert_eq!(got.len(), expected.len(), "{what}");
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        close(*got, expected, &format!("{what} of pair {i}"));
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Every set of pairs of the fixture: its name, its values, hypotheses and references.
fn sets() -> Vec<(String, Value, Vec<String>, Vec<String>)> {
    let file: Value = serde_json::from_slice(&fixture("rewards/nlg/nlg.json")).unwrap();
    let sets = file.as_object().unwrap().iter().filter(|(_, value)| value.get("processed_hyps").is_some());
    let sets: Vec<_> = sets
        .map(|(name, set)| {
            (name.clone(), set.clone(), strings(&set["processed_hyps"]), strings(&set["processed_refs"]))
        })
        .collect();
    assert!(sets.len() >= 4, "{} sets", sets.len());
    sets
}

#[test]
fn parity_nlg_normalised_captions() {
    let file: Value = serde_json::from_slice(&fixture("rewards/nlg/nlg.json")).unwrap();
    let pairs: Vec<(String, String)> = serde_json::from_value(file["pairs"].clone()).unwrap();
    let all = pairs.iter().zip(strings(&file["all"]["processed_hyps"])).zip(strings(&file["all"]["processed_refs"]));
    for ((pair, hypothesis), reference) in all {
        assert_eq!((normalise(&pair.0), normalise(&pair.1)), (hypothesis, reference));
    }
}

#[test]
fn parity_nlg_bleu() {
    for (name, set, hypotheses, references) in sets() {
        let counts: Vec<_> = hypotheses.iter().zip(&references).map(|(h, r)| bleu::Counts::of(h, r)).collect();
        let corpus: bleu::Counts = counts.iter().copied().sum();
        all_close(&corpus.scores(), &set["bleu"], &name);
        for k in 0..4 {
            let each: Vec<f64> = counts.iter().map(|counts| counts.scores()[k]).collect();
            all_close(&each, &set["bleu_per_pair"][k], &format!("{name} BLEU-{}", k + 1));
        }
    }
}

#[test]
fn parity_nlg_rouge_l() {
    for (name, set, hypotheses, references) in sets() {
        let each: Vec<f64> = hypotheses.iter().zip(&references).map(|(h, r)| rouge::score(h, r)).collect();
        all_close(&each, &set["rouge_l_per_pair"], &name);
        close(mean(&each), set["rouge_l"].as_f64().unwrap(), &name);
    }
}

fn borrowed(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

#[test]
fn parity_nlg_cider() {
    for (name, set, hypotheses, references) in sets() {
        let each = cider::scores(&borrowed(&hypotheses), &borrowed(&references));
        all_close(&each, &set["cider_per_pair"], &name);
        close(mean(&each), set["cider"].as_f64().unwrap(), &name);
    }
}

#[test]
fn parity_nlg_meteor_differs_in_few_pairs() {
    for (name, set, hypotheses, references) in sets() {
        if set["meteor_per_pair"].is_null() {
            continue;
        }
        let expected = numbers(&set["meteor_per_pair"]);
        let got: Vec<f64> = hypotheses.iter().zip(&references).map(|(h, r)| meteor::score(h, r)).collect();
        let differ = got.iter().zip(&expected).filter(|(got, expected)| (*got - *expected).abs() > 1e-6).count();
        assert!(differ * 5 <= expected.len(), "{name}: {differ} of {}: {got:?}, expected {expected:?}", expected.len());
    }
}

#[test]
fn parity_nlg_clean_text() {
    let cases: Vec<Value> = serde_json::from_slice(&fixture("rewards/nlg/clean_text.json")).unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        let text = case["text"].as_str().unwrap();
        assert_eq!(clean(text), case["cleaned"].as_str().unwrap(), "{text:?}");
    }
}

#[test]
fn marks_brackets_and_separators_are_cleaned_as_the_reference_does() {
    for (text, expected) in [
        ("Lungs are clear.<|endoftext|>>> Heart normal.", "Lungs are clear. Heart normal."),
        ("Lungs are<|endoftext| clear.", "Lungs are<|endoftext| clear."),
        ("\u{1f}Lungs\u{1c}are clear\u{85}", "Lungs are clear."),
        ("No effusion.no edema.", "No effusion.no edema."),
        ("Is it big?Yes it is.", "Is it big?Yes it is."),
        (r"Lungs clear \boxed{open", r"Lungs clear \boxed{open."),
    ] {
        assert_eq!(clean(text), expected, "{text:?}");
    }
}

fn report() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec!["no", "effusion", "effusions", "the", "left", "large", "heart", "clear", "é"]);
    prop::collection::vec(word, 0..14).prop_map(|words| words.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn scores_are_bounded(pairs in prop::collection::vec((report(), report()), 1..5)) {
        for (hypothesis, reference) in &pairs {
            let [one, two, three, four] = bleu::Counts::of(hypothesis, reference).scores();
            let [rouge, meteor] = [rouge::score(hypothesis, reference), meteor::score(hypothesis, reference)];
            for score in [one, two, three, four, rouge, meteor] {
                prop_assert!((0. ..=1.).contains(&score), "{} for {:?}, {:?}", score, hypothesis, reference);
            }
        }
        let (hypotheses, references): (Vec<String>, Vec<String>) = pairs.into_iter().unzip();
        for score in cider::scores(&borrowed(&hypotheses), &borrowed(&references)) {
            prop_assert!((0. ..=10. + 1e-9).contains(&score));
        }
    }

    #[test]
    fn a_text_and_itself_score_one(report in report()) {
        prop_assume!(!report.is_empty());
        prop_assert_eq!(rouge::score(&report, &report), 1.);
        prop_assert!((meteor::score(&report, &report) - 1.).abs() < 1e-12);
        let scores = bleu::Counts::of(&report, &report).scores();
        for score in &scores[..report.split(' ').count().min(4)] {
            prop_assert!((score - 1.).abs() < 1e-7);
        }
    }

    #[test]
    fn any_unicode_is_scored_and_cleaned_without_panic(a: String, b: String) {
        for text in [a.clone() + "\\boxed{" + &b, a.clone() + "Indication:" + &b, format!("{a}.{b}<|endoftext|>"), a.clone()] {
            let cleaned = clean(&text);
            prop_assert!(!cleaned.is_empty());
        }
        let (a, b) = (normalise(&a), normalise(&b));
        bleu::Counts::of(&a, &b);
        rouge::score(&a, &b);
        meteor::score(&a, &b);
        prop_assert_eq!(cider::scores(&[&a, &b], &[&b, &a]).len(), 2);
    }
}
