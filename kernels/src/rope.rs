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
    pub(crate) cos: Tensor,
    pub(crate) sin: Tensor,
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
        let (cos, sin) = (Read::new(&self.rotation.cos), Read::new(&self.rotation.sin));
        let angles = Angles { cos: cos.slice()?, sin: sin.slice()?, sign: self.sign };
        if angles.cos.len() * heads * 2 != x.len() {
            candle_core::bail!("rope: {} angles for {} values in {heads} heads of {dim}", angles.cos.len(), x.len());
        }
        let mut y = x.to_vec();
        vectorised(|| {
            y.chunks_exact_mut(heads * dim).enumerate().for_each(|(token, row)| angles.rotate(token, row, dim))
        });
        Ok(y)
    }
}

/// The table of a rotation on a CPU.
#[derive(Clone, Copy)]
pub(crate) struct Angles<'a> {
    pub cos: &'a [f32],
    pub sin: &'a [f32],
    /// -1 turns backwards, which is the transpose.
    pub sign: f32,
}

impl Angles<'_> {
    /// Rotates the heads of a token, one after the other in `row`.
    #[inline(always)]
    pub fn rotate(&self, token: usize, row: &mut [f32], dim: usize) {
        let half = dim / 2;
        let (cos, sin) = (&self.cos[token * half..][..half], &self.sin[token * half..][..half]);
        for head in row.chunks_exact_mut(dim) {
            let (a, b) = head.split_at_mut(half);
            for ((a, b), (&cos, &sin)) in a.iter_mut().zip(b).zip(cos.iter().zip(sin)) {
                let sin = sin * self.sign;
                (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
            }
        }
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
