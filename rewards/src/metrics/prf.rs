//! Precision, recall and F1 of counts.

/// Precision, recall and their harmonic mean; 0 wherever a denominator is 0 (scikit-learn's `zero_division=0`).
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Prf {
    /// Hits per positive of the hypothesis, in [0, 1].
    pub precision: f64,
    /// Hits per positive of the reference, in [0, 1].
    pub recall: f64,
    /// Their harmonic mean, in [0, 1].
    pub f1: f64,
}

impl Prf {
    /// From counts: true positives, positives of the hypothesis, positives of the reference.
    pub fn of_counts(hits: usize, hypothesis: usize, reference: usize) -> Self {
        let ratio = |a: usize, b: usize| if b == 0 { 0. } else { a as f64 / b as f64 };
        let (precision, recall) = (ratio(hits, hypothesis), ratio(hits, reference));
        Self { precision, recall, f1: ratio(2 * hits, hypothesis + reference) }
    }
}
