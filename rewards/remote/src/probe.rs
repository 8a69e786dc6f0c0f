//! A fixed question by which servers are told apart: those of one service answer it alike.

use serde::Serialize;

use super::{Malformed, Node};

/// How far apart the same models may be on different machines.
const ROUNDING: f64 = 1e-3;

type Read = dyn Fn(Node<'_>) -> Result<Vec<f64>, Malformed> + Send + Sync;

/// A question, and what of its answer must be the same on all servers.
pub(super) struct Probe {
    pub body: Vec<u8>,
    pub read: Box<Read>,
}

/// How one answer differs from another.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Difference {
    None,
    /// By no more than this, as other machines round.
    Rounding(f64),
    /// What each says, first the one that is compared, where they differ most.
    Models(String, String),
}

impl Probe {
    pub fn new(
        question: &impl Serialize,
        read: impl Fn(Node<'_>) -> Result<Vec<f64>, Malformed> + Send + Sync + 'static,
    ) -> Self {
        // What cannot be written is an empty body, which servers refuse with their reason.
        Self { body: serde_json::to_vec(question).unwrap_or_default(), read: Box::new(read) }
    }
}

/// Compares what two servers answered.
pub(super) fn compare(theirs: &[f64], ours: &[f64]) -> Difference {
    if theirs.len() != ours.len() {
        return Difference::Models(format!("{} numbers", theirs.len()), format!("{} numbers", ours.len()));
    }
    let apart = |(a, b): &(&f64, &f64)| (*a - *b).abs();
    let Some(most) = theirs.iter().zip(ours).max_by(|a, b| apart(a).total_cmp(&apart(b))) else {
        return Difference::None;
    };
    match apart(&most) {
        0.0 => Difference::None,
        by if by <= ROUNDING => Difference::Rounding(by),
        _ => Difference::Models(most.0.to_string(), most.1.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_told_apart_and_rounding_is_told() {
        assert_eq!(compare(&[0.5, 0.25], &[0.5, 0.25]), Difference::None);
        assert_eq!(compare(&[], &[]), Difference::None);
        assert_eq!(compare(&[0.5, 0.25], &[0.5, 0.25 + 0.5f64.powi(20)]), Difference::Rounding(0.5f64.powi(20)));
        let models = |a: &str, b: &str| Difference::Models(a.into(), b.into());
        assert_eq!(compare(&[0.51, 0.25], &[0.5, 0.75]), models("0.25", "0.75"));
        assert_eq!(compare(&[0.5], &[0.5, 0.75]), models("1 numbers", "2 numbers"));
        assert!(matches!(compare(&[f64::NAN], &[0.5]), Difference::Models(..)));
    }
}
