//! METEOR (Denkowski and Lavie 2014) with its exact and stem matchers, against one reference.
//!
//! The published program also matches synonyms and paraphrases and has a list of function words, all from data of its
//! own. Here there are no such tables and the function words are a short list, so values agree with the program's where
//! words match exactly and otherwise tend to be lower.

use super::{stem, words};

/// Parameters of METEOR 1.5 for English.
const ALPHA: f64 = 0.85;
const BETA: f64 = 0.2;
const GAMMA: f64 = 0.6;
const DELTA: f64 = 0.75;
const STEM_WEIGHT: f64 = 0.6;

/// Partial alignments that are kept from word to word.
const BEAM: usize = 40;

/// Words so common that they count less.
#[rustfmt::skip]
const FUNCTION_WORDS: &[&str] = &[
    "a", "about", "after", "all", "also", "an", "and", "any", "are", "as", "at", "be", "because", "been", "but", "by",
    "can", "could", "do", "for", "from", "had", "has", "have", "he", "her", "his", "i", "if", "in", "into", "is", "it",
    "its", "more", "most", "my", "no", "not", "of", "on", "one", "only", "or", "other", "our", "out", "over", "she", "so",
    "some", "such", "than", "that", "the", "their", "them", "then", "there", "these", "they", "this", "those", "to", "up",
    "was", "we", "were", "what", "when", "which", "who", "will", "with", "would", "you",
];

struct Token<'a> {
    word: &'a str,
    stem: String,
    weight: f64,
}

/// The score of one pair of [normalised](super::normalise) reports, in [0, 1]; 1 for a text of at least one word and itself.
/// The corpus's score is the mean.
pub fn score(hypothesis: &str, reference: &str) -> f64 {
    let (hypothesis, reference) = (tokens(hypothesis), tokens(reference));
    let alignment = align(&hypothesis, &reference);
    let weight = |tokens: &[Token]| tokens.iter().map(|token| token.weight).sum::<f64>();
    if alignment.matches == 0 {
        return 0.;
    }
    let precision = alignment.hypothesis_weight / weight(&hypothesis);
    let recall = alignment.reference_weight / weight(&reference);
    let mean = precision * recall / (ALPHA * precision + (1. - ALPHA) * recall);
    let whole = alignment.matches == hypothesis.len() && alignment.matches == reference.len() && alignment.chunks == 1;
    let fragments = if whole { 0. } else { alignment.chunks as f64 / alignment.matches as f64 };
    mean * (1. - GAMMA * fragments.powf(BETA))
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let weight = |word: &str| if FUNCTION_WORDS.binary_search(&word).is_ok() { 1. - DELTA } else { DELTA };
    words(text).map(|word| Token { word, stem: stem(word), weight: weight(word) }).collect()
}

/// How well a word matches another; nothing if it does not.
fn match_weight(a: &Token, b: &Token) -> Option<f64> {
    if a.word == b.word {
        Some(1.)
    } else if a.stem == b.stem {
        Some(STEM_WEIGHT)
    } else {
        None
    }
}

/// An alignment of the words read so far.
#[derive(Clone, Default)]
struct Alignment {
    matches: usize,
    /// Runs of matches that are neighbours, in the same order, on both sides.
    chunks: usize,
    /// Sum of the distances between matched positions.
    distance: usize,
    hypothesis_weight: f64,
    reference_weight: f64,
    /// Where the word before was matched.
    last: Option<usize>,
    taken: Vec<bool>,
}

impl Alignment {
    /// Better alignments first: more matches, then fewer chunks, then shorter distances.
    fn rank(&self) -> (std::cmp::Reverse<usize>, usize, usize) {
        (std::cmp::Reverse(self.matches), self.chunks, self.distance)
    }

    fn with(&self, at: usize, ours: &Token, other: usize, theirs: &Token, weight: f64) -> Self {
        let mut next = self.clone();
        next.matches += 1;
        next.chunks += usize::from(self.last.is_none_or(|last| last + 1 != other));
        next.distance += at.abs_diff(other);
        next.hypothesis_weight += weight * ours.weight;
        next.reference_weight += weight * theirs.weight;
        next.last = Some(other);
        next.taken[other] = true;
        next
    }
}

/// The best alignment that a beam search finds; an alignment of a text with itself is always kept.
fn align(hypothesis: &[Token], reference: &[Token]) -> Alignment {
    let mut beam = vec![Alignment { taken: vec![false; reference.len()], ..Alignment::default() }];
    for (at, ours) in hypothesis.iter().enumerate() {
        let candidates: Vec<(usize, &Token, f64)> = (reference.iter().enumerate())
            .filter_map(|(other, theirs)| Some((other, theirs, match_weight(ours, theirs)?)))
            .collect();
        let mut next = Vec::with_capacity(beam.len());
        for partial in &beam {
            for &(other, theirs, weight) in candidates.iter().filter(|(other, ..)| !partial.taken[*other]) {
                next.push(partial.with(at, ours, other, theirs, weight));
            }
        }
        next.extend(beam.into_iter().map(|partial| Alignment { last: None, ..partial }));
        next.sort_by_key(Alignment::rank);
        next.truncate(BEAM);
        beam = next;
    }
    beam.into_iter().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn function_words_are_in_the_order_that_the_search_needs() {
        assert!(FUNCTION_WORDS.is_sorted());
    }

    #[test]
    fn a_stem_match_counts_less_than_a_word_and_more_than_nothing() {
        let score = |hypothesis| score(hypothesis, "small nodule");
        assert!(score("small nodule") > score("small nodules"));
        assert!(score("small nodules") > score("small mass"));
    }

    #[test]
    fn words_in_another_order_score_less() {
        assert!(score("lungs are clear heart is large", "heart is large lungs are clear") < 1.);
    }
}
