//! Rotary position embedding in the rotate-half convention, with a table of angles per token.
//!
//! Which position feeds which frequency (M-RoPE's three axes, the vision tower's two) is decided where the table is
//! made, not here.

use candle_core::{CpuStorage, CustomOp1, D, Device, Layout, Result, Shape, Tensor};

use crate::{
    storage::{Read, floats, fusable, tensor},
    vector::vectorised,
};

/// Cosines and sines, each `[tokens, head_dim / 2]`.
#[derive(Clone, Debug)]
pub struct Rotation {
    cos: Tensor,
    sin: Tensor,
}

impl Rotation {
    /// `angles` is row-major `[tokens, half]`.
    pub fn new(angles: &[f32], half: usize, device: &Device) -> Result<Self> {
        let shape = (angles.len() / half.max(1), half);
        Ok(Self {
            cos: Tensor::from_vec(angles.iter().map(|a| a.cos()).collect(), shape, device)?,
            sin: Tensor::from_vec(angles.iter().map(|a| a.sin()).collect(), shape, device)?,
        })
    }

    /// The rows `index` of the table.
    pub fn select(&self, index: &Tensor) -> Result<Self> {
        Ok(Self { cos: self.cos.index_select(index, 0)?, sin: self.sin.index_select(index, 0)? })
    }
}

/// Rotates `x` `[tokens, heads, head_dim]`: with halves `(a, b)` it becomes `(a cos - b sin, b cos + a sin)`.
pub fn rope(x: &Tensor, rotation: &Rotation) -> Result<Tensor> {
    let x = x.contiguous()?;
    if fusable(&[&x]) {
        return x.apply_op1(Rope { rotation: rotation.clone(), sign: 1.0 });
    }
    let half = x.dim(D::Minus1)? / 2;
    let (a, b) = (x.narrow(D::Minus1, 0, half)?, x.narrow(D::Minus1, half, half)?);
    let cos = rotation.cos.to_dtype(x.dtype())?.unsqueeze(1)?;
    let sin = rotation.sin.to_dtype(x.dtype())?.unsqueeze(1)?;
    Tensor::cat(
        &[&(a.broadcast_mul(&cos)? - b.broadcast_mul(&sin)?)?, &(b.broadcast_mul(&cos)? + a.broadcast_mul(&sin)?)?],
        D::Minus1,
    )
}

struct Rope {
    rotation: Rotation,
    /// -1 turns backwards, which is the transpose.
    sign: f32,
}

impl Rope {
    fn rotate(&self, x: &[f32], heads: usize, dim: usize) -> Result<Vec<f32>> {
        let half = dim / 2;
        let (cos, sin) = (Read::new(&self.rotation.cos), Read::new(&self.rotation.sin));
        let (cos, sin) = (cos.slice()?, sin.slice()?);
        if cos.len() * heads * 2 != x.len() {
            candle_core::bail!("rope: {} angles for {} values in {heads} heads of {dim}", cos.len(), x.len());
        }
        let mut y = vec![0f32; x.len()];
        let tokens = x.chunks_exact(heads * dim).zip(y.chunks_exact_mut(heads * dim));
        vectorised(|| {
            for ((x, y), (c, s)) in tokens.zip(cos.chunks_exact(half).zip(sin.chunks_exact(half))) {
                for (x, y) in x.chunks_exact(dim).zip(y.chunks_exact_mut(dim)) {
                    let ((a, b), (ya, yb)) = (x.split_at(half), y.split_at_mut(half));
                    let inputs = a.iter().zip(b).zip(c.iter().zip(s));
                    for ((ya, yb), ((&a, &b), (&cos, &sin))) in ya.iter_mut().zip(yb).zip(inputs) {
                        let sin = sin * self.sign;
                        *ya = a * cos - b * sin;
                        *yb = b * cos + a * sin;
                    }
                }
            }
        });
        Ok(y)
    }
}

impl CustomOp1 for Rope {
    fn name(&self) -> &'static str {
        "rope"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, heads, dim) = layout.shape().dims3()?;
        Ok((CpuStorage::F32(self.rotate(floats(storage, layout)?, heads, dim)?), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (_, heads, dim) = x.dims3()?;
        let grad = grad.contiguous()?;
        let back = Rope { rotation: self.rotation.clone(), sign: -self.sign };
        Ok(Some(tensor(back.rotate(Read::new(&grad).slice()?, heads, dim)?, x.shape())?))
    }
}
