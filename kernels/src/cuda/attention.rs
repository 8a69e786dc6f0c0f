//! Launches of attention.

use std::sync::Arc;

use candle_core::{CudaStorage, DType, Result, Storage, Tensor, bail, op::BackpropOp};
use half::bf16;

use super::{
    gpu::{Arg, Gpu, Shape, Source, Work},
    plan::{Key, Plan},
    pointer::{Held, Ptr},
};
use crate::attention::{
    Dims, Segment,
    tiles::{KEYS, QUERIES},
};

/// Blocks that share the queries of one tile of keys in the backward pass.
const SPLITS: usize = 8;
/// Rows of queries that the backward pass of keys reads at a time.
const ROWS: usize = 32;
const THREADS: usize = 128;

/// Where queries, keys and values lie: token i's at i times their `ld`, heads side by side.
#[derive(Clone, Copy)]
pub struct Inputs {
    pub q: Ptr<bf16>,
    pub k: Ptr<bf16>,
    pub v: Ptr<bf16>,
    pub q_ld: usize,
    pub kv_ld: usize,
}

/// What the backward pass is given: what attention gave, its logsumexp, and the gradient of what it gave.
#[derive(Clone, Copy)]
pub struct Given {
    pub out: Ptr<bf16>,
    pub out_ld: usize,
    pub lse: Ptr<f32>,
    pub grad: Ptr<bf16>,
    pub grad_ld: usize,
}

impl Gpu {
    /// The tiles of segments over `keys` keys; `cache_rows` go with them to the GPU. The layers of a pass ask for the same.
    pub fn plan(
        &self,
        segments: &Arc<[Segment]>,
        [queries, keys]: [usize; 2],
        d: &Dims,
        backward: bool,
        cache_rows: &[usize],
    ) -> Result<Arc<Plan>> {
        if d.group() > QUERIES {
            bail!("attention: {} query heads share a key head; the CUDA kernels take up to {QUERIES}", d.group());
        }
        let key = Key { queries, keys, group: d.group(), backward, cache_rows: cache_rows.to_vec() };
        self.plans.get(self.stream(), segments, key)
    }
}

impl Work<'_> {
    /// Fills rows of `out`, and of `lse` `[queries, heads]` unless it is null.
    pub fn attend(
        &mut self,
        d: &Dims,
        plan: &Plan,
        inputs: Inputs,
        (out, out_ld): (Ptr<bf16>, usize),
        lse: Ptr<f32>,
    ) -> Result<()> {
        let queries = plan.key.queries;
        if !plan.whole {
            self.zero(out, queries * out_ld)?;
        }
        let sizes = [plan.tiles, queries, plan.part_rows];
        let told = [0, plan.ranges, plan.first, plan.rows].map(|start| plan.at(start));
        self.attend_parts(d, sizes, told, inputs, (out, out_ld), lse)
    }

    /// The same by tiles, ranges, first and rows as they lie on the GPU (see `Tiles`): so many tiles of so many queries,
    /// and so many rows of partial results.
    pub fn attend_parts(
        &mut self,
        d: &Dims,
        [tiles, queries, part_rows]: [usize; 3],
        told: [Ptr<i32>; 4],
        inputs: Inputs,
        (out, out_ld): (Ptr<bf16>, usize),
        lse: Ptr<f32>,
    ) -> Result<()> {
        let parts = self.take::<f32>(d.kv_heads * part_rows * d.dim)?;
        let weights = self.take::<f32>(d.kv_heads * part_rows * 2)?;
        let none = Ptr::null();
        let (parts, weights) = if part_rows > 0 { (parts, weights) } else { (none, none) };
        let Inputs { q, k, v, q_ld, kv_ld } = inputs;
        let shape = Shape {
            grid: [tiles, d.kv_heads, 1],
            block: THREADS,
            shared: (QUERIES + 4 * KEYS) * (d.dim + 8) * size_of::<bf16>(),
        };
        let mut args: Vec<Arg> =
            vec![q.into(), k.into(), v.into(), out.into(), lse.into(), parts.into(), weights.into()];
        args.extend(told[..2].iter().map(|&at| Arg::from(at)));
        args.extend([q_ld, kv_ld, out_ld, d.heads, d.group(), part_rows].map(Arg::from));
        args.push(d.scale().into());
        self.launch(Source::Attention(d.dim), "attention", shape, &args)?;
        if part_rows > 0 {
            let shape = Shape { grid: [queries, d.heads, 1], block: (d.dim / 4).next_multiple_of(32), shared: 0 };
            let mut args: Vec<Arg> = vec![parts.into(), weights.into(), out.into()];
            args.extend(told[2..].iter().map(|&at| Arg::from(at)));
            args.extend([out_ld, d.group(), part_rows].map(Arg::from));
            self.launch(Source::Attention(d.dim), "combine", shape, &args)?;
        }
        Ok(())
    }

    /// Writes the gradients of queries to columns of `dqkv` `[tokens, (heads + 2 kv_heads) * D]`; returns shares of those of
    /// keys and values, `[splits, 2, keys, kv_heads * D]`, and how many there are.
    pub fn attend_backward(
        &mut self,
        d: &Dims,
        plan: &Plan,
        inputs: Inputs,
        given: Given,
        dqkv: Ptr<bf16>,
    ) -> Result<(Ptr<f32>, usize)> {
        let (queries, keys) = (plan.key.queries, plan.key.keys);
        let (source, width) = (Source::Attention(d.dim), (d.heads + 2 * d.kv_heads) * d.dim);
        let scale = d.scale();
        let Inputs { q, k, v, q_ld, kv_ld } = inputs;
        let Given { out, out_ld, lse, grad, grad_ld } = given;
        let row = (d.dim + 8) * size_of::<bf16>();

        let delta = self.take::<f32>(queries * d.heads)?;
        let shape = Shape::each((queries * d.heads).div_ceil(THREADS / 32), THREADS);
        let mut args: Vec<Arg> = vec![out.into(), grad.into(), delta.into()];
        args.extend([out_ld, grad_ld, d.heads, queries * d.heads].map(Arg::from));
        self.launch(source, "attention_delta", shape, &args)?;

        if !plan.whole {
            self.zero(dqkv, queries * width)?;
        }
        let read: Vec<Arg> = vec![q.into(), k.into(), v.into(), grad.into(), lse.into(), delta.into()];
        let shared = |buffers: usize| 2 * (QUERIES + buffers * KEYS) * row;
        let buffers = if shared(2) <= self.gpu.most_shared()? { 2 } else { 1 };
        let shape = Shape { grid: [plan.tiles, d.kv_heads, 1], block: THREADS, shared: shared(buffers) };
        let mut args = read.clone();
        args.extend([Arg::from(dqkv), plan.at(0).into(), plan.at(plan.ranges).into()]);
        args.extend([q_ld, kv_ld, grad_ld, width, d.heads, d.group(), buffers].map(Arg::from));
        args.push(scale.into());
        self.launch(source, "attention_dq", shape, &args)?;

        let parts = self.take::<f32>(SPLITS * 2 * keys * d.kv_heads * d.dim)?;
        let shape =
            Shape { grid: [plan.key_count, d.kv_heads, SPLITS], block: THREADS, shared: 2 * (KEYS + 2 * ROWS) * row };
        let mut args = read;
        args.extend([Arg::from(parts), plan.at(plan.key_tiles).into(), plan.at(plan.runs).into()]);
        args.extend([q_ld, kv_ld, grad_ld, d.heads, d.group(), keys].map(Arg::from));
        args.push(scale.into());
        self.launch(source, "attention_dkv", shape, &args)?;
        Ok((parts, SPLITS))
    }
}

/// Whether the kernels apply to queries, keys and values: bf16 on a GPU, without gradients.
pub fn applies(qkv: [&Tensor; 3]) -> bool {
    let sizes = |t: &&Tensor| t.dims()[2].is_multiple_of(16) && t.dims()[2] <= 128;
    qkv.iter().all(|t| t.device().is_cuda() && t.dtype() == DType::BF16 && !t.track_op() && sizes(t))
}

/// As [`attention`](crate::attention()), for tensors to which the kernels apply.
pub fn attention([q, k, v]: [&Tensor; 3], segments: &Arc<[Segment]>) -> Result<Tensor> {
    let ((queries, heads, dim), (keys, kv_heads, _)) = (q.dims3()?, k.dims3()?);
    let d = Dims { heads, kv_heads, dim };
    let gpu = Gpu::of_tensor(q)?;
    let [held_q, held_k, held_v] = [q, k, v].map(Held::new);
    let (q_ld, kv_ld) = (heads * dim, kv_heads * dim);
    let inputs = Inputs { q: held_q.ptr()?, k: held_k.ptr()?, v: held_v.ptr()?, q_ld, kv_ld };
    let mut work = gpu.begin()?;
    let plan = gpu.plan(segments, [queries, keys], &d, false, &[])?;
    let out = gpu.alloc::<bf16>(q.elem_count().max(1))?;
    work.attend(&d, &plan, inputs, (Ptr::of(&out), q_ld), Ptr::null())?;
    let storage = Storage::Cuda(CudaStorage::wrap_cuda_slice(out, gpu.device().clone()));
    Ok(Tensor::from_storage(storage, q.shape(), BackpropOp::none(), false))
}
