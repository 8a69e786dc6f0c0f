//! Cuts reports into sentences as the published RaTEScore does, which takes medspaCy's splitter (RuSH, Shi et al. 2016).
//!
//! That one finds characters where a sentence may begin and where one may end, and pairs them ([`sentences`]); then it cuts
//! before the token that follows ([`cuts`]). The score depends on where its sentences are cut. [`addendum_rewards::sentences`] is the
//! better splitter for every other purpose.

mod characters;
mod clues;
mod tokens;

use std::ops::Range;

use characters::space;
use clues::Mark;
use tokens::tokens;

/// Words that no sentence covers make one if they are longer than this, else they belong to the one before them.
const SHORTEST: usize = 5;

/// The score ignores sentences of fewer characters.
const IGNORED: usize = 3;

/// The sentences of a report, trimmed, in order.
pub(super) fn split(report: &str) -> Vec<&str> {
    let text: Vec<char> = report.chars().collect();
    let bytes: Vec<usize> = report.char_indices().map(|(byte, _)| byte).chain([report.len()]).collect();
    let mut cuts = cuts(&text, &sentences(&text));
    cuts.insert(0, 0);
    cuts.push(text.len());
    let pieces = cuts.windows(2).map(|cut| report[bytes[cut[0]]..bytes[cut[1]]].trim_matches(space));
    pieces.filter(|piece| piece.chars().count() >= IGNORED).collect()
}

/// Pairs beginnings with ends, as RuSH does.
///
/// A sentence that has ended goes on while ends follow and no beginning does; one that has not, beyond further
/// beginnings. The very last end is taken even by a sentence that another beginning parts from it.
fn sentences(text: &[char]) -> Vec<Range<usize>> {
    let [begins, ends] = clues::find(text);
    let mut found: Vec<Range<usize>> = Vec::new();
    let (mut first, mut covered) = (0, 0);
    let mut open = None;
    for (i, begin) in begins.iter().map(|mark| mark.begin).enumerate() {
        if begin < covered {
            continue;
        }
        let next = begins.get(i + 1).map(|mark| mark.begin);
        let start = *open.get_or_insert(begin);
        cover(text, &mut found, start);
        for (k, end) in ends.iter().enumerate().skip(first) {
            if k + 1 < ends.len() && next.is_some_and(|next| next <= end.begin) {
                break;
            }
            (covered, first) = (trimmed(text, end), k);
            if covered < start {
                continue;
            }
            if open.take().is_some() {
                found.push(start..covered);
                let more = |next: usize| ends.get(k + 1).is_some_and(|end| next > end.end);
                if next.is_some_and(|next| !more(next)) {
                    break;
                }
            } else if let Some(last) = found.last_mut() {
                *last = start..covered;
            }
        }
    }
    if let (Some(head), Some(sentence)) = (found.first().and_then(|s| trim(text, 0, s.start)), found.first_mut()) {
        if ends.first().is_none_or(|end| sentence.start <= end.begin) {
            sentence.start = head.start;
        } else {
            found.insert(0, head);
        }
    }
    cover(text, &mut found, text.len());
    found
}

/// Behind the first character of a mark, or behind what stands before the white space there.
fn trimmed(text: &[char], end: &Mark) -> usize {
    let reach = &text[..text.len().min(end.begin + 1)];
    reach.iter().rposition(|&c| !space(c)).map_or(0, |last| last + 1)
}

/// Gives the words between the last sentence and `to` to a sentence.
fn cover(text: &[char], found: &mut Vec<Range<usize>>, to: usize) {
    let Some(rest) = trim(text, found.last().map_or(0, |last| last.end), to) else { return };
    if rest.len() > SHORTEST {
        found.push(rest);
    } else if let Some(last) = found.last_mut() {
        last.end = rest.end;
    }
}

/// What is left of some characters without white space before and without what cannot end a sentence behind.
fn trim(text: &[char], from: usize, to: usize) -> Option<Range<usize>> {
    let start = (from..to).find(|&i| !space(text[i]))?;
    let end = (start + 1..to).rev().find(|&i| text[i].is_alphanumeric() || ".!?)]\"".contains(text[i]))?;
    Some(start..end + 1)
}

/// Where the tokens begin before which the text is cut, at a sentence's beginning, behind its end, and before white space
/// that no sentence holds.
fn cuts(text: &[char], sentences: &[Range<usize>]) -> Vec<usize> {
    let tokens = tokens(text);
    let mut cuts = Vec::new();
    let mut k = 0;
    let mut t = 0;
    while t < tokens.len() {
        let at = tokens[t];
        if let [this, next, ..] = sentences.get(k..).unwrap_or_default()
            && (this.end..next.start).contains(&at)
        {
            let gap = tokens[t..].partition_point(|&token| token < next.start);
            let gap = &tokens[t..t + gap];
            cuts.push(*gap.iter().find(|&&token| space(text[token])).unwrap_or(&at));
            t += gap.len();
            continue;
        }
        while sentences.get(k).is_some_and(|sentence| at >= sentence.end) {
            k += 1;
        }
        match sentences.get(k) {
            None if space(text[at]) => cuts.push(at),
            Some(sentence) if at >= sentence.start => {
                if at == sentence.start {
                    cuts.push(at);
                }
                cuts.extend(tokens.get(t + 1).filter(|&&next| next >= sentence.end));
            }
            _ => {}
        }
        t += 1;
    }
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::{space, split};
    use addendum_fixtures::fixture;

    #[derive(Deserialize)]
    struct Case {
        text: String,
        sentences: Vec<String>,
    }

    /// Fails unless 999 of 1000 texts are cut as the reference cuts them.
    fn agree(cases: &[u8]) {
        let cases: Vec<Case> = serde_json::from_slice(cases).unwrap();
        let wrong: Vec<_> = cases.iter().filter(|case| split(&case.text) != case.sentences).collect();
        for case in &wrong {
            eprintln!("{:?}\n  cut as {:?}\n  not as {:?}", case.text, split(&case.text), case.sentences);
        }
        assert!(1000 * wrong.len() <= cases.len(), "{} of {} texts are cut differently", wrong.len(), cases.len());
    }

    #[test]
    fn parity_sentences_of_the_score_are_the_references() {
        agree(&fixture("rewards/rate/sentence_split.json"));
    }

    #[test]
    fn parity_sentences_of_generated_reports_are_the_references() {
        agree(include_bytes!("../../../../tests/fixtures/rewards/rate/held_out_sentences.json"));
    }

    #[test]
    fn parity_sentences_of_texts_as_bad_as_text_gets_are_the_references() {
        agree(include_bytes!("../../../../tests/fixtures/rewards/rate/medspacy_cuts.json"));
    }

    #[test]
    fn titles_within_a_sentence_do_not_end_it() {
        assert_eq!(
            split("Discussed with Dr. Smith. Heart is large."),
            ["Discussed with Dr. Smith.", "Heart is large."]
        );
    }

    #[test]
    fn a_long_line_takes_no_more_than_its_length() {
        for piece in ["((((:)))", "heart ", "A. ", "1) ", "\n", "é", "Heart is large. ", "**", "a.b:c/d-e"] {
            let text = piece.repeat(20_000);
            let begin = std::time::Instant::now();
            split(&text);
            assert!(begin.elapsed().as_secs() < 20, "{piece:?}: {:?}", begin.elapsed());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn pieces_are_trimmed_in_order_and_never_panic(text in "[A-Za-z0-9 .!?\n\r,:)(\"。é•\\\\+*-]{0,60}") {
            let mut at = 0;
            for sentence in split(&text) {
                prop_assert_eq!(sentence, sentence.trim_matches(space));
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
