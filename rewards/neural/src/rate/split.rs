//! Cuts reports into sentences nearly as the published RaTEScore does, which takes medspaCy's splitter (RuSH, Shi et
//! al. 2016).
//!
//! That one looks for characters where a sentence may begin and characters where one may end, each judged by what
//! stands around it, and pairs them; here the pairing is the same, and the judgement follows what it was seen to do
//! with reports. The score depends on where its sentences are cut. [`addendum_rewards::sentences`] is the better splitter for
//! every other purpose.

use std::ops::Range;

/// Words that no sentence covers make one if they are longer than this, else they belong to the one before them.
const SHORTEST: usize = 5;

/// The score ignores sentences of fewer characters.
const IGNORED: usize = 3;

/// The sentences of a report, trimmed, in order.
pub(super) fn split(report: &str) -> Vec<&str> {
    let text = Text::new(report);
    let mut cuts: Vec<usize> = text.sentences().into_iter().flat_map(|span| [span.start, span.end]).collect();
    cuts.insert(0, 0);
    cuts.push(text.len());
    let pieces = cuts.windows(2).map(|cut| text.slice(cut[0], cut[1]).trim_matches(space));
    pieces.filter(|piece| piece.chars().count() >= IGNORED).collect()
}

struct Text<'a> {
    report: &'a str,
    chars: Vec<(usize, char)>,
}

/// White space between two characters.
struct Gap {
    spaces: usize,
    /// Whether it begins with a line break, and whether it ends in one.
    opens: bool,
    closes: bool,
    /// How many line breaks there are, and whether two stand next to each other.
    breaks: usize,
    blank: bool,
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

    /// Whether there is a character at `i`, and of a kind.
    fn is(&self, i: usize, kind: fn(char) -> bool) -> bool {
        self.at(i).is_some_and(kind)
    }

    /// The same, of the character `back` before `i`.
    fn was(&self, i: usize, back: usize, kind: fn(char) -> bool) -> bool {
        i.checked_sub(back).is_some_and(|i| self.is(i, kind))
    }

    fn byte(&self, i: usize) -> usize {
        self.chars.get(i).map_or(self.report.len(), |&(byte, _)| byte)
    }

    fn slice(&self, from: usize, to: usize) -> &'a str {
        &self.report[self.byte(from)..self.byte(to)]
    }

    /// The first character from `i` on that is not white space, or the end.
    fn skip(&self, i: usize) -> usize {
        (i..self.len()).find(|&i| !self.is(i, space)).unwrap_or(self.len())
    }

    /// Behind the digits that begin at `i`.
    fn digits(&self, i: usize) -> usize {
        (i..self.len()).find(|&i| !self.is(i, digit)).unwrap_or(self.len())
    }

    fn gap(&self, from: usize, to: usize) -> Gap {
        Gap {
            spaces: to - from,
            opens: self.is(from, line_break),
            closes: self.was(to, 1, line_break),
            breaks: (from..to).filter(|&i| self.is(i, line_break)).count(),
            blank: (from..to.saturating_sub(1)).any(|i| self.is(i, line_break) && self.is(i + 1, line_break)),
        }
    }

    /// Pairs beginnings with ends, as RuSH does.
    ///
    /// A sentence that has ended goes on while ends follow and no beginning does; one that has not, beyond further
    /// beginnings. The very last end is taken even by a sentence that another beginning parts from it.
    fn sentences(&self) -> Vec<Range<usize>> {
        let begins: Vec<usize> = (0..self.len()).filter(|&i| self.begins(i)).collect();
        let ends: Vec<usize> = (0..self.len()).filter(|&i| self.ends(i)).collect();
        let mut found: Vec<Range<usize>> = Vec::new();
        let (mut first, mut covered) = (0, 0);
        let mut open = None;
        for (i, &begin) in begins.iter().enumerate() {
            if begin < covered {
                continue;
            }
            let next = begins.get(i + 1);
            if open.is_none() {
                self.cover(&mut found, begin);
            }
            let start = *open.get_or_insert(begin);
            for (k, &end) in ends.iter().enumerate().skip(first) {
                if k + 1 < ends.len() && next.is_some_and(|&next| next <= end) {
                    break;
                }
                (covered, first) = (end + 1, k);
                if covered < start {
                    continue;
                }
                if open.take().is_some() {
                    found.push(start..covered);
                    let more = |next: usize| ends.get(k + 1).is_some_and(|&end| next > self.reach(end));
                    if next.is_some_and(|&next| !more(next)) {
                        break;
                    }
                } else if let Some(last) = found.last_mut() {
                    *last = start..covered;
                }
            }
        }
        if let (Some(head), Some(sentence)) = (found.first().and_then(|s| self.trim(0, s.start)), found.first_mut()) {
            if ends.first().is_none_or(|&end| sentence.start <= end) {
                sentence.start = head.start;
            } else {
                found.insert(0, head);
            }
        }
        self.cover(&mut found, self.len());
        found
    }

    /// How far an end goes: blank lines behind it belong to it.
    fn reach(&self, end: usize) -> usize {
        let next = self.skip(end + 1);
        if self.gap(end + 1, next).blank { next } else { end + 1 }
    }

    /// Gives the words between the last sentence and `to` to a sentence.
    fn cover(&self, found: &mut Vec<Range<usize>>, to: usize) {
        let Some(rest) = self.trim(found.last().map_or(0, |last| last.end), to) else { return };
        if rest.len() > SHORTEST {
            found.push(rest);
        } else if let Some(last) = found.last_mut() {
            last.end = rest.end;
        }
    }

    /// What is left of some characters without white space before and without what cannot end a sentence behind.
    fn trim(&self, from: usize, to: usize) -> Option<Range<usize>> {
        let start = self.skip(from);
        let end = (start + 1..to).rev().find(|&i| self.is(i, |c| c.is_alphanumeric() || ".!?)]\"".contains(c)))?;
        Some(start..end + 1)
    }

    /// Whether a sentence may begin with the character at `i`.
    fn begins(&self, i: usize) -> bool {
        let Some(c) = self.at(i).filter(|&c| !space(c)) else { return false };
        let Some(before) = (0..i).rev().find(|&j| !self.is(j, space)) else { return upper(c) || digit(c) };
        match self.gap(before + 1, i) {
            Gap { spaces: 0, .. } => false,
            _ if self.heads(i, &HEADINGS[..1]) => true,
            Gap { breaks: 0, spaces, .. } => self.begins_inside(i, c, before, spaces),
            gap => self.begins_line(i, c, before, &gap),
        }
    }

    /// The same for `c` at `i`, on another line than the last character `before` it.
    fn begins_line(&self, i: usize, c: char, before: usize, gap: &Gap) -> bool {
        let stop = self.at(before);
        let stopped = stop == Some('.') && self.was(before, 1, lower);
        let prose = stopped && self.was(before, 2, lower);
        let quoted = c == '"' && self.is(i + 1, upper);
        if !gap.closes {
            // Indented.
            let item = self.item(i).filter(|item| item.names);
            return upper(c)
                || item.is_some_and(|item| item.stop || prose || stop.is_some_and(letter))
                || quoted && stop == Some('.')
                || prose && lower(c)
                || stopped && digit(c) && !gap.blank;
        }
        let word = self.skip(i + 2);
        let named = self.is(i + 1, space) && self.is(word, letter);
        let bracket = self.digits(i + 1);
        let counted = bracket > i + 1 && self.at(bracket) == Some(')') && self.is(self.skip(bracket + 1), upper);
        let listed = match c {
            '-' => named || self.is(i + 1, letter),
            '*' | '#' => named,
            '+' => named && self.is(word, upper),
            '(' => counted || prose && gap.opens,
            _ => self.item(i).is_some(),
        };
        upper(c)
            || listed
            || quoted
            || gap.blank && !lower(c) && !matches!(c, '*' | '+' | '_' | '[')
            || stop == Some(':') && (digit(c) || self.was(before, 1, lower))
            || prose && lower(c)
            || stopped && digit(c)
    }

    /// The same for `c` at `i`, some spaces behind the last character `before` it.
    fn begins_inside(&self, i: usize, c: char, before: usize, spaces: usize) -> bool {
        let Some(stop) = self.at(before) else { return false };
        let was = |back, kind| self.was(before, back, kind);
        let stopped = stop == '.' && was(1, lower);
        let bracket = self.item(i).is_some_and(|item| !item.stop && item.names);
        let dashed = c == '-' && self.is(i + 1, space) && self.is(self.skip(i + 2), upper);
        match stop {
            '.' if upper(c) => {
                let counted = self.enumerator(before).is_some();
                let clear = stopped || was(1, |c| digit(c) || c == ')') && !counted;
                let capitals = (1..=3).all(|back| was(back, upper)) || was(1, space);
                clear || !counted && (capitals && self.is(i + 1, lower) || STARTERS.contains(&self.word(i)))
            }
            '.' if lower(c) => stopped && was(2, lower),
            '.' if digit(c) => {
                let single = self.digits(i) == i + 1 && self.at(i + 1) == Some('.');
                single && self.is(self.skip(i + 2), upper) || bracket && (stopped || spaces > 1)
            }
            '.' => c == '"' && self.is(i + 1, upper) || stopped && dashed,
            '"' => upper(c) && was(1, |c| c == '.') && was(2, lower),
            '?' | '!' => digit(c) || upper(c) && self.is(i + 1, lower),
            _ => bracket && (lower(stop) || spaces > 1) || lower(stop) && dashed,
        }
    }

    /// Whether a sentence may end with the character at `i`.
    fn ends(&self, i: usize) -> bool {
        let Some(c) = self.at(i).filter(|&c| !space(c)) else { return false };
        let next = self.skip(i + 1);
        if next == i + 1 || next == self.len() {
            return false;
        }
        let gap = self.gap(i + 1, next);
        let was = |back, kind| self.was(i, back, kind);
        let capital = self.is(next, upper);
        let numbered = self.item(next).is_some_and(|item| item.stop && item.names);
        let starter = STARTERS.contains(&self.word(next));
        match c {
            _ if self.heads(next, &HEADINGS) => true,
            '?' => was(1, |c| c.is_ascii_alphanumeric()),
            ':' if was(1, char::is_alphanumeric) => gap.breaks > 0,
            '"' if was(1, |c| c == '.') && was(2, lower) && capital => true,
            '.' if self.titled(i) => gap.opens,
            '.' if was(1, |c| c.is_alphanumeric() || matches!(c, ')' | ']')) => {
                let counted = self.enumerator(i) == Some(true) && gap.breaks == 0 && capital;
                !counted && (capital || self.at(i + 1) != Some('\t'))
            }
            '.' if was(1, space) && !gap.blank => {
                numbered || starter || gap.breaks == 0 && capital && self.is(next + 1, lower)
            }
            '.' => gap.blank || !gap.opens || gap.closes && numbered || starter,
            _ => self.ends_word(i, c, next, &gap),
        }
    }

    /// The same for `c` at `i`, which is no stop, before `next`.
    fn ends_word(&self, i: usize, c: char, next: usize, gap: &Gap) -> bool {
        let item = self.item(next);
        if gap.blank {
            let weak = lower(c) || matches!(c, ',' | ';' | ')');
            return !weak || !self.is(next, lower) && (item.is_some() || !self.is(next, digit));
        }
        if c.is_ascii_alphanumeric() && item.as_ref().is_some_and(|item| !item.stop && item.spaced) {
            return true;
        }
        let (capital, dash) = (self.is(next, upper), self.at(next) == Some('-'));
        let word = self.skip(next + 2);
        let named = self.is(next + 1, space) && self.is(word, letter);
        match (gap.breaks, gap.opens, gap.closes) {
            (0, ..) => lower(c) && dash && named && self.is(word, upper),
            (_, false, true) if dash || item.is_some() && c.is_ascii_alphanumeric() => true,
            (1, opens, closes) => {
                let open = closes && OPEN.contains(&self.last_word(i)) && !self.is(next + 1, upper);
                let worded = lower(c) && self.was(i, 1, lower) && !open;
                let listed = worded && closes && self.at(next) == Some('+') && self.is(word, upper);
                let headed = closes && self.at(next + self.word(next).chars().count()) == Some(':');
                let counted = item.is_some_and(|item| item.stop && item.names) || lower(c) && dash && named;
                worded && capital && (opens || closes) || listed || headed || opens && closes && counted
            }
            _ => false,
        }
    }

    /// The number of a list item at `i`, if there is one: "2. Heart", "12) heart", "3.Heart".
    fn item(&self, i: usize) -> Option<Item> {
        let end = self.digits(i);
        let mark = self.at(end).filter(|&c| end > i && matches!(c, '.' | ')'))?;
        let word = self.skip(end + 1);
        (mark != '.' || !self.is(end + 1, digit)).then(|| Item {
            stop: mark == '.',
            spaced: word > end + 1,
            names: word > end + 1 && self.is(word, upper),
        })
    }

    /// Whether the stop at `i` follows a number that begins its line or its sentence, and if so whether it is not
    /// indented.
    fn enumerator(&self, i: usize) -> Option<bool> {
        let start = (0..i).rev().find(|&j| !self.is(j, digit))? + 1;
        let before = (0..start).rev().find(|&j| !self.is(j, space))?;
        let gap = self.gap(before + 1, start);
        if start == i || gap.spaces == 0 {
            None
        } else if gap.breaks > 0 {
            Some(gap.closes)
        } else {
            (i == start + 1 && self.at(before) == Some('.')).then_some(true)
        }
    }

    /// Whether one of some headings stands at `i`, in capitals or with one.
    fn heads(&self, i: usize, headings: &[&str]) -> bool {
        let rest = &self.report.as_bytes()[self.byte(i)..];
        let alike = |heading: &&str| {
            rest.get(..heading.len()).is_some_and(|start| start.eq_ignore_ascii_case(heading.as_bytes()))
        };
        self.is(i, upper) && headings.iter().any(alike)
    }

    /// The word that begins at `i`.
    fn word(&self, i: usize) -> &'a str {
        let end = (i..self.len()).find(|&j| !self.is(j, char::is_alphanumeric)).unwrap_or(self.len());
        self.slice(i, end)
    }

    /// The word that ends at `i`.
    fn last_word(&self, i: usize) -> &'a str {
        let start = (0..=i).rev().find(|&j| !self.is(j, char::is_alphanumeric)).map_or(0, |j| j + 1);
        self.slice(start, i + 1)
    }

    /// Whether the stop at `i` belongs to a title, as in "by Dr. Smith".
    fn titled(&self, i: usize) -> bool {
        let Some(last) = i.checked_sub(1) else { return false };
        match self.last_word(last) {
            "Mr" | "Mrs" | "Ms" | "mr" | "mrs" | "ms" => true,
            "Dr" | "dr" => self.was(i, 3, |c| space(c) && !line_break(c)),
            _ => false,
        }
    }
}

/// The number of a list item.
struct Item {
    /// Whether a full stop marks it, and not a bracket.
    stop: bool,
    /// Whether white space follows the mark.
    spaced: bool,
    /// Whether a capital follows that.
    names: bool,
}

/// White space as the splitter's language counts it: Unicode's, and the four information separators.
fn space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

fn line_break(c: char) -> bool {
    matches!(c, '\n' | '\r')
}

fn lower(c: char) -> bool {
    c.is_ascii_lowercase()
}

fn upper(c: char) -> bool {
    c.is_ascii_uppercase()
}

fn digit(c: char) -> bool {
    c.is_ascii_digit()
}

fn letter(c: char) -> bool {
    c.is_ascii_alphabetic()
}

/// Words that begin a sentence after any full stop.
const STARTERS: [&str; 19] = [
    "The",
    "This",
    "That",
    "These",
    "There",
    "Then",
    "I",
    "He",
    "She",
    "We",
    "They",
    "My",
    "His",
    "Her",
    "Our",
    "Their",
    "But",
    "Now",
    "Discharge",
];

/// Headings before which a sentence ends wherever they stand; the first one begins a sentence, too.
const HEADINGS: [&str; 4] = ["FINDINGS:", "INDICATION:", "REASON:", "REASON FOR"];

/// Words that do not end a sentence at the end of a line.
const OPEN: [&str; 6] = ["the", "The", "in", "for", "or", "No"];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::split;
    use addendum_fixtures::fixture;

    #[derive(Deserialize)]
    struct Case {
        text: String,
        sentences: Vec<String>,
    }

    /// Fails unless 19 of 20 texts are cut as the reference cuts them.
    fn agree(cases: &[u8]) {
        let cases: Vec<Case> = serde_json::from_slice(cases).unwrap();
        let wrong: Vec<_> = cases.iter().filter(|case| split(&case.text) != case.sentences).collect();
        for case in &wrong {
            eprintln!("{:?}\n  cut as {:?}\n  not as {:?}", case.text, split(&case.text), case.sentences);
        }
        assert!(20 * wrong.len() <= cases.len(), "{} of {} texts are cut differently", wrong.len(), cases.len());
    }

    #[test]
    fn parity_sentences_of_the_score_agree_in_nineteen_of_twenty_texts() {
        agree(&fixture("rewards/rate/sentence_split.json"));
    }

    #[test]
    fn parity_sentences_of_texts_that_the_splitter_was_not_made_with_agree_as_often() {
        agree(include_bytes!("../../../../tests/fixtures/rewards/rate/held_out_sentences.json"));
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
