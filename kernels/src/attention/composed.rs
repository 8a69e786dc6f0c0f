//! Attention from candle's differentiable operations, for devices without a fused kernel.

use candle_core::{D, DType, Result, Tensor};

use super::segment::Segment;

/// As [`attention`](super::attention), segment by segment.
pub fn composed(q: &Tensor, k: &Tensor, v: &Tensor, segments: &[Segment]) -> Result<Tensor> {
    let ((queries, heads, dim), kv_heads) = (q.dims3()?, k.dim(1)?);
    let scale = 1.0 / (dim as f64).sqrt();
    let mut rows = vec![0u32; queries];
    let mut parts = vec![Tensor::zeros((1, heads, dim), q.dtype(), q.device())?];
    let mut filled = 1;
    for s in segments.iter().filter(|s| !s.query.is_empty()) {
        let gather = |t: &Tensor| -> Result<Tensor> {
            let ranges = s.before.iter().chain([&s.own]).filter(|range| !range.is_empty());
            let parts = ranges.map(|range| t.narrow(0, range.start, range.len())).collect::<Result<Vec<_>>>()?;
            let all = Tensor::cat(&parts, 0)?;
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
            .flat_map(|j| (0..keys).map(move |i| if i < s.shared() + s.seen(j) { 0.0 } else { f32::NEG_INFINITY }))
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
