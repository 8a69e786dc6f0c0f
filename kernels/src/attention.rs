//! Scaled dot-product attention over packed sequences.
//!
//! A packed batch has no padding and no mask: a list of [`Segment`]s says which keys each run of queries sees. Whole
//! prompts, responses that share a prompt, windows of the vision tower and single decoding steps over a cache are all
//! segments. Grouped queries: query head h reads key head `h / (heads / kv_heads)`.

mod block;
mod composed;
#[cfg(feature = "flash-attn")]
mod flash;
mod segment;

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use crate::{
    storage::{Read, floats, fusable, tensor},
    threads::threads,
    views::MatMut,
};
use block::{Block, Dims};
pub(crate) use composed::composed;
pub use segment::Segment;
use segment::in_order;

/// `q` `[queries, heads, D]`, `k` and `v` `[keys, kv_heads, D]`; returns `[queries, heads, D]`, scaled by `1/sqrt(D)`.
///
/// Queries that are in no segment get 0.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, segments: &Arc<[Segment]>) -> Result<Tensor> {
    let ((queries, heads, dim), (keys, kv_heads, kv_dim)) = (q.dims3()?, k.dims3()?);
    if v.dims() != k.dims() || kv_dim != dim || kv_heads == 0 || heads % kv_heads != 0 {
        candle_core::bail!("attention: q {:?}, k {:?} and v {:?} do not fit", q.shape(), k.shape(), v.shape());
    }
    segment::check(segments, queries, keys)?;
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
        return flash::flash_attention(q, k, v, segments);
    }
    attention(q, k, v, segments)
}

struct Attention {
    segments: Arc<[Segment]>,
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
        // A task fills its head's columns of its segment's rows.
        let task = |(segment, h, mut dst): (&Segment, usize, MatMut), weights: &mut Vec<f32>| {
            for block in Block::all(segment) {
                block.weights(&d, q, k, h, weights);
                let rows = block.query.start - segment.query.start..block.query.end - segment.query.start;
                block.apply(&d, weights, v, h / d.group(), dst.part(rows, 0..d.dim));
            }
        };
        let segments = in_order(&self.segments);
        let bands = MatMut::new(&mut out, d.queries, d.heads * d.dim).bands(segments.iter().map(|s| s.query.clone()));
        let tasks = segments
            .iter()
            .zip(bands)
            .flat_map(|(&segment, band)| band.column_chunks(d.dim).enumerate().map(move |(h, dst)| (segment, h, dst)));
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
        // A task owns one key head and its query heads: it visits segments and query heads in a fixed order, so that sums
        // over them do not depend on the number of threads.
        let task = |(kv, [mut dq, mut dk, mut dv]): (usize, [MatMut; 3])| {
            let (mut weights, mut dweights) = (Vec::new(), Vec::new());
            for segment in self.segments.iter() {
                for i in 0..d.group() {
                    let h = kv * d.group() + i;
                    for block in Block::all(segment) {
                        block.weights(&d, qs, ks, h, &mut weights);
                        let dq = dq.part(block.query.clone(), i * d.dim..(i + 1) * d.dim);
                        let gradients = [dq, dk.reborrow(), dv.reborrow()];
                        block.backward(&d, h, [qs, ks, vs, os, gs], &weights, &mut dweights, gradients);
                    }
                }
            }
        };
        let of_queries = MatMut::new(&mut dq, d.queries, d.heads * d.dim).column_chunks(d.group() * d.dim);
        let [of_keys, of_values] =
            [&mut dk, &mut dv].map(|grad| MatMut::new(grad, d.keys, d.kv_heads * d.dim).column_chunks(d.dim));
        let tasks = of_queries.zip(of_keys.zip(of_values)).map(|(dq, (dk, dv))| [dq, dk, dv]).enumerate();
        if threads() > 1 {
            tasks.collect::<Vec<_>>().into_par_iter().for_each(task);
        } else {
            tasks.for_each(task);
        }
        Ok((Some(tensor(dq, q.shape())?), Some(tensor(dk, k.shape())?), Some(tensor(dv, v.shape())?)))
    }
}
