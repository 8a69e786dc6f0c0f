//! Scaled dot-product attention over packed sequences.
//!
//! A packed batch has no padding and no mask: a list of [`Segment`]s says which keys each run of queries sees. Whole
//! prompts, responses that share a prompt, windows of the vision tower and single decoding steps over a cache are all
//! segments. Grouped queries: query head h reads key head `h / (heads / kv_heads)`.

use std::{ops::Range, sync::Arc};

use candle_core::{CpuStorage, CustomOp3, D, DType, Layout, Result, Shape, Tensor};
use gemm::Parallelism;
use rayon::prelude::*;

use super::kernel::{Mat, Read, Shared, by_rows, dot, floats, fusable, matmul, softmax, tensor, threads, vectorised};

/// A run of queries and the keys it sees: all of `prefix`, then `own`, causally if asked to (the last query sees all
/// of `own`, each earlier one a key less).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    pub query: Range<usize>,
    pub prefix: Range<usize>,
    pub own: Range<usize>,
    pub causal: bool,
}

impl Segment {
    /// Keys of `own` that query `j` of the segment sees.
    fn seen(&self, j: usize) -> usize {
        if self.causal { self.own.len() + j + 1 - self.query.len() } else { self.own.len() }
    }
}

/// `q` `[queries, heads, D]`, `k` and `v` `[keys, kv_heads, D]`; returns `[queries, heads, D]`, scaled by `1/sqrt(D)`.
///
/// Queries that are in no segment get 0.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, segments: &Arc<[Segment]>) -> Result<Tensor> {
    let ((queries, heads, dim), (keys, kv_heads, kv_dim)) = (q.dims3()?, k.dims3()?);
    if v.dims() != k.dims() || kv_dim != dim || kv_heads == 0 || heads % kv_heads != 0 {
        candle_core::bail!("attention: q {:?}, k {:?} and v {:?} do not fit", q.shape(), k.shape(), v.shape());
    }
    for s in segments.iter() {
        let ends = s.query.end <= queries && s.prefix.end <= keys && s.own.end <= keys;
        if !ends || (s.causal && s.own.len() < s.query.len()) {
            candle_core::bail!("attention: segment {s:?} does not fit {queries} queries and {keys} keys");
        }
    }
    let (q, k, v) = (q.contiguous()?, k.contiguous()?, v.contiguous()?);
    if fusable(&[&q, &k, &v]) {
        q.apply_op3(&k, &v, Attention { segments: segments.clone() })
    } else {
        composed(&q, &k, &v, segments)
    }
}

/// [`attention`] of causal segments over a cache, for sampling: faster on a GPU where the feature `flash-attn` is on.
pub fn cached_attention(q: &Tensor, k: &Tensor, v: &Tensor, segments: &Arc<[Segment]>) -> Result<Tensor> {
    #[cfg(feature = "flash-attn")]
    if q.device().is_cuda() {
        return super::flash::flash_attention(q, k, v, segments);
    }
    attention(q, k, v, segments)
}

/// The same from candle's differentiable operations, segment by segment.
pub(super) fn composed(q: &Tensor, k: &Tensor, v: &Tensor, segments: &[Segment]) -> Result<Tensor> {
    let ((queries, heads, dim), kv_heads) = (q.dims3()?, k.dim(1)?);
    let scale = 1.0 / (dim as f64).sqrt();
    let mut rows = vec![0u32; queries];
    let mut parts = vec![Tensor::zeros((1, heads, dim), q.dtype(), q.device())?];
    let mut filled = 1;
    for s in segments.iter().filter(|s| !s.query.is_empty()) {
        let gather = |t: &Tensor| -> Result<Tensor> {
            let own = t.narrow(0, s.own.start, s.own.len())?;
            let all = match s.prefix.len() {
                0 => own,
                n => Tensor::cat(&[&t.narrow(0, s.prefix.start, n)?, &own], 0)?,
            };
            let keys = all.dim(0)?;
            all.unsqueeze(2)?
                .expand((keys, kv_heads, heads / kv_heads, dim))?
                .reshape((keys, heads, dim))?
                .transpose(0, 1)?
                .contiguous()
        };
        let (k, v) = (gather(k)?, gather(v)?);
        let q = q.narrow(0, s.query.start, s.query.len())?.transpose(0, 1)?.contiguous()?;
        let scores = (q.matmul(&k.t()?)? * scale)?.to_dtype(DType::F32)?;
        let keys = k.dim(1)?;
        let mask: Vec<f32> = (0..s.query.len())
            .flat_map(|j| (0..keys).map(move |i| if i < s.prefix.len() + s.seen(j) { 0.0 } else { f32::NEG_INFINITY }))
            .collect();
        let mask = Tensor::from_vec(mask, (s.query.len(), keys), q.device())?;
        let scores = scores.broadcast_add(&mask)?;
        let top = scores.max_keepdim(D::Minus1)?.detach();
        let weights = scores.broadcast_sub(&top)?.exp()?;
        let weights = weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)?.to_dtype(v.dtype())?;
        parts.push(weights.matmul(&v)?.transpose(0, 1)?.contiguous()?);
        for j in s.query.clone() {
            rows[j] = filled;
            filled += 1;
        }
    }
    Tensor::cat(&parts, 0)?.index_select(&Tensor::new(rows, q.device())?, 0)
}

/// Queries whose scores exist at the same time.
const BLOCK: usize = 64;

struct Attention {
    segments: Arc<[Segment]>,
}

/// Sizes and strides of one call.
#[derive(Clone, Copy)]
struct Dims {
    heads: usize,
    kv_heads: usize,
    dim: usize,
    scale: f32,
}

impl Dims {
    fn new(q: &Shape, k: &Shape) -> Result<Self> {
        let ((_, heads, dim), (_, kv_heads, _)) = (q.dims3()?, k.dims3()?);
        Ok(Self { heads, kv_heads, dim, scale: 1.0 / (dim as f32).sqrt() })
    }

    /// Rows `range` of head `h` of a `[_, heads, D]` tensor.
    fn rows<'a>(&self, data: &'a [f32], heads: usize, h: usize, range: Range<usize>) -> Mat<'a> {
        Mat::strided(&data[(range.start * heads + h) * self.dim..], range.len(), self.dim, heads * self.dim)
    }
}

/// One block of queries of one head: its keys and values, in the two parts that it sees.
struct Block {
    query: Range<usize>,
    prefix: Range<usize>,
    own: Range<usize>,
    /// Query `j` of the block sees `keys - hidden(j)` keys.
    causal: bool,
}

impl Block {
    fn all(s: &Segment) -> impl Iterator<Item = Block> + '_ {
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
    fn weights(&self, d: &Dims, q: &[f32], k: &[f32], h: usize, out: &mut Vec<f32>) {
        let (rows, keys, kv) = (self.query.len(), self.keys(), h / (d.heads / d.kv_heads));
        out.clear();
        out.resize(rows * keys, 0.0);
        let q = d.rows(q, d.heads, h, self.query.clone());
        for (range, at) in [(&self.prefix, 0), (&self.own, self.prefix.len())] {
            if !range.is_empty() {
                let (k, out) = (d.rows(k, d.kv_heads, kv, range.clone()), &mut out[at..]);
                // Dot products this short are worth it for a single row only.
                if rows == 1 {
                    by_rows(out, keys, false, 1.0, q, k, Parallelism::None);
                } else {
                    matmul(out, keys, false, 1.0, q, k.t(), Parallelism::None);
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

    /// `dst[queries] += weights @ values`, by part.
    fn apply(&self, d: &Dims, weights: &[f32], v: &[f32], kv: usize, dst: &mut [f32], stride: usize) {
        let (rows, keys) = (self.query.len(), self.keys());
        if rows == 1 {
            let (dst, own) = (&mut dst[..d.dim], self.prefix.len());
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
                matmul(dst, stride, true, 1.0, weights, v, Parallelism::None);
            }
        }
    }
}

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (q, k, v) = (floats(s1, l1)?, floats(s2, l2)?, floats(s3, l3)?);
        let d = Dims::new(l1.shape(), l2.shape())?;
        let mut out = vec![0f32; q.len()];
        let shared = Shared::new(&mut out);
        let task = |(segment, h): (&Segment, usize), weights: &mut Vec<f32>| {
            for block in Block::all(segment) {
                block.weights(&d, q, k, h, weights);
                // SAFETY: a task writes only the rows of its segment's queries in its own head, and segments share no
                // query; the strided slice is used for those elements alone.
                let dst = unsafe { shared.slice((block.query.start * d.heads + h) * d.dim) };
                block.apply(&d, weights, v, h / (d.heads / d.kv_heads), dst, d.heads * d.dim);
            }
        };
        let tasks = self.segments.iter().flat_map(|s| (0..d.heads).map(move |h| (s, h)));
        if threads() > 1 {
            let tasks: Vec<_> = tasks.collect();
            tasks.into_par_iter().for_each_init(Vec::new, |weights, t| task(t, weights));
        } else {
            let mut weights = Vec::new();
            tasks.for_each(|t| task(t, &mut weights));
        }
        Ok((CpuStorage::F32(out), l1.shape().clone()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        out: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let d = Dims::new(q.shape(), k.shape())?;
        let reads = [q, k, v, out, &grad].map(Read::new);
        let [qs, ks, vs, os, gs] = [0, 1, 2, 3, 4].map(|i| reads[i].slice());
        let (qs, ks, vs, os, gs) = (qs?, ks?, vs?, os?, gs?);
        let mut dq = vec![0f32; qs.len()];
        let (mut dk, mut dv) = (vec![0f32; ks.len()], vec![0f32; vs.len()]);
        let (sq, sk, sv) = (Shared::new(&mut dq), Shared::new(&mut dk), Shared::new(&mut dv));

        // A task owns one key head: it visits segments and query heads in a fixed order, so that sums over them do
        // not depend on the number of threads.
        let task = |kv: usize| {
            let group = d.heads / d.kv_heads;
            let (mut weights, mut dweights) = (Vec::new(), Vec::new());
            for segment in self.segments.iter() {
                for h in kv * group..(kv + 1) * group {
                    for block in Block::all(segment) {
                        block.weights(&d, qs, ks, h, &mut weights);
                        // SAFETY: all writes of this task go to the columns of key head `kv` and its query heads.
                        unsafe { block.backward(&d, h, [qs, ks, vs, os, gs], &weights, &mut dweights, [sq, sk, sv]) };
                    }
                }
            }
        };
        if threads() > 1 {
            (0..d.kv_heads).into_par_iter().for_each(task);
        } else {
            (0..d.kv_heads).for_each(task);
        }
        Ok((Some(tensor(dq, q.shape())?), Some(tensor(dk, k.shape())?), Some(tensor(dv, v.shape())?)))
    }
}

impl Block {
    /// Adds the block's gradients: with `P` the weights and `dP = dO V^T`,
    /// `dS = P (dP - rowsum(dO O)) scale`, `dQ = dS K`, `dK += dS^T Q`, `dV += P^T dO`.
    ///
    /// # Safety
    /// No other task may touch query head `h` of `dq` or its key head of `dk` and `dv`.
    unsafe fn backward(
        &self,
        d: &Dims,
        h: usize,
        [q, k, v, o, g]: [&[f32]; 5],
        weights: &[f32],
        dweights: &mut Vec<f32>,
        [dq, dk, dv]: [Shared; 3],
    ) {
        let (rows, keys, kv) = (self.query.len(), self.keys(), h / (d.heads / d.kv_heads));
        let gq = d.rows(g, d.heads, h, self.query.clone());
        let qq = d.rows(q, d.heads, h, self.query.clone());
        dweights.clear();
        dweights.resize(rows * keys, 0.0);
        let parts = [(&self.prefix, 0), (&self.own, self.prefix.len())];
        for (range, at) in parts.iter().filter(|(range, _)| !range.is_empty()) {
            let v = d.rows(v, d.kv_heads, kv, (*range).clone());
            matmul(&mut dweights[*at..], keys, false, 1.0, gq, v.t(), Parallelism::None);
        }
        vectorised(|| {
            for (j, (p, dp)) in weights.chunks_exact(keys).zip(dweights.chunks_exact_mut(keys)).enumerate() {
                let at = ((self.query.start + j) * d.heads + h) * d.dim;
                let along = dot(&g[at..at + d.dim], &o[at..at + d.dim]);
                p.iter().zip(dp).for_each(|(&p, dp)| *dp = p * (*dp - along) * d.scale);
            }
        });
        let (q_stride, kv_stride) = (d.heads * d.dim, d.kv_heads * d.dim);
        for (range, at) in parts.iter().filter(|(range, _)| !range.is_empty()) {
            let ds = Mat::strided(&dweights[*at..], rows, range.len(), keys);
            let p = Mat::strided(&weights[*at..], rows, range.len(), keys);
            let k = d.rows(k, d.kv_heads, kv, (*range).clone());
            let kv_at = (range.start * d.kv_heads + kv) * d.dim;
            // SAFETY: passed on from the caller.
            let (dq, dk, dv) =
                unsafe { (dq.slice((self.query.start * d.heads + h) * d.dim), dk.slice(kv_at), dv.slice(kv_at)) };
            matmul(dq, q_stride, true, 1.0, ds, k, Parallelism::None);
            matmul(dk, kv_stride, true, 1.0, ds.t(), qq, Parallelism::None);
            matmul(dv, kv_stride, true, 1.0, p.t(), gq, Parallelism::None);
        }
    }
}
