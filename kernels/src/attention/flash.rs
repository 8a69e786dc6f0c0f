//! Attention over a key-value cache by FlashAttention 2 (Dao 2023), for sampling on NVIDIA GPUs.
//!
//! It runs in bf16 and has no backward pass, so training never uses it.

use std::sync::Arc;

use candle_core::{DType, Result, Tensor};

use super::segment::Segment;

/// As [`attention`](super::attention) over causal segments, all of them in one launch.
pub fn flash_attention(q: &Tensor, k: &Tensor, v: &Tensor, segments: &Arc<[Segment]>) -> Result<Tensor> {
    let (mut queries, mut keys) = (Vec::new(), Vec::new());
    let (mut query_ends, mut key_ends) = (vec![0u32], vec![0u32]);
    let (mut most_queries, mut most_keys) = (0, 0);
    for s in segments.iter().filter(|s| !s.query.is_empty()) {
        queries.extend(s.query.clone().map(|i| i as u32));
        keys.extend(s.before.iter().cloned().flatten().chain(s.own.clone()).map(|i| i as u32));
        query_ends.push(queries.len() as u32);
        key_ends.push(keys.len() as u32);
        most_queries = most_queries.max(s.query.len());
        most_keys = most_keys.max(s.shared() + s.own.len());
    }
    let device = q.device();
    let rows = |t: &Tensor, rows: Vec<u32>| t.index_select(&Tensor::new(rows, device)?, 0)?.to_dtype(DType::BF16);
    let scale = 1.0 / (q.dim(2)? as f32).sqrt();
    let attended = candle_flash_attn::flash_attn_varlen(
        &rows(q, queries.clone())?,
        &rows(k, keys.clone())?,
        &rows(v, keys)?,
        &Tensor::new(query_ends, device)?,
        &Tensor::new(key_ends, device)?,
        most_queries,
        most_keys,
        scale,
        true,
    )?;
    let mut order = vec![0u32; q.dim(0)?];
    for (i, query) in queries.into_iter().enumerate() {
        order[query as usize] = i as u32;
    }
    attended.index_select(&Tensor::new(order, device)?, 0)?.to_dtype(q.dtype())
}
