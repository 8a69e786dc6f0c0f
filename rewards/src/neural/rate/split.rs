//! Cuts reports into sentences nearly as the published RaTEScore does, which takes medspaCy's splitter (RuSH, Shi et
//! al. 2016).
//!
//! That one looks for places where a sentence may begin and places where one may end, each judged by the characters
//! around it, and joins them: a beginning counts only after an end. Of its hundreds of rules these are the ones that
//! radiology reports meet; the score depends on where its sentences are cut. [`crate::sentences`] is the better
//! splitter for every other purpose.

/// A sentence that is not longer than this belongs to the one before it.
const SHORTEST: usize = 3;

/// Words left over behind the last end are a sentence of their own if they are longer than this.
const SHORTEST_REST: usize = 5;

/// The score ignores sentences of fewer bytes.
const IGNORED: usize = 3;

/// The sentences of a report, trimmed, in order.
pub(super) fn split(report: &str) -> Vec<&str> {
    let text = Text::new(report);
    let mut cuts: Vec<usize> = Vec::new();
    let ends: Vec<usize> = (0..text.len()).filter(|&i| text.ends(i)).collect();
    let begins: Vec<usize> = (0..text.len()).filter(|&i| text.begins(i)).collect();
    let mut free = 0;
    let mut last_begin = None;
    for &begin in &begins {
        // Without an end since the last sentence began this is still that sentence.
        if last_begin.is_none() || ends.iter().any(|&end| free <= end && end < begin) {
            cuts.push(begin);
            free = begin;
            last_begin = Some(begin);
        }
    }
    // The last sentence stops at its first end; others go on to the last end before the next one.
    if let Some(begin) = last_begin
        && let Some(&end) = ends.iter().find(|&&end| end >= begin)
        && let Some(rest) = text.word_from(end + 1)
        && text.len() - rest > SHORTEST_REST
    {
        cuts.push(rest);
    }
    cuts.insert(0, 0);
    cuts.push(text.len());
    let mut sentences: Vec<&str> = Vec::new();
    let mut start = 0;
    for pair in cuts.windows(2) {
        let piece = text.slice(pair[0], pair[1]).trim();
        if piece.is_empty() {
            continue;
        }
        // All pieces lie in the report, in order.
        let at = start + report[start..].find(piece).unwrap_or(0);
        start = at + piece.len();
        match sentences.last_mut() {
            Some(before) if piece.chars().count() <= SHORTEST => {
                let from = before.as_ptr() as usize - report.as_ptr() as usize;
                *before = &report[from..start];
            }
            _ => sentences.push(piece),
        }
    }
    sentences.iter_mut().for_each(|sentence| *sentence = sentence.trim_end_matches(unended).trim_end());
    sentences.retain(|sentence| sentence.len() >= IGNORED);
    sentences
}

/// What cannot end a sentence.
fn unended(c: char) -> bool {
    !c.is_ascii() && !c.is_alphanumeric()
}

struct Text<'a> {
    report: &'a str,
    chars: Vec<(usize, char)>,
}

impl<'a> Text<'a> {
    fn new(report: &'a str) -> Self {
        Self { report, chars: report.char_indices().collect() }
    }

    fn len(&self) -> usize {
        self.chars.len()
    }

    fn at(&self, i: usize) -> Option<char> {
        self.chars.get(i).map(|&(_, c)| c)
    }

    fn before(&self, i: usize, back: usize) -> Option<char> {
        self.at(i.checked_sub(back)?)
    }

    fn byte(&self, i: usize) -> usize {
        self.chars.get(i).map_or(self.report.len(), |&(byte, _)| byte)
    }

    fn slice(&self, from: usize, to: usize) -> &'a str {
        &self.report[self.byte(from)..self.byte(to)]
    }

    /// The first character from `i` on that is not white space.
    fn word_from(&self, i: usize) -> Option<usize> {
        (i..self.len()).find(|&i| self.at(i).is_some_and(|c| !c.is_whitespace()))
    }

    /// Whether a sentence may begin with character `i`.
    fn begins(&self, i: usize) -> bool {
        let Some(c) = self.at(i).filter(|c| !c.is_whitespace()) else { return false };
        let gap = (0..i).rev().take_while(|&j| self.at(j).is_some_and(char::is_whitespace)).count();
        let newline = (i - gap..i).any(|j| matches!(self.at(j), Some('\n' | '\r')));
        let next = self.at(i + 1);
        let item = |i: usize| self.numbered(i);
        if i == gap {
            return c.is_ascii_uppercase() || c.is_ascii_digit();
        }
        if gap == 0 {
            return false;
        }
        let (stop, first, second) = (self.before(i, gap + 1), self.before(i, gap + 2), self.before(i, gap + 3));
        if newline && (c.is_ascii_uppercase() || item(i) || mark(c) && self.names(i)) {
            return true;
        }
        match stop {
            Some('.') if c.is_ascii_uppercase() => {
                let capitals =
                    [2, 3, 4].iter().all(|b| self.before(i, gap + b).is_some_and(|c| c.is_ascii_uppercase()));
                first.is_some_and(|c| lower(c) || c.is_ascii_digit() || c == ')')
                    || capitals && next.is_some_and(lower)
                    || STARTERS.contains(&self.word(i))
            }
            Some('.') if lower(c) => first.is_some_and(lower) && second.is_some_and(lower),
            Some('.') if c.is_ascii_digit() => item(i),
            Some('"') => first == Some('.') && second.is_some_and(lower) && c.is_ascii_uppercase(),
            Some('?' | '!') => c.is_ascii_digit() || c.is_ascii_uppercase() && next.is_some_and(lower),
            Some(':') => newline,
            _ => false,
        }
    }

    /// Whether a sentence may end with character `i`.
    fn ends(&self, i: usize) -> bool {
        let Some(c) = self.at(i).filter(|c| !c.is_whitespace()) else { return false };
        let after = self.at(i + 1);
        let Some(next) = self.word_from(i + 1) else { return c.is_ascii() };
        if !after.is_some_and(char::is_whitespace) {
            return false;
        }
        let newline = (i + 1..next).any(|j| matches!(self.at(j), Some('\n' | '\r')));
        let (before, following) = (self.before(i, 1), self.at(next));
        match c {
            '.' => before.is_some_and(|c| !c.is_whitespace()) && !self.titled(i) && !self.enumerates(i),
            '"' => before == Some('.') && following.is_some_and(|c| c.is_ascii_uppercase()),
            '?' => before.is_some_and(|c| c.is_ascii_alphanumeric()),
            ':' => newline,
            _ => newline && following.is_some_and(|c| c.is_ascii_uppercase() || self.numbered(next) || mark(c)),
        }
    }

    /// "2. Heart", "12. Heart"
    fn numbered(&self, i: usize) -> bool {
        let digits = (i..self.len()).take_while(|&j| self.at(j).is_some_and(|c| c.is_ascii_digit())).count();
        digits > 0
            && matches!(self.at(i + digits), Some('.' | ')'))
            && self.at(i + digits + 1).is_some_and(char::is_whitespace)
            && self.word_from(i + digits + 1).and_then(|j| self.at(j)).is_some_and(|c| c.is_ascii_uppercase())
    }

    /// Whether a list mark at `i` is followed by a word.
    fn names(&self, i: usize) -> bool {
        self.word_from(i + 1).and_then(|j| self.at(j)).is_some_and(|c| c.is_ascii_alphabetic())
    }

    /// The word that begins at `i`.
    fn word(&self, i: usize) -> &'a str {
        let end = (i..self.len()).find(|&j| !self.at(j).is_some_and(char::is_alphanumeric)).unwrap_or(self.len());
        self.slice(i, end)
    }

    /// Whether the stop at `i` belongs to a title within a sentence, as in "by Dr. Smith".
    fn titled(&self, i: usize) -> bool {
        let start = (0..i).rev().find(|&j| !self.at(j).is_some_and(char::is_alphabetic));
        start.is_some_and(|j| self.at(j).is_some_and(char::is_whitespace) && TITLES.contains(&self.slice(j + 1, i)))
    }

    /// Whether the stop at `i` follows the number at the start of a line other than the first.
    fn enumerates(&self, i: usize) -> bool {
        let start = (0..i).rev().find(|&j| !self.at(j).is_some_and(|c| c.is_ascii_digit()));
        start.is_some_and(|j| j + 1 < i && matches!(self.at(j), Some('\n' | '\r')))
    }
}

fn lower(c: char) -> bool {
    c.is_ascii_lowercase()
}

/// A mark of list items.
fn mark(c: char) -> bool {
    matches!(c, '-' | '*' | '#' | '+')
}

const TITLES: [&str; 8] = ["Dr", "dr", "Mr", "mr", "Mrs", "mrs", "Ms", "ms"];

/// Words that begin a sentence after any full stop.
const STARTERS: [&str; 14] =
    ["The", "This", "That", "He", "She", "We", "They", "His", "Her", "Our", "Their", "But", "Now", "Discharge"];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::split;
    use crate::testing::fixture;

    #[derive(Deserialize)]
    struct Case {
        text: String,
        sentences: Vec<String>,
    }

    #[test]
    fn parity_sentences_of_the_score_agree_in_nineteen_of_twenty_texts() {
        let cases: Vec<Case> = serde_json::from_slice(&fixture("rewards/rate/sentence_split.json")).unwrap();
        let wrong: Vec<_> = cases.iter().filter(|case| split(&case.text) != case.sentences).collect();
        for case in &wrong {
            eprintln!("{:?}\n  cut as {:?}\n  not as {:?}", case.text, split(&case.text), case.sentences);
        }
        assert!(20 * wrong.len() <= cases.len(), "{} of {} texts are cut differently", wrong.len(), cases.len());
    }

    #[test]
    fn titles_within_a_sentence_do_not_end_it() {
        assert_eq!(
            split("Discussed with Dr. Smith. Heart is large."),
            ["Discussed with Dr. Smith.", "Heart is large."]
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn pieces_are_trimmed_in_order_and_never_panic(text in "[A-Za-z0-9 .!?\n\r,:)(\"。é•-]{0,60}") {
            let mut at = 0;
            for sentence in split(&text) {
                prop_assert_eq!(sentence, sentence.trim());
                let found = text[at..].find(sentence);
                prop_assert!(found.is_some());
                at += found.unwrap() + sentence.len();
            }
        }

        #[test]
        fn any_text_is_cut_without_panic(text in any::<String>()) {
            split(&text);
        }
    }
}
