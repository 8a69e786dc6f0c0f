//! SwiGLU's elementwise half: `y = silu(gate) * up`.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use crate::{
    storage::{Read, floats, fusable, tensor},
    vector::{exp, vectorised},
};

/// `gate` and `up` have the same shape.
pub fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    if fusable(&[gate, up]) {
        return gate.apply_op2(up, SwiGlu);
    }
    gate.silu()?.mul(up)
}

/// Some values of `y`.
#[inline(always)]
pub(crate) fn activate(gate: &[f32], up: &[f32], y: &mut [f32]) {
    for ((y, &g), &u) in y.iter_mut().zip(gate).zip(up) {
        *y = g / (1.0 + exp(-g)) * u;
    }
}

/// The gradients of some gates and ups, from those of the result, `d`.
#[inline(always)]
pub(crate) fn gradients([gate, up, d]: [&[f32]; 3], [dgate, dup]: [&mut [f32]; 2]) {
    let inputs = gate.iter().zip(up).zip(d);
    for ((dgate, dup), ((&g, &u), &d)) in dgate.iter_mut().zip(dup).zip(inputs) {
        let sigmoid = 1.0 / (1.0 + exp(-g));
        let silu = g * sigmoid;
        *dup = d * silu;
        *dgate = d * u * (sigmoid + silu * (1.0 - sigmoid));
    }
}

struct SwiGlu;

impl CustomOp2 for SwiGlu {
    fn name(&self) -> &'static str {
        "swiglu"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        let (gate, up) = (floats(s1, l1)?, floats(s2, l2)?);
        let mut y = vec![0f32; gate.len()];
        vectorised(|| activate(gate, up, &mut y));
        Ok((CpuStorage::F32(y), l1.shape().clone()))
    }

    fn bwd(&self, gate: &Tensor, up: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let (rg, ru, rd) = (Read::new(gate), Read::new(up), Read::new(&grad));
        let (gs, us, ds) = (rg.slice()?, ru.slice()?, rd.slice()?);
        let mut dgate = vec![0f32; gs.len()];
        let mut dup = vec![0f32; gs.len()];
        vectorised(|| gradients([gs, us, ds], [&mut dgate, &mut dup]));
        Ok((Some(tensor(dgate, gate.shape())?), Some(tensor(dup, up.shape())?)))
    }
}
