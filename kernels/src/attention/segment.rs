//! Which keys a run of queries sees.

use std::ops::Range;

use candle_core::{Result, bail};

/// A run of queries and the keys it sees: all of `before`, then `own`, causally if asked to (the last query sees all of
/// `own`, each earlier one a key less).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Rows of the tensor of queries.
    pub query: Range<usize>,
    /// What the whole run goes on from: a prompt, and the shared beginnings of responses.
    pub before: Vec<Range<usize>>,
    /// Rows of the tensors of keys and values that belong to the run itself.
    pub own: Range<usize>,
    /// Whether a query sees only those of `own` that do not come after it.
    pub causal: bool,
}

impl Segment {
    /// A run that sees itself only.
    pub fn alone(tokens: Range<usize>, causal: bool) -> Self {
        Self { query: tokens.clone(), before: vec![], own: tokens, causal }
    }

    /// Keys of `own` that query `j` of the segment sees.
    pub(super) fn seen(&self, j: usize) -> usize {
        if self.causal { self.own.len() + j + 1 - self.query.len() } else { self.own.len() }
    }

    /// Keys that all queries see.
    pub(super) fn shared(&self) -> usize {
        self.before.iter().map(Range::len).sum()
    }
}

/// The segments with queries, by their first query.
pub(super) fn in_order(segments: &[Segment]) -> Vec<&Segment> {
    let mut order: Vec<_> = segments.iter().filter(|s| !s.query.is_empty()).collect();
    order.sort_unstable_by_key(|s| s.query.start);
    order
}

/// Refuses segments that reach beyond the tensors, share a query or have a query without a key.
pub(crate) fn check(segments: &[Segment], queries: usize, keys: usize) -> Result<()> {
    for s in segments.iter() {
        let ends = s.query.end <= queries && s.own.end <= keys && s.before.iter().all(|range| range.end <= keys);
        let seen = s.shared() + s.own.len() > 0 || s.query.is_empty();
        if !ends || !seen || (s.causal && s.own.len() < s.query.len()) {
            bail!("attention: segment {s:?} does not fit {queries} queries and {keys} keys");
        }
    }
    match in_order(segments).windows(2).find(|pair| pair[1].query.start < pair[0].query.end) {
        Some(pair) => bail!("attention: segments {:?} and {:?} share queries", pair[0], pair[1]),
        None => Ok(()),
    }
}
