//! Operations whose backward pass is written with tensors, for devices without a fused kernel.
//!
//! candle would keep every intermediate of a composed operation and form the gradients of frozen weights too. Here the
//! forward pass runs without a graph, and only its result enters one.

use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, Layout, Result, Shape, Storage, Tensor, backend::BackendStorage, bail,
};

/// `output`, a fresh tensor without a graph, as a function of `x` whose gradient is `backward(gradient of output)`.
pub fn attach(
    x: &Tensor,
    output: Tensor,
    backward: impl Fn(&Tensor) -> Result<Tensor> + Send + Sync + 'static,
) -> Result<Tensor> {
    if !x.track_op() {
        return Ok(output);
    }
    x.apply_op1(Attached { output: output.contiguous()?, backward })
}

/// A scalar whose gradient for `x` is `gradient`: where a backward pass begins that goes on from another one.
pub fn pull(x: &Tensor, gradient: Tensor) -> Result<Tensor> {
    attach(x, Tensor::zeros((), x.dtype(), x.device())?, move |_| Ok(gradient.clone()))
}

struct Attached<B> {
    output: Tensor,
    backward: B,
}

impl<B: Fn(&Tensor) -> Result<Tensor> + Send + Sync> CustomOp1 for Attached<B> {
    fn name(&self) -> &'static str {
        "attached"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        match &*self.output.storage_and_layout().0 {
            Storage::Cpu(storage) => Ok((storage.clone(), self.output.shape().clone())),
            _ => bail!("{} has an output on another device", self.name()),
        }
    }

    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        let (storage, layout) = self.output.storage_and_layout();
        match &*storage {
            Storage::Cuda(storage) => Ok((storage.try_clone(layout)?, self.output.shape().clone())),
            _ => bail!("{} has an output on another device", self.name()),
        }
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some((self.backward)(&grad.detach())?))
    }
}
