//! Cuts a report into sentences.
//!
//! Made for radiology prose: decimals, dates, abbreviations, initials and enumerations do not end a sentence, wrapped
//! lines are not cut, list items and blank lines are. It knows nothing of findings.

/// Abbreviations after which a full stop does not end the sentence, without that stop, in lower case.
const ABBREVIATIONS: &[&str] = &[
    "dr", "drs", "mr", "mrs", "ms", "prof", "st", "vs", "approx", "ca", "cf", "e.g", "i.e", "eg", "ie", "incl", "resp",
    "p.m", "a.m", "fig", "figs", "q.v", "viz", "al", "pt", "ext", "int", "sup", "inf", "lat", "med", "hosp", "dept",
];

/// Abbreviations that keep the sentence open only when a number follows ("No. 3", "Ser. 4").
const BEFORE_NUMBERS: &[&str] = &["no", "nos", "nr", "ser", "im", "img", "se", "acc", "vol"];

/// Abbreviations that may end a sentence: the following capital letter decides.
const MAY_END: &[&str] = &["p.m", "a.m", "al", "ext", "int", "sup", "inf", "lat", "med", "etc"];

/// Splits `text` into trimmed, non-empty sentences, in order, each a slice of `text`.
///
/// A wrapped line stays in its sentence, so a slice may hold line breaks; joined by single spaces the slices give the
/// report's prose. Any Unicode is accepted.
pub fn split(text: &str) -> Vec<&str> {
    let mut sentences = Vec::new();
    let mut start = 0;
    let mut rest = text.char_indices().peekable();
    while let Some((at, c)) = rest.next() {
        let end = match c {
            '\n' | '\r' | '\u{2028}' | '\u{2029}' => {
                if line_break_ends(&text[start..at], &text[at..]) {
                    at
                } else {
                    continue;
                }
            }
            '.' | '!' | '?' | '…' => {
                let mut end = at + c.len_utf8();
                while let Some(&(next, d)) = rest.peek() {
                    if !matches!(d, '.' | '!' | '?' | '…') {
                        break;
                    }
                    end = next + d.len_utf8();
                    rest.next();
                }
                if !stop_ends(&text[start..at], &text[at..end], &text[end..]) {
                    continue;
                }
                end + closers(&text[end..])
            }
            '。' | '！' | '？' | '｡' => at + c.len_utf8(),
            _ => continue,
        };
        push(&mut sentences, &text[start..end]);
        start = end;
        while rest.next_if(|&(at, _)| at < end).is_some() {}
    }
    push(&mut sentences, &text[start..]);
    sentences
}

fn push<'a>(sentences: &mut Vec<&'a str>, piece: &'a str) {
    let piece = piece.trim();
    if !piece.is_empty() {
        sentences.push(piece);
    }
}

/// The bytes of closing quotes and brackets that belong to the sentence before them.
fn closers(after: &str) -> usize {
    after.chars().take_while(|c| matches!(c, '"' | '\'' | ')' | ']' | '}' | '”' | '’' | '»')).map(char::len_utf8).sum()
}

/// Whether the stops `stops` between `before` (the sentence so far) and `after` end a sentence.
fn stop_ends(before: &str, stops: &str, after: &str) -> bool {
    let after = &after[closers(after)..];
    let next = after.chars().next();
    let spaced = next.is_none_or(char::is_whitespace);
    let following = after.trim_start().chars().next();
    // "? pneumonia" asks; it neither ends a sentence nor is one.
    let apart = before.is_empty() || before.ends_with(char::is_whitespace);
    if stops == "?" && apart && following.is_some_and(|c| c.is_alphabetic()) {
        return before.trim_end().ends_with('.')
            || following.is_some_and(char::is_uppercase) && !before.trim().is_empty();
    }
    if stops.chars().count() > 1 {
        return spaced && following.is_none_or(|c| !c.is_lowercase());
    }
    if stops != "." {
        return true;
    }
    let word = last_word(before);
    if !spaced {
        // "effusion.No" lacks a space; "2.5", "p.m." and "U.S." do not.
        let letters = word.chars().count() >= 2 && word.chars().all(char::is_alphabetic);
        return letters && next.is_some_and(char::is_uppercase) && following_is_word(after);
    }
    if following.is_none() {
        return true;
    }
    let lower = word.to_lowercase();
    let lower = lower.as_str();
    if is_enumerator(before) {
        return false;
    }
    if BEFORE_NUMBERS.contains(&lower) {
        return !following.is_some_and(char::is_numeric);
    }
    if MAY_END.contains(&lower) {
        return !following.is_some_and(|c| c.is_lowercase() || c.is_numeric());
    }
    !ABBREVIATIONS.contains(&lower)
}

/// Two letters or more, or a single letter that is a word ("A"): a capital that starts a sentence and not an initialism.
fn following_is_word(after: &str) -> bool {
    let word: Vec<char> = after.chars().take_while(|c| c.is_alphabetic()).take(2).collect();
    word.len() == 2 || after.chars().nth(1).is_some_and(char::is_whitespace)
}

fn last_word(text: &str) -> &str {
    let word = text.rsplit(char::is_whitespace).next().unwrap_or("");
    word.trim_start_matches(|c: char| !c.is_alphanumeric())
}

/// Whether the sentence so far is nothing but a number, as in "1. No effusion", or ends in one after a colon.
fn is_enumerator(sentence: &str) -> bool {
    let sentence = sentence.trim();
    let number = sentence.rsplit(char::is_whitespace).next().unwrap_or("");
    let head = sentence[..sentence.len() - number.len()].trim_end();
    !number.is_empty()
        && number.len() <= 2
        && number.bytes().all(|b| b.is_ascii_digit())
        && (head.is_empty() || head.ends_with(':') || head.ends_with('-'))
}

/// Whether a line break (at the start of `after`) between `before` and the next line ends a sentence.
fn line_break_ends(before: &str, after: &str) -> bool {
    let breaks = after.chars().take_while(|c| c.is_whitespace());
    let lines = breaks.clone().filter(|&c| c == '\n').count().max(breaks.filter(|&c| c == '\r').count());
    let next = after.trim_start();
    let before = before.trim();
    if before.is_empty() || next.is_empty() || lines > 1 || starts_item(next) {
        return true;
    }
    if before.ends_with([',', '(', '/', '-', '–']) || is_enumerator(before.trim_end_matches(['.', ')'])) {
        return false;
    }
    // A new line in lower case or with a number continues; one that starts with a capital is a line of its own, unless
    // the text before it cannot end there.
    let open = matches!(
        last_word(before).to_lowercase().as_str(),
        "a" | "an"
            | "the"
            | "of"
            | "in"
            | "on"
            | "at"
            | "and"
            | "or"
            | "with"
            | "by"
            | "to"
            | "for"
            | "no"
            | "is"
            | "are"
            | "was"
            | "were"
            | "without"
            | "from"
            | "dr"
            | "dr."
            | "vs."
            | "approx."
            | "mr."
            | "mrs."
            | "st."
    );
    !open && next.chars().next().is_some_and(|c| !c.is_lowercase() && !c.is_numeric() && !"(≥≤<>~".contains(c))
}

/// Whether a line starts as a list item does: "- ", "• ", "* ", "1. ", "2) ", "a) ".
fn starts_item(line: &str) -> bool {
    let mark = line.split(char::is_whitespace).next().unwrap_or("");
    if matches!(mark, "-" | "–" | "—" | "*" | "•" | "·" | "‣" | "▪" | "●" | "○") {
        return true;
    }
    if line.starts_with(['•', '‣', '▪', '●', '○']) {
        return true;
    }
    let label = mark.trim_start_matches('(').trim_end_matches(['.', ')']);
    let marked = mark.ends_with(['.', ')']);
    let number = !label.is_empty() && label.len() <= 2 && label.bytes().all(|b| b.is_ascii_digit());
    let letter = mark.ends_with(')') && label.len() == 1 && label.bytes().all(|b| b.is_ascii_alphabetic());
    marked && (number || letter)
}

#[cfg(test)]
mod tests {
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
}
