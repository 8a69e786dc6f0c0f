//! Queries, keys and values as slices.

use std::ops::Range;

use crate::views::Mat;

/// Sizes of one call.
#[derive(Clone, Copy)]
pub struct Dims {
    pub heads: usize,
    pub kv_heads: usize,
    pub dim: usize,
}

impl Dims {
    /// Query heads that share a key head.
    pub fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    pub fn scale(&self) -> f32 {
        1.0 / (self.dim as f32).sqrt()
    }
}

/// Queries, keys or values: head `h` of token `t` is the `dim` values from `t * stride + h * dim` on.
#[derive(Clone, Copy)]
pub struct Heads<'a> {
    pub data: &'a [f32],
    pub stride: usize,
    pub dim: usize,
}

impl<'a> Heads<'a> {
    /// Tokens `range` of head `h`.
    pub fn rows(self, h: usize, range: &Range<usize>) -> Mat<'a> {
        Mat::strided(&self.data[range.start * self.stride + h * self.dim..], range.len(), self.dim, self.stride)
    }

    /// `count` heads of one token from head `h` on, a row each.
    pub fn of_token(self, token: usize, h: usize, count: usize) -> Mat<'a> {
        Mat::new(&self.data[token * self.stride + h * self.dim..], count, self.dim)
    }

    pub fn at(self, token: usize, h: usize) -> &'a [f32] {
        &self.data[token * self.stride + h * self.dim..][..self.dim]
    }
}

/// What attention is computed from.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    pub q: Heads<'a>,
    pub k: Heads<'a>,
    pub v: Heads<'a>,
}
