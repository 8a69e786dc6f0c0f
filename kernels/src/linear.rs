//! A linear layer.
//!
//! candle's matmul always computes both of its gradients; here the gradient of a frozen weight is never formed.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};

use crate::{
    attach::attach,
    product::matmul,
    storage::{Read, floats, fusable, tensor},
    threads::parallelism,
    vector::vectorised,
    views::{Mat, MatMut},
    weight::{Weight, fusable_weight},
};

/// `x @ weight + bias`: `x` `[tokens, in]`, `weight` `[in, out]`, `bias` `[out]`.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let x = x.contiguous()?;
    match bias {
        None if fusable(&[&x]) && fusable_weight(weight) => x.apply_op2(weight, Linear),
        Some(bias) if fusable(&[&x, bias]) && fusable_weight(weight) => x.apply_op3(weight, bias, Linear),
        _ => composed(&x, weight, bias),
    }
}

/// The same from candle's operations, the product in the weight's type.
pub(crate) fn composed(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let product = |x: &Tensor, w: &Tensor| x.to_dtype(w.dtype())?.matmul(w)?.to_dtype(x.dtype());
    let y = |x: &Tensor| match bias {
        Some(bias) => product(x, weight)?.broadcast_add(bias),
        None => product(x, weight),
    };
    if weight.track_op() || bias.is_some_and(Tensor::track_op) {
        return y(x);
    }
    let frozen = weight.clone();
    attach(x, y(&x.detach())?, move |grad| product(&grad.contiguous()?, &frozen.t()?))
}

struct Linear;

impl Linear {
    fn forward(
        x: (&CpuStorage, &Layout),
        w: (&CpuStorage, &Layout),
        bias: Option<&[f32]>,
    ) -> Result<(CpuStorage, Shape)> {
        let ((tokens, inputs), weight) = (x.1.shape().dims2()?, Weight::new(w.0, w.1)?);
        if inputs != weight.rows || bias.is_some_and(|bias| bias.len() != weight.cols) {
            candle_core::bail!("linear: input of width {inputs} for a weight of shape {:?}", w.1.shape());
        }
        let mut y = bias.map_or_else(|| vec![0f32; tokens * weight.cols], |bias| bias.repeat(tokens));
        let x = Mat::new(floats(x.0, x.1)?, tokens, inputs);
        weight.apply(MatMut::new(&mut y, tokens, weight.cols), bias.is_some(), x);
        Ok((CpuStorage::F32(y), (tokens, weight.cols).into()))
    }

    fn backward(x: &Tensor, w: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let ((tokens, inputs), outputs) = (x.dims2()?, w.dim(1)?);
        let (rx, rw, rg) = (Read::new(x), Read::new(w), Read::new(grad));
        let g = Mat::new(rg.slice()?, tokens, outputs);
        let dx = if x.track_op() {
            let mut dx = vec![0f32; tokens * inputs];
            Weight::read(&rw)?.apply_transposed(MatMut::new(&mut dx, tokens, inputs), false, g);
            Some(tensor(dx, x.shape())?)
        } else {
            None
        };
        let dw = if w.track_op() {
            let mut dw = vec![0f32; inputs * outputs];
            let x = Mat::new(rx.slice()?, tokens, inputs);
            matmul(MatMut::new(&mut dw, inputs, outputs), false, 1.0, x.t(), g, parallelism());
            Some(tensor(dw, w.shape())?)
        } else {
            None
        };
        Ok((dx, dw))
    }
}

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        Self::forward((s1, l1), (s2, l2), None)
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Self::backward(x, w, &grad.contiguous()?)
    }
}

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear-bias"
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
        Self::forward((s1, l1), (s2, l2), Some(floats(s3, l3)?))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let (dx, dw) = Self::backward(x, w, &grad)?;
        let dbias = if bias.track_op() {
            let read = Read::new(&grad);
            let mut sum = vec![0f32; bias.elem_count()];
            let rows = read.slice()?.chunks_exact(sum.len());
            vectorised(|| rows.for_each(|row| sum.iter_mut().zip(row).for_each(|(s, g)| *s += g)));
            Some(tensor(sum, bias.shape())?)
        } else {
            None
        };
        Ok((dx, dw, dbias))
    }
}
