//! A decoder layer in one operation: RMSNorm, fused q/k/v, M-RoPE, grouped-query attention, output projection, and the
//! gated MLP with a fused gate and up projection, each with its LoRA update; residuals included.
//!
//! As one operation it reads an activation while it is still in a core's own cache, forms every gradient in place, and
//! gives the differentiation nothing to add up between its steps; on a GPU with bf16 weights it is one too (`cuda`). Where
//! weights are trained, or are of another type on a GPU, the same is composed of the other operations of this crate.

mod backward;
mod composed;
mod forward;
mod product;
mod weights;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, bail};

use crate::{
    attention::{Segment, check},
    lora::LoraFactors,
    rope::Rotation,
    storage::{Read, floats, fusable, tensor},
    weight::fusable_weight,
};
pub use backward::BACKWARD_BLOCK;
use forward::{Frozen, Kept};
pub use weights::{Cached, DecoderLayer, Fused};

impl DecoderLayer {
    /// Hidden states `[tokens, hidden]` after the layer, from those before it. Segments count the tokens of this call.
    pub fn forward(
        &self,
        x: &Tensor,
        rotation: &Rotation,
        segments: &Arc<[Segment]>,
        lora: Option<&LoraFactors>,
    ) -> Result<Tensor> {
        check(segments, x.dim(0)?, x.dim(0)?)?;
        let x = x.contiguous()?;
        #[cfg(feature = "cuda")]
        if self.resident.is_there() {
            return crate::cuda::forward(self, &x, rotation, segments, lora);
        }
        if !self.is_fusable(&x, lora) {
            return composed::forward(self, &x, rotation, segments, lora, None);
        }
        let op = Op {
            layer: self.clone(),
            rotation: rotation.clone(),
            segments: segments.clone(),
            lora: lora.cloned(),
            keep: x.track_op() || lora.is_some_and(|lora| lora.flat().track_op()),
            kept: Mutex::default(),
        };
        match lora {
            Some(lora) => x.apply_op2(lora.flat(), op),
            None => x.apply_op1(op),
        }
    }

    /// The same over a cache, which is written first; segments count its rows, and are causal. Without gradients.
    pub fn forward_cached(
        &self,
        x: &Tensor,
        rotation: &Rotation,
        segments: &Arc<[Segment]>,
        lora: Option<&LoraFactors>,
        cached: Cached,
    ) -> Result<Tensor> {
        check(segments, x.dim(0)?, cached.keys.dim(0)?)?;
        let x = x.contiguous()?.detach();
        #[cfg(feature = "cuda")]
        if self.resident.is_there() {
            return crate::cuda::forward_cached(self, &x, rotation, segments, lora, cached);
        }
        if !self.is_fusable(&x, lora) || !fusable(&[cached.keys, cached.values]) {
            return composed::forward(self, &x, rotation, segments, lora, Some(cached));
        }
        let read = Read::new(&x);
        let frozen = Reads::new(self, rotation, lora);
        let y = frozen.frozen(self, lora)?.forward_cached(read.slice()?, segments, cached)?;
        tensor(y, x.shape())
    }

    fn is_fusable(&self, x: &Tensor, lora: Option<&LoraFactors>) -> bool {
        let matrices = Fused::ALL.map(|product| self.matrix(product));
        let floats = [x, &self.input_norm, &self.post_norm, &self.qkv_bias];
        fusable(&floats)
            && lora.is_none_or(|lora| fusable(&[lora.flat()]))
            && matrices.iter().all(|w| fusable_weight(w))
            && !floats[1..].iter().chain(&matrices).any(|w| w.track_op())
    }
}

/// Read locks on everything that a layer is made of.
struct Reads<'a> {
    floats: [Read<'a>; 5],
    matrices: [Read<'a>; Fused::COUNT],
    flat: Option<Read<'a>>,
}

impl<'a> Reads<'a> {
    fn new(layer: &'a DecoderLayer, rotation: &'a Rotation, lora: Option<&'a LoraFactors>) -> Self {
        let floats = [&layer.input_norm, &layer.post_norm, &layer.qkv_bias, &rotation.cos, &rotation.sin];
        Self {
            floats: floats.map(Read::new),
            matrices: Fused::ALL.map(|product| Read::new(layer.matrix(product))),
            flat: lora.map(|lora| Read::new(lora.flat())),
        }
    }

    fn frozen<'b>(&'b self, layer: &DecoderLayer, lora: Option<&'b LoraFactors>) -> Result<Frozen<'b>> {
        Frozen::new(layer, &self.floats, &self.matrices, self.flat.as_ref(), lora)
    }
}

/// One call.
struct Op {
    layer: DecoderLayer,
    rotation: Rotation,
    segments: Arc<[Segment]>,
    lora: Option<LoraFactors>,
    /// Whether there will be a backward pass.
    keep: bool,
    kept: Mutex<Option<Kept>>,
}

impl Op {
    fn run(&self, x: &[f32]) -> Result<(Vec<f32>, Option<Kept>)> {
        let reads = Reads::new(&self.layer, &self.rotation, self.lora.as_ref());
        reads.frozen(&self.layer, self.lora.as_ref())?.forward(x, &self.segments, self.keep)
    }

    fn forward(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (y, kept) = self.run(floats(storage, layout)?)?;
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = kept;
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    /// The gradients of `x` and of the flat factors.
    fn backward(&self, x: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let (read, rg) = (Read::new(x), Read::new(&grad));
        let xs = read.slice()?;
        // What the forward pass left is for one backward pass; another one computes it again.
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        let kept = match kept {
            Some(kept) => kept,
            None => match self.run(xs)?.1 {
                Some(kept) => kept,
                None => bail!("decoder-layer: a backward pass of a forward pass without gradients"),
            },
        };
        let reads = Reads::new(&self.layer, &self.rotation, self.lora.as_ref());
        let frozen = reads.frozen(&self.layer, self.lora.as_ref())?;
        let (dx, dflat) = frozen.backward(xs, rg.slice()?, kept, &self.segments, x.track_op());
        let dx = dx.map(|dx| tensor(dx, x.shape())).transpose()?;
        let dflat = self.lora.as_ref().map(|lora| tensor(dflat, lora.flat().shape())).transpose()?;
        Ok((dx, dflat))
    }
}

impl CustomOp1 for Op {
    fn name(&self) -> &'static str {
        "decoder-layer"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        self.forward(storage, layout)
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        Ok(self.backward(x, grad)?.0)
    }
}

impl CustomOp2 for Op {
    fn name(&self) -> &'static str {
        "decoder-layer-lora"
    }

    fn cpu_fwd(
        &self,
        storage: &CpuStorage,
        layout: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.forward(storage, layout)
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        self.backward(x, grad)
    }
}
