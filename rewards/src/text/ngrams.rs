//! Counts of word sequences, which BLEU and CIDEr compare.

use std::collections::BTreeMap;

/// The longest sequence that is counted, in words.
pub(super) const LONGEST: usize = 4;

/// How often each sequence of 1 to [`LONGEST`] words occurs.
pub(super) type Counts<'a> = BTreeMap<&'a [&'a str], usize>;

pub(super) fn count<'a>(words: &'a [&'a str]) -> Counts<'a> {
    let mut counts = Counts::new();
    for length in 1..=LONGEST {
        for sequence in words.windows(length) {
            *counts.entry(sequence).or_default() += 1;
        }
    }
    counts
}
