//! The same layer from the other operations: for trained weights, and for devices without a fused kernel.

use std::{ops::Range, sync::Arc};

use candle_core::{Result, Tensor};

use super::weights::{Cached, DecoderLayer, Fused};
use crate::{
    attention::{Segment, attention},
    cache::copy_rows,
    linear::linear,
    lora::LoraFactors,
    norm::rms_norm,
    rope::{Rotation, rope},
    swiglu::swiglu,
};

pub fn forward(
    layer: &DecoderLayer,
    x: &Tensor,
    rotation: &Rotation,
    segments: &Arc<[Segment]>,
    lora: Option<&LoraFactors>,
    cached: Option<Cached>,
) -> Result<Tensor> {
    let DecoderLayer { heads, kv_heads, head_dim: dim, eps, .. } = *layer;
    let (tokens, wide) = (x.dim(0)?, layer.down.dim(0)?);
    let apply = |which: Fused, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>| -> Result<Tensor> {
        let y = linear(x, weight, bias)?;
        match lora.map(|lora| lora.updates(which as usize)).filter(|updates| !updates.is_empty()) {
            None => Ok(y),
            Some(updates) => side_by_side(updates, x, y.dim(1)?)? + y,
        }
    };
    let part = |y: &Tensor, columns: Range<usize>| y.narrow(1, columns.start, columns.len())?.contiguous();

    let h = rms_norm(x, &layer.input_norm, eps)?;
    let qkv = apply(Fused::Qkv, &h, &layer.qkv, Some(&layer.qkv_bias))?;
    let (first, end) = (heads * dim, (heads + kv_heads) * dim);
    let q = rope(&part(&qkv, 0..first)?.reshape((tokens, heads, dim))?, rotation)?;
    let k = rope(&part(&qkv, first..end)?.reshape((tokens, kv_heads, dim))?, rotation)?;
    let v = part(&qkv, end..end + kv_heads * dim)?.reshape((tokens, kv_heads, dim))?;
    let attended = match cached {
        None => attention(&q, &k, &v, segments)?,
        Some(Cached { keys, values, rows }) => {
            copy_rows(keys, &k, rows)?;
            copy_rows(values, &v, rows)?;
            attention(&q, keys, values, segments)?
        }
    };
    let x = (x + apply(Fused::O, &attended.reshape((tokens, first))?, &layer.o, None)?)?;
    let h = rms_norm(&x, &layer.post_norm, eps)?;
    let gate_up = apply(Fused::GateUp, &h, &layer.gate_up, None)?;
    let h = swiglu(&part(&gate_up, 0..wide)?, &part(&gate_up, wide..2 * wide)?)?;
    x + apply(Fused::Down, &h, &layer.down, None)?
}

/// The updates of a product's columns, with zeros where there are none.
fn side_by_side(updates: &[(Range<usize>, crate::LoraPair)], x: &Tensor, width: usize) -> Result<Tensor> {
    let zeros = |columns: usize| Tensor::zeros((x.dim(0)?, columns), x.dtype(), x.device());
    let (mut parts, mut end) = (Vec::new(), 0);
    for (columns, pair) in updates {
        if columns.start > end {
            parts.push(zeros(columns.start - end)?);
        }
        parts.push(pair.update(x)?);
        end = columns.end;
    }
    if width > end {
        parts.push(zeros(width - end)?);
    }
    Tensor::cat(&parts, 1)
}
