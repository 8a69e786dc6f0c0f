//! Scaled dot-product attention over packed sequences.
//!
//! A packed batch has no padding and no mask: a list of [`Segment`]s says which keys each run of queries sees. Whole
//! prompts, responses that share a prompt, windows of the vision tower and single decoding steps over a cache are all
//! segments. Grouped queries: query head h reads key head `h / (heads / kv_heads)`.

mod block;
mod composed;
mod heads;
mod segment;
#[cfg(any(feature = "cuda", test))]
pub(crate) mod tiles;
mod transposed;

use std::{ops::Range, sync::Arc};

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use crate::{
    storage::{Read, floats, fusable, tensor},
    threads::threads,
    views::MatMut,
};
use block::{Block, Known, single};
pub(crate) use composed::composed;
pub(crate) use heads::{Dims, Heads, Inputs};
pub use segment::Segment;
pub(crate) use segment::check;
use segment::in_order;
use transposed::Transposed;

/// `q` `[queries, heads, D]`, `k` and `v` `[keys, kv_heads, D]`; returns `[queries, heads, D]`, scaled by `1/sqrt(D)`.
///
/// Queries that are in no segment get 0.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, segments: &Arc<[Segment]>) -> Result<Tensor> {
    let ((queries, heads, dim), (keys, kv_heads, kv_dim)) = (q.dims3()?, k.dims3()?);
    if v.dims() != k.dims() || kv_dim != dim || kv_heads == 0 || heads % kv_heads != 0 {
        candle_core::bail!("attention: q {:?}, k {:?} and v {:?} do not fit", q.shape(), k.shape(), v.shape());
    }
    check(segments, queries, keys)?;
    let (q, k, v) = (q.contiguous()?, k.contiguous()?, v.contiguous()?);
    if fusable(&[&q, &k, &v]) {
        return q.apply_op3(&k, &v, Attention { segments: segments.clone() });
    }
    #[cfg(feature = "cuda")]
    if crate::cuda::attention_applies([&q, &k, &v]) {
        return crate::cuda::attention([&q, &k, &v], segments);
    }
    composed(&q, &k, &v, segments)
}

/// Attention on slices: fills the rows of `out` `[queries, heads * D]` that are in a segment.
pub(crate) fn attend(d: &Dims, segments: &[Segment], inputs: Inputs, out: MatMut) {
    let keys_by_dim = Transposed::new(d, inputs.k, extent(segments.iter().filter(|s| s.query.len() > 1)));
    // A task fills the columns of one key head's query heads in its segment's rows.
    let task = |(segment, kv, mut dst): (&Segment, usize, MatMut), weights: &mut Vec<f32>| {
        if segment.query.len() == 1 {
            let group = MatMut::new(dst.row(0), d.group(), d.dim);
            return single(d, segment, inputs, kv, group, weights);
        }
        for i in 0..d.group() {
            let h = kv * d.group() + i;
            for block in Block::all(segment) {
                block.weights(d, inputs.q, &keys_by_dim, h, weights);
                let rows = block.query.start - segment.query.start..block.query.end - segment.query.start;
                block.apply(d, weights, inputs, h, dst.part(rows, i * d.dim..(i + 1) * d.dim));
            }
        }
    };
    let segments = in_order(segments);
    let bands = out.bands(segments.iter().map(|s| s.query.clone()));
    let tasks = segments.iter().zip(bands).flat_map(|(&segment, band)| {
        band.column_chunks(d.group() * d.dim).enumerate().map(move |(kv, dst)| (segment, kv, dst))
    });
    if threads() > 1 {
        let tasks: Vec<_> = tasks.collect();
        tasks.into_par_iter().for_each_init(Vec::new, |weights, t| task(t, weights));
    } else {
        let mut weights = Vec::new();
        tasks.for_each(|t| task(t, &mut weights));
    }
}

/// The gradients of [`attend`]: `output` and `grad` are `[queries, heads * D]`; `dq` is overwritten, `dk` and `dv` are
/// added to.
pub(crate) fn attend_backward(
    d: &Dims,
    segments: &[Segment],
    inputs: Inputs,
    output: Heads,
    grad: Heads,
    [dq, dk, dv]: [MatMut; 3],
) {
    let all = extent(segments.iter());
    let [keys_by_dim, values_by_dim] = [inputs.k, inputs.v].map(|heads| Transposed::new(d, heads, all.clone()));
    let known = Known { inputs, values_by_dim: &values_by_dim, output, grad };
    // A task owns one key head and its query heads: it visits segments and query heads in a fixed order, so that sums
    // over them do not depend on the number of threads.
    let task = |(kv, [mut dq, mut dk, mut dv]): (usize, [MatMut; 3])| {
        let (mut weights, mut dweights) = (Vec::new(), Vec::new());
        for segment in segments {
            for i in 0..d.group() {
                let h = kv * d.group() + i;
                for block in Block::all(segment) {
                    block.weights(d, inputs.q, &keys_by_dim, h, &mut weights);
                    let dq = dq.part(block.query.clone(), i * d.dim..(i + 1) * d.dim);
                    let gradients = [dq, dk.reborrow(), dv.reborrow()];
                    let scratch = [&mut weights, &mut dweights];
                    block.backward(d, h, &known, scratch, gradients);
                }
            }
        }
    };
    let of_keys = dk.column_chunks(d.dim).zip(dv.column_chunks(d.dim));
    let tasks = dq.column_chunks(d.group() * d.dim).zip(of_keys).map(|(dq, (dk, dv))| [dq, dk, dv]).enumerate();
    if threads() > 1 {
        tasks.collect::<Vec<_>>().into_par_iter().for_each(task);
    } else {
        tasks.for_each(task);
    }
}

/// From the first to the last key that is seen.
fn extent<'a>(segments: impl Iterator<Item = &'a Segment>) -> Range<usize> {
    let ranges = segments.flat_map(|s| s.before.iter().chain([&s.own])).filter(|range| !range.is_empty());
    ranges.cloned().reduce(|a, b| a.start.min(b.start)..a.end.max(b.end)).unwrap_or(0..0)
}

struct Attention {
    segments: Arc<[Segment]>,
}

/// Sizes, and the inputs of tensors that hold their heads side by side.
fn inputs<'a>(q: (&'a [f32], &Shape), k: (&'a [f32], &Shape), v: &'a [f32]) -> Result<(Dims, Inputs<'a>)> {
    let ((_, heads, dim), (_, kv_heads, _)) = (q.1.dims3()?, k.1.dims3()?);
    let of = |data, heads| Heads { data, stride: heads * dim, dim };
    Ok((Dims { heads, kv_heads, dim }, Inputs { q: of(q.0, heads), k: of(k.0, kv_heads), v: of(v, kv_heads) }))
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
        let q = floats(s1, l1)?;
        let (d, inputs) = inputs((q, l1.shape()), (floats(s2, l2)?, l2.shape()), floats(s3, l3)?)?;
        let mut out = vec![0f32; q.len()];
        attend(&d, &self.segments, inputs, MatMut::new(&mut out, l1.dims()[0], d.heads * d.dim));
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
        let [rq, rk, rv, ro, rg] = [q, k, v, out, &grad].map(Read::new);
        let (d, inputs) = inputs((rq.slice()?, q.shape()), (rk.slice()?, k.shape()), rv.slice()?)?;
        let of = |data| Heads { data, stride: d.heads * d.dim, dim: d.dim };
        let [mut dq, mut dk, mut dv] = [q, k, v].map(|t| vec![0f32; t.elem_count()]);
        let (queries, keys) = (q.dim(0)?, k.dim(0)?);
        let gradients = [
            MatMut::new(&mut dq, queries, d.heads * d.dim),
            MatMut::new(&mut dk, keys, d.kv_heads * d.dim),
            MatMut::new(&mut dv, keys, d.kv_heads * d.dim),
        ];
        attend_backward(&d, &self.segments, inputs, of(ro.slice()?), of(rg.slice()?), gradients);
        Ok((Some(tensor(dq, q.shape())?), Some(tensor(dk, k.shape())?), Some(tensor(dv, v.shape())?)))
    }
}
