//! Linear layers, plain and with a LoRA adapter.
//!
//! candle's matmul always computes both of its gradients; here the gradient of a frozen weight is never formed.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};

use crate::{
    attach::attach,
    product::{FEW, FewRows, by_rows, matmul},
    storage::{Read, floats, fusable, tensor},
    threads::{parallelism, threads},
    vector::vectorised,
    views::{Mat, MatMut},
    weight::{Values, Weight, fusable_weight},
};

/// `x @ weight^T + bias`: `x` `[tokens, in]`, `weight` `[out, in]`, `bias` `[out]`.
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
        Some(bias) => product(x, &weight.t()?)?.broadcast_add(bias),
        None => product(x, &weight.t()?),
    };
    if weight.track_op() || bias.is_some_and(Tensor::track_op) {
        return y(x);
    }
    let frozen = weight.clone();
    attach(x, y(&x.detach())?, move |grad| product(&grad.contiguous()?, &frozen))
}

/// The two factors of one adapted layer: `a` `[rank, in]`, `b` `[out, rank]`, and the factor of their product.
#[derive(Clone, Debug)]
pub struct LoraPair {
    pub a: Tensor,
    pub b: Tensor,
    pub scale: f64,
}

/// `x @ weight^T + bias + scale * (x @ a^T) @ b^T` (Hu et al. 2021, equation 3); weight and bias stay frozen.
pub fn lora_linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, lora: &LoraPair) -> Result<Tensor> {
    let x = x.contiguous()?;
    let frozen_bias = bias.map(Tensor::detach);
    let mut tensors = vec![&x, &lora.a, &lora.b];
    tensors.extend(frozen_bias.as_ref());
    if fusable(&tensors) && fusable_weight(weight) {
        let op = LoraLinear { weight: weight.detach(), bias: frozen_bias, scale: lora.scale as f32 };
        return x.apply_op3(&lora.a, &lora.b, op);
    }
    composed_lora(&x, weight, frozen_bias.as_ref(), lora)
}

/// The same from candle's operations.
pub(crate) fn composed_lora(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, lora: &LoraPair) -> Result<Tensor> {
    let low = x.matmul(&lora.a.t()?)?.matmul(&lora.b.t()?)?;
    composed(x, &weight.detach(), bias)? + (low * lora.scale)?
}

struct Linear;

impl Linear {
    fn forward(x: &[f32], weight: &Weight, bias: Option<&[f32]>) -> Vec<f32> {
        let tokens = x.len() / weight.cols;
        let mut y = biased(tokens, weight.rows, bias);
        weight.apply(MatMut::new(&mut y, tokens, weight.rows), bias.is_some(), 1.0, Mat::new(x, tokens, weight.cols));
        y
    }

    fn backward(x: &Tensor, w: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let ((tokens, inputs), outputs) = (x.dims2()?, w.dim(0)?);
        let (rx, rw, rg) = (Read::new(x), Read::new(w), Read::new(grad));
        let g = Mat::new(rg.slice()?, tokens, outputs);
        let dx = if x.track_op() {
            let mut dx = vec![0f32; tokens * inputs];
            Weight::read(&rw)?.apply_transposed(MatMut::new(&mut dx, tokens, inputs), false, 1.0, g);
            Some(tensor(dx, x.shape())?)
        } else {
            None
        };
        let dw = if w.track_op() {
            let mut dw = vec![0f32; outputs * inputs];
            let x = Mat::new(rx.slice()?, tokens, inputs);
            matmul(MatMut::new(&mut dw, outputs, inputs), false, 1.0, g.t(), x, parallelism());
            Some(tensor(dw, w.shape())?)
        } else {
            None
        };
        Ok((dx, dw))
    }
}

fn weight<'a>(x: &Layout, storage: &'a CpuStorage, layout: &Layout) -> Result<Weight<'a>> {
    let (weight, inputs) = (Weight::new(storage, layout)?, x.shape().dims2()?.1);
    if inputs != weight.cols {
        candle_core::bail!("linear: input of width {inputs} for a weight of shape {:?}", layout.shape());
    }
    Ok(weight)
}

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        let weight = weight(l1, s2, l2)?;
        let y = Self::forward(floats(s1, l1)?, &weight, None);
        let shape = (y.len() / weight.rows, weight.rows);
        Ok((CpuStorage::F32(y), shape.into()))
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
        let weight = weight(l1, s2, l2)?;
        let y = Self::forward(floats(s1, l1)?, &weight, Some(floats(s3, l3)?));
        let shape = (y.len() / weight.rows, weight.rows);
        Ok((CpuStorage::F32(y), shape.into()))
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

struct LoraLinear {
    weight: Tensor,
    bias: Option<Tensor>,
    scale: f32,
}

impl CustomOp3 for LoraLinear {
    fn name(&self) -> &'static str {
        "lora-linear"
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
        let (outputs, inputs) = self.weight.dims2()?;
        let ((rank, a_in), (b_out, b_rank)) = (l2.shape().dims2()?, l3.shape().dims2()?);
        if l1.shape().dims2()?.1 != inputs || a_in != inputs || b_out != outputs || b_rank != rank {
            candle_core::bail!(
                "input {:?} and LoRA factors {:?} and {:?} do not fit a weight of shape [{outputs}, {inputs}]",
                l1.shape(),
                l2.shape(),
                l3.shape()
            );
        }
        let weight = Read::new(&self.weight);
        let bias = self.bias.as_ref().map(Read::new);
        let bias = bias.as_ref().map(Read::slice).transpose()?;
        let x = floats(s1, l1)?;
        let tokens = x.len() / inputs;
        let mut low = low_rank(x, floats(s2, l2)?, tokens, inputs, rank);
        low.iter_mut().for_each(|value| *value *= self.scale);
        let (low, b) = (Mat::new(&low, tokens, rank), Mat::new(floats(s3, l3)?, outputs, rank));
        let weight = Weight::read(&weight)?;
        let y = match weight.values {
            Values::F32(w) if tokens < FEW => {
                let mut y = biased(tokens, outputs, bias);
                let pairs = [(Mat::new(x, tokens, inputs), Mat::new(w, outputs, inputs)), (low, b)];
                let product = FewRows { pairs: &pairs, accumulate: bias.is_some(), scale: 1.0 };
                product.product(MatMut::new(&mut y, tokens, outputs), threads());
                y
            }
            _ => {
                let mut y = Linear::forward(x, &weight, bias);
                by_rows(MatMut::new(&mut y, tokens, outputs), true, 1.0, low, b, parallelism());
                y
            }
        };
        Ok((CpuStorage::F32(y), (tokens, outputs).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        a: &Tensor,
        b: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let ((tokens, inputs), (outputs, rank)) = (x.dims2()?, b.dims2()?);
        let (rx, ra, rb, rg) = (Read::new(x), Read::new(a), Read::new(b), Read::new(&grad));
        let (xs, a_data) = (rx.slice()?, ra.slice()?);
        let g = Mat::new(rg.slice()?, tokens, outputs);
        let par = parallelism();

        // scale * grad @ b: the gradient that reaches the low-rank activations.
        let mut dlow = vec![0f32; tokens * rank];
        let up = Mat::new(rb.slice()?, outputs, rank);
        matmul(MatMut::new(&mut dlow, tokens, rank), false, self.scale, g, up, par);
        let dlow = Mat::new(&dlow, tokens, rank);

        let dx = if x.track_op() {
            let weight = Read::new(&self.weight);
            let mut dx = vec![0f32; tokens * inputs];
            Weight::read(&weight)?.apply_transposed(MatMut::new(&mut dx, tokens, inputs), false, 1.0, g);
            matmul(MatMut::new(&mut dx, tokens, inputs), true, 1.0, dlow, Mat::new(a_data, rank, inputs), par);
            Some(tensor(dx, x.shape())?)
        } else {
            None
        };
        let mut da = vec![0f32; rank * inputs];
        matmul(MatMut::new(&mut da, rank, inputs), false, 1.0, dlow.t(), Mat::new(xs, tokens, inputs), par);
        let low = low_rank(xs, a_data, tokens, inputs, rank);
        let mut db = vec![0f32; outputs * rank];
        matmul(MatMut::new(&mut db, outputs, rank), false, self.scale, g.t(), Mat::new(&low, tokens, rank), par);
        Ok((dx, Some(tensor(da, a.shape())?), Some(tensor(db, b.shape())?)))
    }
}

/// `[tokens, outputs]`: the bias in every row, or zeros.
fn biased(tokens: usize, outputs: usize, bias: Option<&[f32]>) -> Vec<f32> {
    bias.map_or_else(|| vec![0f32; tokens * outputs], |bias| bias.repeat(tokens))
}

/// `x @ a^T`.
fn low_rank(x: &[f32], a: &[f32], tokens: usize, inputs: usize, rank: usize) -> Vec<f32> {
    let mut low = vec![0f32; tokens * rank];
    let (x, a) = (Mat::new(x, tokens, inputs), Mat::new(a, rank, inputs));
    by_rows(MatMut::new(&mut low, tokens, rank), false, 1.0, x, a, parallelism());
    low
}
