//! A block of queries of one head: its softmax weights, what they make of the values, and the gradients.

use std::ops::Range;

use gemm::Parallelism;

use super::{
    heads::{Dims, Heads, Inputs},
    segment::Segment,
    transposed::Transposed,
};
use crate::{
    product::{dots, matmul, product},
    vector::{dot, softmax, vectorised},
    views::{Mat, MatMut},
};

/// Queries whose scores exist at the same time.
const BLOCK: usize = 64;

/// Attention of one query and all query heads of key head `kv`, which read its keys together. `dst` is `[group, D]`.
pub fn single(d: &Dims, segment: &Segment, inputs: Inputs, kv: usize, mut dst: MatMut, weights: &mut Vec<f32>) {
    let (token, group) = (segment.query.start, d.group());
    let keys = segment.shared() + segment.own.len();
    weights.clear();
    weights.resize(group * keys, 0.0);
    let q = inputs.q.of_token(token, kv * group, group);
    let mut scores = MatMut::new(weights, group, keys);
    for (range, at) in parts(segment, segment.own.clone()) {
        dots(scores.part(0..group, at..at + range.len()), q, inputs.k.rows(kv, &range));
    }
    vectorised(|| {
        weights.chunks_exact_mut(keys).for_each(|row| {
            softmax(row, d.scale());
        })
    });
    let all = Mat::new(weights, group, keys);
    for (range, at) in parts(segment, segment.own.clone()) {
        let weights = all.columns(at..at + range.len());
        product(dst.reborrow(), at > 0, weights, inputs.v.rows(kv, &range), Parallelism::None);
    }
}

/// The ranges of keys with what of `own` is seen, and how many keys come before each.
fn parts(segment: &Segment, own: Range<usize>) -> impl Iterator<Item = (Range<usize>, usize)> {
    let mut before = 0;
    segment.before.iter().cloned().chain([own]).filter(|range| !range.is_empty()).map(move |range| {
        before += range.len();
        (range.clone(), before - range.len())
    })
}

/// What gradients are computed from, besides the weights of a block.
pub struct Known<'a> {
    pub inputs: Inputs<'a>,
    pub values_by_dim: &'a Transposed,
    pub output: Heads<'a>,
    /// Of the output.
    pub grad: Heads<'a>,
}

/// One block of queries of a segment.
pub struct Block<'a> {
    pub query: Range<usize>,
    segment: &'a Segment,
    /// What the last query sees of the segment's own keys.
    own: Range<usize>,
}

impl<'a> Block<'a> {
    pub fn all(s: &'a Segment) -> impl Iterator<Item = Block<'a>> {
        (0..s.query.len()).step_by(BLOCK).map(move |first| {
            let last = (first + BLOCK).min(s.query.len());
            Block {
                query: s.query.start + first..s.query.start + last,
                segment: s,
                own: s.own.start..s.own.start + s.seen(last - 1),
            }
        })
    }

    fn keys(&self) -> usize {
        self.segment.shared() + self.own.len()
    }

    fn parts(&self) -> impl Iterator<Item = (Range<usize>, usize)> {
        parts(self.segment, self.own.clone())
    }

    /// The softmax weights `[queries, keys]`.
    pub fn weights(&self, d: &Dims, q: Heads, keys_by_dim: &Transposed, h: usize, out: &mut Vec<f32>) {
        let (rows, keys) = (self.query.len(), self.keys());
        out.clear();
        out.resize(rows * keys, 0.0);
        let q = q.rows(h, &self.query);
        let mut scores = MatMut::new(out, rows, keys);
        for (range, at) in self.parts() {
            let k = keys_by_dim.columns(h / d.group(), &range);
            product(scores.part(0..rows, at..at + range.len()), false, q, k, Parallelism::None);
        }
        vectorised(|| {
            for (j, row) in out.chunks_exact_mut(keys).enumerate() {
                // The last query of the block sees all of its keys.
                let seen = if self.segment.causal { keys + j + 1 - rows } else { keys };
                softmax(&mut row[..seen], d.scale());
                row[seen..].fill(0.0);
            }
        });
    }

    /// `dst = weights @ values`; `dst` is `[queries, D]`.
    pub fn apply(&self, d: &Dims, weights: &[f32], inputs: Inputs, h: usize, mut dst: MatMut) {
        let (rows, keys) = (self.query.len(), self.keys());
        for (range, at) in self.parts() {
            let weights = Mat::strided(&weights[at..], rows, range.len(), keys);
            product(dst.reborrow(), at > 0, weights, inputs.v.rows(h / d.group(), &range), Parallelism::None);
        }
    }

    /// Adds the block's gradients: with `P` the weights and `dP = dO V^T`,
    /// `dS = P (dP - rowsum(dO O)) scale`, `dQ = dS K`, `dK += dS^T Q`, `dV += P^T dO`. `dq` is `[queries, D]` of the
    /// block and query head `h`, `dk` and `dv` are `[keys, D]` of all keys of its key head.
    pub fn backward(
        &self,
        d: &Dims,
        h: usize,
        known: &Known,
        [weights, dweights]: [&mut Vec<f32>; 2],
        [mut dq, mut dk, mut dv]: [MatMut; 3],
    ) {
        let (rows, keys, kv) = (self.query.len(), self.keys(), h / d.group());
        let (g, q) = (known.grad.rows(h, &self.query), known.inputs.q.rows(h, &self.query));
        dweights.clear();
        dweights.resize(rows * keys, 0.0);
        let mut dp = MatMut::new(dweights, rows, keys);
        for (range, at) in self.parts() {
            let v = known.values_by_dim.columns(kv, &range);
            product(dp.part(0..rows, at..at + range.len()), false, g, v, Parallelism::None);
        }
        vectorised(|| {
            for (j, (p, dp)) in weights.chunks_exact(keys).zip(dweights.chunks_exact_mut(keys)).enumerate() {
                let query = self.query.start + j;
                let along = dot(known.grad.at(query, h), known.output.at(query, h));
                p.iter().zip(dp).for_each(|(&p, dp)| *dp = p * (*dp - along) * d.scale());
            }
        });
        for (range, at) in self.parts() {
            let ds = Mat::strided(&dweights[at..], rows, range.len(), keys);
            let p = Mat::strided(&weights[at..], rows, range.len(), keys);
            product(dq.reborrow(), at > 0, ds, known.inputs.k.rows(kv, &range), Parallelism::None);
            matmul(dk.part(range.clone(), 0..d.dim), true, 1.0, ds.t(), q, Parallelism::None);
            matmul(dv.part(range.clone(), 0..d.dim), true, 1.0, p.t(), g, Parallelism::None);
        }
    }
}
