//! Tidies a report before it is evaluated, as the paper's evaluation script does with hypotheses and references alike.

use std::collections::BTreeSet;

use super::words::is_space;

/// What stands for a report of which nothing is left.
pub const EMPTY: &str = "[EMPTY]";

/// Tidies a report: white space becomes single blanks, everything from "Indication:" on goes, so do end-of-text marks,
/// sentences of one word and sentences that say nearly the same as an earlier one; every sentence ends with a stop.
///
/// If a `\boxed{…}` is left, its content (up to the first closing brace) is the whole result. Never empty: [`EMPTY`].
pub fn clean(report: &str) -> String {
    let spaced = spaced(report);
    let before_indication = spaced.split("Indication:").next().unwrap_or_default();
    let text = spaced_without_marks(before_indication);
    let mut kept: Vec<(String, BTreeSet<String>)> = Vec::new();
    for sentence in sentences(&text) {
        let stop = if sentence.ends_with(['.', '!', '?']) { "" } else { "." };
        let sentence = format!("{sentence}{stop}");
        let normal = normal(&sentence);
        if normal.split_whitespace().count() < 2 {
            continue;
        }
        let words: BTreeSet<String> = normal.split_whitespace().map(str::to_owned).collect();
        if kept.iter().all(|(_, earlier)| !nearly_the_same(&words, earlier)) {
            kept.push((sentence, words));
        }
    }
    let text = kept.into_iter().map(|(sentence, _)| sentence).collect::<Vec<_>>().join(" ");
    let boxed = text.split_once(r"\boxed{").and_then(|(_, rest)| rest.split_once('}'));
    match boxed.map_or(text.as_str(), |(content, _)| content.trim_matches(is_space)) {
        "" => EMPTY.to_owned(),
        text => text.to_owned(),
    }
}

fn spaced(text: &str) -> String {
    text.split(is_space).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Without `<|endoftext|>`, however many closing brackets it has.
fn spaced_without_marks(text: &str) -> String {
    const MARK: &str = "<|endoftext|";
    let mut rest = text;
    let mut kept = String::new();
    while let Some((before, after)) = rest.split_once(MARK) {
        kept.push_str(before);
        rest = after.trim_start_matches('>');
        if rest.len() == after.len() {
            kept.push_str(MARK);
        }
    }
    spaced(&(kept + rest))
}

/// Cuts after a stop that a blank follows, and after a full stop that a capital letter follows.
fn sentences(text: &str) -> Vec<&str> {
    let bytes = text.as_bytes();
    let mut sentences = Vec::new();
    let mut start = 0;
    for (at, pair) in bytes.windows(2).enumerate() {
        let cut = match pair {
            [b'.' | b'!' | b'?', b' '] => true,
            [b'.', next] => next.is_ascii_uppercase(),
            _ => false,
        };
        if cut {
            sentences.push(&text[start..=at]);
            start = at + 1;
        }
    }
    sentences.push(&text[start..]);
    sentences.into_iter().map(|sentence| sentence.trim_matches(is_space)).filter(|s| !s.is_empty()).collect()
}

/// The words that are compared: lower case, no punctuation.
fn normal(sentence: &str) -> String {
    let open = sentence.trim_end_matches(['.', '!', '?', ',', ':', ';']).trim_matches(is_space).to_lowercase();
    open.chars().filter(|&c| c.is_alphanumeric() || c == '_' || is_space(c)).collect()
}

/// More than 80 % of the words of both in common, or more than 90 % of those of the smaller. Neither is empty.
fn nearly_the_same(a: &BTreeSet<String>, b: &BTreeSet<String>) -> bool {
    let common = a.intersection(b).count() as f64;
    common / a.union(b).count() as f64 > 0.8 || common / a.len().min(b.len()) as f64 > 0.9
}
