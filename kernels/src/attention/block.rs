//! A block of queries of one head: its softmax weights, what they make of the values, and the gradients.

use std::ops::Range;

use candle_core::{Result, Shape};
use gemm::Parallelism;

use super::segment::Segment;
use crate::{
    product::{by_rows, matmul},
    vector::{dot, softmax, vectorised},
    views::{Mat, MatMut},
};

/// Queries whose scores exist at the same time.
const BLOCK: usize = 64;

/// Sizes and strides of one call.
#[derive(Clone, Copy)]
pub struct Dims {
    pub queries: usize,
    pub keys: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub dim: usize,
    scale: f32,
}

impl Dims {
    pub fn new(q: &Shape, k: &Shape) -> Result<Self> {
        let ((queries, heads, dim), (keys, kv_heads, _)) = (q.dims3()?, k.dims3()?);
        Ok(Self { queries, keys, heads, kv_heads, dim, scale: 1.0 / (dim as f32).sqrt() })
    }

    /// Query heads that share a key head.
    pub fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    /// Rows `range` of head `h` of a `[_, heads, D]` tensor.
    fn rows<'a>(&self, data: &'a [f32], heads: usize, h: usize, range: Range<usize>) -> Mat<'a> {
        Mat::strided(&data[(range.start * heads + h) * self.dim..], range.len(), self.dim, heads * self.dim)
    }
}

/// One block of queries of one head: its keys and values, in the two parts that it sees.
pub struct Block {
    pub query: Range<usize>,
    prefix: Range<usize>,
    own: Range<usize>,
    /// Query `j` of the block sees `keys - hidden(j)` keys.
    causal: bool,
}

impl Block {
    pub fn all(s: &Segment) -> impl Iterator<Item = Block> + '_ {
        (0..s.query.len()).step_by(BLOCK).map(move |first| {
            let last = (first + BLOCK).min(s.query.len());
            Block {
                query: s.query.start + first..s.query.start + last,
                prefix: s.prefix.clone(),
                own: s.own.start..s.own.start + s.seen(last - 1),
                causal: s.causal,
            }
        })
    }

    fn keys(&self) -> usize {
        self.prefix.len() + self.own.len()
    }

    /// The softmax weights `[queries, keys]`.
    pub fn weights(&self, d: &Dims, q: &[f32], k: &[f32], h: usize, out: &mut Vec<f32>) {
        let (rows, keys, kv) = (self.query.len(), self.keys(), h / d.group());
        out.clear();
        out.resize(rows * keys, 0.0);
        let q = d.rows(q, d.heads, h, self.query.clone());
        let mut scores = MatMut::new(out, rows, keys);
        for (range, at) in [(&self.prefix, 0), (&self.own, self.prefix.len())] {
            if !range.is_empty() {
                let k = d.rows(k, d.kv_heads, kv, range.clone());
                let out = scores.part(0..rows, at..at + range.len());
                // Dot products this short are worth it for a single row only.
                if rows == 1 {
                    by_rows(out, false, 1.0, q, k, Parallelism::None);
                } else {
                    matmul(out, false, 1.0, q, k.t(), Parallelism::None);
                }
            }
        }
        vectorised(|| {
            for (j, row) in out.chunks_exact_mut(keys).enumerate() {
                let seen = if self.causal { keys + j + 1 - rows } else { keys };
                softmax(&mut row[..seen], d.scale);
                row[seen..].fill(0.0);
            }
        });
    }

    /// `dst += weights @ values`, by part; `dst` is `[queries, D]`.
    pub fn apply(&self, d: &Dims, weights: &[f32], v: &[f32], kv: usize, mut dst: MatMut) {
        let (rows, keys) = (self.query.len(), self.keys());
        if rows == 1 {
            let (dst, own) = (dst.row(0), self.prefix.len());
            let row = |i: usize| &v[(i * d.kv_heads + kv) * d.dim..][..d.dim];
            let at = |i: usize| row(if i < own { self.prefix.start + i } else { self.own.start + i - own });
            vectorised(|| {
                let fours = weights.chunks_exact(4);
                let rest = keys - fours.remainder().len()..keys;
                for (i, w) in fours.enumerate() {
                    let values = at(4 * i).iter().zip(at(4 * i + 1)).zip(at(4 * i + 2).iter().zip(at(4 * i + 3)));
                    for (o, ((v0, v1), (v2, v3))) in dst.iter_mut().zip(values) {
                        *o += (w[0] * v0 + w[1] * v1) + (w[2] * v2 + w[3] * v3);
                    }
                }
                for i in rest {
                    dst.iter_mut().zip(at(i)).for_each(|(o, v)| *o += weights[i] * v);
                }
            });
            return;
        }
        for (range, at) in [(&self.prefix, 0), (&self.own, self.prefix.len())] {
            if !range.is_empty() {
                let weights = Mat::strided(&weights[at..], rows, range.len(), keys);
                let v = d.rows(v, d.kv_heads, kv, range.clone());
                matmul(dst.reborrow(), true, 1.0, weights, v, Parallelism::None);
            }
        }
    }

    /// Adds the block's gradients: with `P` the weights and `dP = dO V^T`,
    /// `dS = P (dP - rowsum(dO O)) scale`, `dQ = dS K`, `dK += dS^T Q`, `dV += P^T dO`. `dq` is `[queries, D]` of the
    /// block and query head `h`, `dk` and `dv` are `[keys, D]` of all keys of its key head.
    pub fn backward(
        &self,
        d: &Dims,
        h: usize,
        [q, k, v, o, g]: [&[f32]; 5],
        weights: &[f32],
        dweights: &mut Vec<f32>,
        [mut dq, mut dk, mut dv]: [MatMut; 3],
    ) {
        let (rows, keys, kv) = (self.query.len(), self.keys(), h / d.group());
        let gq = d.rows(g, d.heads, h, self.query.clone());
        let qq = d.rows(q, d.heads, h, self.query.clone());
        dweights.clear();
        dweights.resize(rows * keys, 0.0);
        let parts = [(&self.prefix, 0), (&self.own, self.prefix.len())];
        let mut dp = MatMut::new(dweights, rows, keys);
        for (range, at) in parts.iter().filter(|(range, _)| !range.is_empty()) {
            let v = d.rows(v, d.kv_heads, kv, (*range).clone());
            matmul(dp.part(0..rows, *at..at + range.len()), false, 1.0, gq, v.t(), Parallelism::None);
        }
        vectorised(|| {
            for (j, (p, dp)) in weights.chunks_exact(keys).zip(dweights.chunks_exact_mut(keys)).enumerate() {
                let at = ((self.query.start + j) * d.heads + h) * d.dim;
                let along = dot(&g[at..at + d.dim], &o[at..at + d.dim]);
                p.iter().zip(dp).for_each(|(&p, dp)| *dp = p * (*dp - along) * d.scale);
            }
        });
        for (range, at) in parts.iter().filter(|(range, _)| !range.is_empty()) {
            let ds = Mat::strided(&dweights[*at..], rows, range.len(), keys);
            let p = Mat::strided(&weights[*at..], rows, range.len(), keys);
            let k = d.rows(k, d.kv_heads, kv, (*range).clone());
            let (dk, dv) = (dk.part((*range).clone(), 0..d.dim), dv.part((*range).clone(), 0..d.dim));
            matmul(dq.reborrow(), true, 1.0, ds, k, Parallelism::None);
            matmul(dk, true, 1.0, ds.t(), qq, Parallelism::None);
            matmul(dv, true, 1.0, p.t(), gq, Parallelism::None);
        }
    }
}
