//! Reports without meaning but of the usual length: about 8 sentences of 4 to 14 words.
//!
//! Words are random and no sentence occurs twice, so that nothing is won by reading equal sentences once, as it would be
//! with real reports.

use std::collections::BTreeSet;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Of the vocabulary that sentences are drawn from.
const WORDS: usize = 4000;

/// What WordPiece cuts from a word: every third word is its first letters and a rest.
const WHOLE: usize = 3;

/// A reference and the reports that are scored against it.
#[derive(Serialize, Deserialize)]
pub struct Group {
    pub reference: String,
    pub reports: Vec<String>,
}

/// The words of all reports and how they are cut into tokens.
pub struct Language {
    words: Vec<String>,
}

impl Language {
    pub fn new(rng: &mut ChaCha8Rng) -> Self {
        let mut words = BTreeSet::new();
        while words.len() < WORDS {
            let letters = rng.random_range(5..11);
            words.insert((0..letters).map(|_| rng.random_range('a'..='z')).collect::<String>());
        }
        Self { words: words.into_iter().collect() }
    }

    /// The pieces of all words, each once. A third of the words has two pieces.
    pub fn pieces(&self) -> impl Iterator<Item = String> {
        let mut pieces = BTreeSet::new();
        for (i, word) in self.words.iter().enumerate() {
            if i % WHOLE == 0 {
                let (first, rest) = word.split_at(word.len() / 2);
                pieces.extend([first.to_string(), format!("##{rest}")]);
            } else {
                pieces.insert(word.clone());
            }
        }
        pieces.into_iter()
    }

    fn sentence(&self, rng: &mut ChaCha8Rng) -> String {
        let words: Vec<&str> =
            (0..rng.random_range(4..15)).map(|_| self.words[rng.random_range(0..WORDS)].as_str()).collect();
        let mut text = words.join(" ");
        text[..1].make_ascii_uppercase();
        text + "."
    }

    fn report(&self, rng: &mut ChaCha8Rng) -> String {
        (0..rng.random_range(5..12)).map(|_| self.sentence(rng)).collect::<Vec<_>>().join(" ")
    }

    pub fn group(&self, reports: usize, rng: &mut ChaCha8Rng) -> Group {
        Group { reference: self.report(rng), reports: (0..reports).map(|_| self.report(rng)).collect() }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn no_sentence_comes_twice_and_every_word_has_its_pieces() {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let language = Language::new(&mut rng);
        let pieces: BTreeSet<String> = language.pieces().collect();
        let group = language.group(10, &mut rng);
        let mut sentences = BTreeSet::new();
        for report in group.reports.iter().chain([&group.reference]) {
            for sentence in report.trim_end_matches('.').split(". ") {
                assert!(sentences.insert(sentence.to_string()), "{sentence}");
                for word in sentence.to_lowercase().split(' ') {
                    let cut = (1..word.len()).map(|at| word.split_at(at));
                    let known = |(a, b): (&str, &str)| pieces.contains(a) && pieces.contains(&format!("##{b}"));
                    assert!(pieces.contains(word) || cut.into_iter().any(known), "{word}");
                }
            }
        }
    }
}
