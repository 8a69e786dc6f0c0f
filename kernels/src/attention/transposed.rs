//! Keys or values of every head in the order in which products with many queries read them.

use std::ops::Range;

use rayon::prelude::*;

use super::heads::{Dims, Heads};
use crate::{threads::threads, views::Mat};

/// Tokens that are copied together, so that they are still in the cache when their next value is.
const TOKENS: usize = 16;

/// `[kv_heads, D, tokens]`
pub struct Transposed {
    data: Vec<f32>,
    dim: usize,
    tokens: Range<usize>,
}

impl Transposed {
    /// Of the tokens in the range.
    pub fn new(d: &Dims, heads: Heads, tokens: Range<usize>) -> Self {
        let (dim, count) = (d.dim, tokens.len());
        let mut data = vec![0f32; d.kv_heads * dim * count];
        let head = |(h, head): (usize, &mut [f32])| {
            for first in (0..count).step_by(TOKENS) {
                let some = first..count.min(first + TOKENS);
                for (i, row) in head.chunks_exact_mut(count).enumerate() {
                    for (t, value) in (tokens.start + first..).zip(&mut row[some.clone()]) {
                        *value = heads.data[t * heads.stride + h * dim + i];
                    }
                }
            }
        };
        // Without tokens there is nothing to divide into heads.
        let size = (dim * count).max(1);
        if threads() > 1 {
            data.par_chunks_exact_mut(size).enumerate().for_each(head);
        } else {
            data.chunks_exact_mut(size).enumerate().for_each(head);
        }
        Self { data, dim, tokens }
    }

    /// `[D, range]` of a head.
    pub fn columns(&self, h: usize, range: &Range<usize>) -> Mat<'_> {
        let (count, first) = (self.tokens.len(), range.start - self.tokens.start);
        Mat::strided(&self.data[h * self.dim * count + first..], self.dim, range.len(), count)
    }
}
