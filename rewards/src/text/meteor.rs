//! METEOR (Denkowski and Lavie 2014) with its exact and stem matchers, against one reference.
//!
//! The published program also matches synonyms and paraphrases and has a list of function words, all from data of its
//! own. Here there are no such tables and the function words are a short list, so values agree with the program's where
//! words match exactly and otherwise tend to be lower.

use std::cmp::Reverse;

use super::{stem::stem, words::words};

/// Parameters of METEOR 1.5 for English.
const ALPHA: f64 = 0.85;
const BETA: f64 = 0.2;
const GAMMA: f64 = 0.6;
const DELTA: f64 = 0.75;
const STEM_WEIGHT: f64 = 0.6;

/// Partial alignments that are kept from word to word. No more than so many ways to go on from one of them can be among
/// them, so that the time grows with the product of the texts' lengths.
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

/// The score of one pair of [normalised](super::caption) reports, in [0, 1]; 1 for a text of at least one word and itself.
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

/// A word of the reference that matches the word being read.
struct Candidate<'a> {
    other: usize,
    token: &'a Token<'a>,
    weight: f64,
}

/// Matches, chunks and distance.
type Rank = (Reverse<usize>, usize, usize);

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
    fn rank(&self) -> Rank {
        (Reverse(self.matches), self.chunks, self.distance)
    }

    /// The rank once word `at` is matched with word `other` of the reference.
    fn rank_with(&self, at: usize, other: usize) -> Rank {
        let apart = self.last.is_none_or(|last| last + 1 != other);
        (Reverse(self.matches + 1), self.chunks + usize::from(apart), self.distance + at.abs_diff(other))
    }

    fn with(&self, at: usize, ours: &Token, candidate: &Candidate) -> Self {
        let &Candidate { other, token, weight } = candidate;
        let (Reverse(matches), chunks, distance) = self.rank_with(at, other);
        let mut taken = self.taken.clone();
        taken[other] = true;
        Self {
            matches,
            chunks,
            distance,
            hypothesis_weight: self.hypothesis_weight + weight * ours.weight,
            reference_weight: self.reference_weight + weight * token.weight,
            last: Some(other),
            taken,
        }
    }

    /// The best [`BEAM`] ways to match word `at`, as indices into the candidates, which are in order of their positions:
    /// the neighbour of the last match, then the free ones from near to far.
    fn ways(&self, at: usize, candidates: &[Candidate]) -> Vec<usize> {
        let free = |i: &usize| !self.taken[candidates[*i].other];
        let next =
            self.last.and_then(|last| candidates.binary_search_by_key(&(last + 1), |c| c.other).ok()).filter(free);
        let split = candidates.partition_point(|candidate| candidate.other < at);
        let mut left = (0..split).rev().filter(free).peekable();
        let mut right = (split..candidates.len()).filter(free).peekable();
        let nearest = std::iter::from_fn(|| match (left.peek(), right.peek()) {
            (Some(&l), Some(&r)) if at - candidates[l].other <= candidates[r].other - at => left.next(),
            (Some(_), None) => left.next(),
            _ => right.next(),
        });
        next.into_iter().chain(nearest.filter(|&i| Some(i) != next)).take(BEAM).collect()
    }
}

/// The best alignment that a beam search finds; an alignment of a text with itself is always kept.
fn align(hypothesis: &[Token], reference: &[Token]) -> Alignment {
    let mut beam = vec![Alignment { taken: vec![false; reference.len()], ..Alignment::default() }];
    for (at, ours) in hypothesis.iter().enumerate() {
        let candidates: Vec<Candidate> = (reference.iter().enumerate())
            .filter_map(|(other, token)| Some(Candidate { other, token, weight: match_weight(ours, token)? }))
            .collect();
        let mut ways: Vec<(Rank, &Alignment, Option<&Candidate>)> = Vec::new();
        for partial in &beam {
            let matched = partial.ways(at, &candidates).into_iter().map(|i| &candidates[i]);
            ways.extend(matched.map(|candidate| (partial.rank_with(at, candidate.other), partial, Some(candidate))));
        }
        ways.extend(beam.iter().map(|partial| (partial.rank(), partial, None)));
        ways.sort_by_key(|(rank, ..)| *rank);
        ways.truncate(BEAM);
        let step = |(_, partial, candidate): (Rank, &Alignment, Option<&Candidate>)| match candidate {
            Some(candidate) => partial.with(at, ours, candidate),
            None => Alignment { last: None, ..partial.clone() },
        };
        beam = ways.into_iter().map(step).collect();
    }
    beam.into_iter().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
    fn a_word_repeated_three_thousand_times_is_aligned() {
        let text = "effusion ".repeat(3000);
        assert_eq!(score(&text, &text), 1.);
    }

    /// The same search over every way.
    fn align_plainly(hypothesis: &[Token], reference: &[Token]) -> Alignment {
        let mut beam = vec![Alignment { taken: vec![false; reference.len()], ..Alignment::default() }];
        for (at, ours) in hypothesis.iter().enumerate() {
            let mut next = Vec::new();
            for partial in &beam {
                for (other, token) in reference.iter().enumerate().filter(|(other, _)| !partial.taken[*other]) {
                    if let Some(weight) = match_weight(ours, token) {
                        next.push(partial.with(at, ours, &Candidate { other, token, weight }));
                    }
                }
            }
            next.extend(beam.into_iter().map(|partial| Alignment { last: None, ..partial }));
            next.sort_by_key(Alignment::rank);
            next.truncate(BEAM);
            beam = next;
        }
        beam.remove(0)
    }

    fn text() -> impl Strategy<Value = String> {
        let word = prop::sample::select(vec!["no", "effusion", "effusions", "left"]);
        prop::collection::vec(word, 0..120).prop_map(|words| words.join(" "))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn the_bounded_search_finds_what_the_search_over_every_way_finds(hypothesis in text(), reference in text()) {
            let (hypothesis, reference) = (tokens(&hypothesis), tokens(&reference));
            let (got, plain) = (align(&hypothesis, &reference), align_plainly(&hypothesis, &reference));
            prop_assert_eq!(got.rank(), plain.rank());
            prop_assert_eq!(got.taken, plain.taken);
            prop_assert_eq!(got.hypothesis_weight, plain.hypothesis_weight);
            prop_assert_eq!(got.reference_weight, plain.reference_weight);
        }
    }

    #[test]
    fn words_in_another_order_score_less() {
        assert!(score("lungs are clear heart is large", "heart is large lungs are clear") < 1.);
    }
}
