//! Linear layers, plain and with a LoRA adapter.
//!
//! candle's matmul always computes both of its gradients; here the gradient of a frozen weight is never formed.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, DType, Layout, Result, Shape, Tensor};

use super::kernel::{Mat, Read, floats, fusable, matmul, parallelism, tensor, vectorised};

/// `x @ weight^T + bias`: `x` `[tokens, in]`, `weight` `[out, in]`, `bias` `[out]`.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let x = x.contiguous()?;
    match bias {
        None if fusable(&[&x, weight]) => x.apply_op2(weight, Linear),
        Some(bias) if fusable(&[&x, weight, bias]) => x.apply_op3(weight, bias, Linear),
        _ => {
            let y = x.to_dtype(weight.dtype())?.matmul(&weight.t()?)?.to_dtype(x.dtype())?;
            match bias {
                Some(bias) => y.broadcast_add(&bias.to_dtype(x.dtype())?),
                None => Ok(y),
            }
        }
    }
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
    let mut tensors = vec![&x, weight, &lora.a, &lora.b];
    tensors.extend(frozen_bias.as_ref());
    if fusable(&tensors) {
        let op = LoraLinear { weight: weight.detach(), bias: frozen_bias, scale: lora.scale as f32 };
        return x.apply_op3(&lora.a, &lora.b, op);
    }
    let low = x.to_dtype(DType::F32)?.matmul(&lora.a.t()?)?.matmul(&lora.b.t()?)?;
    linear(&x, &weight.detach(), bias)? + (low * lora.scale)?.to_dtype(x.dtype())?
}

struct Linear;

impl Linear {
    fn forward(x: &[f32], w: &[f32], bias: Option<&[f32]>, dims: (usize, usize)) -> Vec<f32> {
        let (inputs, outputs) = dims;
        let tokens = x.len() / inputs;
        let mut y = vec![0f32; tokens * outputs];
        if let Some(bias) = bias {
            y.chunks_exact_mut(outputs).for_each(|row| row.copy_from_slice(bias));
        }
        let (x, w) = (Mat::new(x, tokens, inputs), Mat::new(w, outputs, inputs));
        matmul(&mut y, outputs, bias.is_some(), 1.0, x, w.t(), parallelism());
        y
    }

    fn backward(x: &Tensor, w: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let ((tokens, inputs), outputs) = (x.dims2()?, w.dim(0)?);
        let (rx, rw, rg) = (Read::new(x), Read::new(w), Read::new(grad));
        let g = Mat::new(rg.slice()?, tokens, outputs);
        let dx = if x.track_op() {
            let mut dx = vec![0f32; tokens * inputs];
            matmul(&mut dx, inputs, false, 1.0, g, Mat::new(rw.slice()?, outputs, inputs), parallelism());
            Some(tensor(dx, x.shape())?)
        } else {
            None
        };
        let dw = if w.track_op() {
            let mut dw = vec![0f32; outputs * inputs];
            matmul(&mut dw, inputs, false, 1.0, g.t(), Mat::new(rx.slice()?, tokens, inputs), parallelism());
            Some(tensor(dw, w.shape())?)
        } else {
            None
        };
        Ok((dx, dw))
    }
}

fn dims(x: &Layout, w: &Layout) -> Result<(usize, usize)> {
    let ((_, inputs), (outputs, width)) = (x.shape().dims2()?, w.shape().dims2()?);
    if inputs != width {
        candle_core::bail!("linear: input of width {inputs} for a weight of shape {:?}", w.shape());
    }
    Ok((inputs, outputs))
}

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        let (inputs, outputs) = dims(l1, l2)?;
        let y = Self::forward(floats(s1, l1)?, floats(s2, l2)?, None, (inputs, outputs));
        let shape = (y.len() / outputs, outputs);
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
        let (inputs, outputs) = dims(l1, l2)?;
        let y = Self::forward(floats(s1, l1)?, floats(s2, l2)?, Some(floats(s3, l3)?), (inputs, outputs));
        let shape = (y.len() / outputs, outputs);
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
        let (inputs, outputs) = dims(l1, self.weight.layout())?;
        let ((rank, a_in), (b_out, b_rank)) = (l2.shape().dims2()?, l3.shape().dims2()?);
        if a_in != inputs || b_out != outputs || b_rank != rank {
            candle_core::bail!(
                "LoRA factors {:?} and {:?} do not fit a weight of shape [{outputs}, {inputs}]",
                l2.shape(),
                l3.shape()
            );
        }
        let weight = Read::new(&self.weight);
        let bias = self.bias.as_ref().map(Read::new);
        let bias = bias.as_ref().map(Read::slice).transpose()?;
        let x = floats(s1, l1)?;
        let tokens = x.len() / inputs;
        let mut y = Linear::forward(x, weight.slice()?, bias, (inputs, outputs));
        let low = low_rank(x, floats(s2, l2)?, tokens, inputs, rank);
        let b = Mat::new(floats(s3, l3)?, outputs, rank);
        matmul(&mut y, outputs, true, self.scale, Mat::new(&low, tokens, rank), b.t(), parallelism());
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
        matmul(&mut dlow, rank, false, self.scale, g, Mat::new(rb.slice()?, outputs, rank), par);
        let dlow = Mat::new(&dlow, tokens, rank);

        let dx = if x.track_op() {
            let weight = Read::new(&self.weight);
            let mut dx = vec![0f32; tokens * inputs];
            matmul(&mut dx, inputs, false, 1.0, g, Mat::new(weight.slice()?, outputs, inputs), par);
            matmul(&mut dx, inputs, true, 1.0, dlow, Mat::new(a_data, rank, inputs), par);
            Some(tensor(dx, x.shape())?)
        } else {
            None
        };
        let mut da = vec![0f32; rank * inputs];
        matmul(&mut da, inputs, false, 1.0, dlow.t(), Mat::new(xs, tokens, inputs), par);
        let low = low_rank(xs, a_data, tokens, inputs, rank);
        let mut db = vec![0f32; outputs * rank];
        matmul(&mut db, rank, false, self.scale, g.t(), Mat::new(&low, tokens, rank), par);
        Ok((dx, Some(tensor(da, a.shape())?), Some(tensor(db, b.shape())?)))
    }
}

/// `x @ a^T`.
fn low_rank(x: &[f32], a: &[f32], tokens: usize, inputs: usize, rank: usize) -> Vec<f32> {
    let mut low = vec![0f32; tokens * rank];
    matmul(&mut low, rank, false, 1.0, Mat::new(x, tokens, inputs), Mat::new(a, rank, inputs).t(), parallelism());
    low
}
