//! RMSNorm: `y = w * x / sqrt(mean(x^2) + eps)` over the last dimension.

use candle_core::{CpuStorage, CustomOp2, D, Layout, Result, Shape, Tensor};

use crate::{
    storage::{Read, floats, fusable, tensor},
    vector::{dot, vectorised},
};

/// `x` is `[..., C]`, `weight` `[C]`.
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    let x = x.contiguous()?;
    if fusable(&[&x, weight]) {
        return x.apply_op2(weight, RmsNorm { eps: eps as f32 });
    }
    let dtype = x.dtype();
    let x = x.to_dtype(candle_core::DType::F32)?;
    let mean = x.sqr()?.mean_keepdim(D::Minus1)?;
    let x = x.broadcast_div(&(mean + eps)?.sqrt()?)?;
    x.to_dtype(dtype)?.broadcast_mul(weight)
}

struct RmsNorm {
    eps: f32,
}

#[inline(always)]
fn inverse(x: &[f32], eps: f32) -> f32 {
    1.0 / (dot(x, x) / x.len() as f32 + eps).sqrt()
}

/// One row.
#[inline(always)]
pub(crate) fn normalise(x: &[f32], weight: &[f32], eps: f32, y: &mut [f32]) {
    let inverse = inverse(x, eps);
    for ((y, &x), &w) in y.iter_mut().zip(x).zip(weight) {
        *y = x * inverse * w;
    }
}

/// Turns the gradient `g` of a normalised row into that of `x`, in place.
#[inline(always)]
pub(crate) fn denormalise(x: &[f32], weight: &[f32], eps: f32, g: &mut [f32]) {
    let inverse = inverse(x, eps);
    g.iter_mut().zip(weight).for_each(|(g, &w)| *g *= w);
    let along = dot(g, x) * inverse * inverse / x.len() as f32;
    g.iter_mut().zip(x).for_each(|(g, &x)| *g = (*g - x * along) * inverse);
}

impl CustomOp2 for RmsNorm {
    fn name(&self) -> &'static str {
        "rms-norm"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, w) = (floats(s1, l1)?, floats(s2, l2)?);
        let mut y = vec![0f32; x.len()];
        vectorised(|| {
            for (x, y) in x.chunks_exact(w.len()).zip(y.chunks_exact_mut(w.len())) {
                normalise(x, w, self.eps, y);
            }
        });
        Ok((CpuStorage::F32(y), l1.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let (rx, rw, rg) = (Read::new(x), Read::new(w), Read::new(&grad));
        let (xs, ws, gs) = (rx.slice()?, rw.slice()?, rg.slice()?);
        let c = ws.len();
        let mut dx = gs.to_vec();
        let mut dw = vec![0f32; c];
        vectorised(|| {
            for (x, g) in xs.chunks_exact(c).zip(dx.chunks_exact_mut(c)) {
                let inverse = inverse(x, self.eps);
                for ((dw, &g), &x) in dw.iter_mut().zip(&*g).zip(x) {
                    *dw += g * x * inverse;
                }
                denormalise(x, ws, self.eps, g);
            }
        });
        let dw = if w.track_op() { Some(tensor(dw, w.shape())?) } else { None };
        let dx = if x.track_op() { Some(tensor(dx, x.shape())?) } else { None };
        Ok((dx, dw))
    }
}
