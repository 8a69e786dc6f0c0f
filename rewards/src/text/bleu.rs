//! BLEU-1 to BLEU-4 (Papineni et al. 2002) against one reference, with the smoothing of the COCO caption evaluation.

use std::iter::Sum;

use super::{
    ngrams::{self, LONGEST},
    words::words,
};

/// Keeps a precision without matches above zero.
const TINY: f64 = 1e-15;
/// Keeps a denominator above zero.
const SMALL: f64 = 1e-9;

/// What BLEU needs to know of a pair, or of a corpus: counts add up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Words of the hypothesis and of the reference.
    hypothesis: usize,
    reference: usize,
    /// Sequences of one to four words in the hypothesis, and how many of them the reference has too.
    guessed: [usize; LONGEST],
    matched: [usize; LONGEST],
}

impl Counts {
    /// Of one pair of [normalised](super::caption) reports.
    pub fn of(hypothesis: &str, reference: &str) -> Self {
        let hypothesis: Vec<&str> = words(hypothesis).collect();
        let reference: Vec<&str> = words(reference).collect();
        let mut counts = Self { hypothesis: hypothesis.len(), reference: reference.len(), ..Self::default() };
        for (slot, length) in counts.guessed.iter_mut().zip(1..) {
            *slot = (hypothesis.len() + 1).saturating_sub(length);
        }
        let theirs = ngrams::count(&reference);
        for (sequence, count) in ngrams::count(&hypothesis) {
            counts.matched[sequence.len() - 1] += count.min(theirs.get(sequence).copied().unwrap_or(0));
        }
        counts
    }

    /// BLEU-1 to BLEU-4, each in [0, 1]; 1 less a billionth for a text of four words or more and itself.
    pub fn scores(&self) -> [f64; LONGEST] {
        let ratio = (self.hypothesis as f64 + TINY) / (self.reference as f64 + SMALL);
        let brevity = if ratio < 1. { (1. - 1. / ratio).exp() } else { 1. };
        let mut product = 1.;
        std::array::from_fn(|k| {
            product *= (self.matched[k] as f64 + TINY) / (self.guessed[k] as f64 + SMALL);
            product.powf(1. / (k + 1) as f64) * brevity
        })
    }
}

impl Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |mut sum, one| {
            sum.hypothesis += one.hypothesis;
            sum.reference += one.reference;
            for k in 0..LONGEST {
                sum.guessed[k] += one.guessed[k];
                sum.matched[k] += one.matched[k];
            }
            sum
        })
    }
}
