//! Which full stops, question and exclamation marks end a sentence.

use super::layout::{is_enumerator, last_word};

/// Abbreviations after which a full stop does not end the sentence, without that stop, in lower case.
const ABBREVIATIONS: &[&str] = &[
    "dr", "drs", "mr", "mrs", "ms", "prof", "st", "vs", "approx", "ca", "cf", "e.g", "i.e", "eg", "ie", "incl", "resp",
    "fig", "figs", "q.v", "viz", "pt", "hosp", "dept", "lt", "rt", "rev", "hon",
];

/// Abbreviations that keep the sentence open only when a number follows ("No. 3", "Ser. 4", "Jan. 5").
const BEFORE_NUMBERS: &[&str] = &[
    "no", "nos", "nr", "ser", "im", "img", "se", "acc", "vol", "p", "pp", "jan", "feb", "mar", "apr", "jun", "jul",
    "aug", "sep", "sept", "oct", "nov", "dec",
];

/// Abbreviations that may end a sentence: the following capital letter decides, as for initialisms ("p.m.", "M.D.").
const MAY_END: &[&str] = &[
    "al", "ext", "int", "sup", "inf", "lat", "med", "etc", "jr", "sr", "esq", "inc", "ltd", "bilat", "ant", "post",
    "prox", "est", "max", "min",
];

/// What in capitals is no abbreviation that keeps a sentence open: cancer, multiple sclerosis.
const ACRONYMS: &[&str] = &["CA", "MS"];

/// Titles and words after which a single letter is the initial of a name.
const BEFORE_NAMES: &[&str] =
    &["dr", "drs", "mr", "mrs", "ms", "prof", "rev", "hon", "by", "with", "from", "per", "to"];

/// The bytes of closing quotes and brackets that belong to the sentence before them.
pub(super) fn closers(after: &str) -> usize {
    after.chars().take_while(|c| matches!(c, '"' | '\'' | ')' | ']' | '}' | '”' | '’' | '»')).map(char::len_utf8).sum()
}

/// Whether the stops `stops` between `before` (the sentence so far) and `after` end a sentence.
pub(super) fn end(before: &str, stops: &str, after: &str) -> bool {
    let after = &after[closers(after)..];
    let next = after.chars().next();
    let spaced = next.is_none_or(char::is_whitespace);
    let following = after.trim_start().chars().next();
    // "? pneumonia" asks; it neither ends a sentence nor is one.
    let bracket = before.ends_with(['(', '[', '/']);
    let apart = before.is_empty() || bracket || before.ends_with(char::is_whitespace);
    if stops == "?" && apart && following.is_some_and(|c| c.is_alphabetic()) {
        return !bracket
            && (before.trim_end().ends_with('.')
                || following.is_some_and(char::is_uppercase) && !before.trim().is_empty());
    }
    if stops.chars().count() > 1 {
        return spaced && following.is_none_or(|c| !c.is_lowercase());
    }
    if stops != "." {
        return true;
    }
    let (word, lead) = word_and_lead(before);
    let lower = word.to_lowercase();
    let lower = lower.as_str();
    if !spaced {
        // "effusion.No" lacks a space; "2.5", "p.m.", "U.S." and "Dr.Smith" do not.
        let letters = word.chars().count() >= 2 && word.chars().all(char::is_alphabetic);
        return letters && !ABBREVIATIONS.contains(&lower) && next.is_some_and(char::is_uppercase) && is_word(after);
    }
    let Some(following) = following else {
        return true;
    };
    if is_enumerator(before) {
        return false;
    }
    if BEFORE_NUMBERS.contains(&lower) {
        return !following.is_numeric();
    }
    if is_initial(word, lead, after.trim_start()) || ABBREVIATIONS.contains(&lower) && !ACRONYMS.contains(&word) {
        return false;
    }
    let spelt = word.chars().count() == 1 && lead.ends_with('.');
    let may = spelt || MAY_END.contains(&lower) || is_initialism(word);
    !may || !(following.is_lowercase() || following.is_numeric())
}

/// Two letters or more, or a single letter that is a word: a capital that starts a sentence and not an initialism.
fn is_word(after: &str) -> bool {
    let mut letters = after.chars();
    let (first, second) = (letters.next(), letters.next());
    second.is_some_and(char::is_alphabetic)
        || matches!(first, Some('A' | 'I')) && second.is_some_and(char::is_whitespace)
}

/// The last word of a text, without what is no letter or digit before it, and the text before.
fn word_and_lead(text: &str) -> (&str, &str) {
    let word = last_word(text);
    let lead = &text[..text.len() - word.len()];
    (word.trim_start_matches(|c: char| !c.is_alphanumeric()), lead.trim_end())
}

/// Letters with stops between them, as in "p.m", "M.D", "Ph.D".
fn is_initialism(word: &str) -> bool {
    let part = |part: &str| (1..=2).contains(&part.chars().count()) && part.chars().all(char::is_alphabetic);
    word.contains('.') && word.split('.').all(part)
}

/// A single letter that is part of a name or of a spaced initialism: "Dr. J. Smith", "J. R. Smith", "3 a. m.", and not
/// "hepatitis B. Heart normal."
fn is_initial(word: &str, lead: &str, after: &str) -> bool {
    let letter = |word: &str| word.chars().count() == 1 && word.chars().all(char::is_alphabetic);
    if !letter(word) {
        return false;
    }
    let mut following = after.split_whitespace();
    let (next, second) = (following.next().unwrap_or(""), following.next().unwrap_or(""));
    let name = |word: &str| word.starts_with(char::is_uppercase) && !letter(word.trim_end_matches('.'));
    if next.strip_suffix('.').is_some_and(letter) {
        return !lead.is_empty() || name(second);
    }
    let (before, _) = word_and_lead(lead);
    let before = before.trim_end_matches('.').to_lowercase();
    word.chars().all(char::is_uppercase)
        && name(next)
        && (lead.is_empty() || letter(&before) || BEFORE_NAMES.contains(&before.as_str()))
}
