//! The frozen weights of a decoder layer with room for LoRA factors behind them.
//!
//! A weight `[in, out]` lies in front of rows for the factors B^T, and an activation `[tokens, in]` beside columns for
//! x A^T: one product of both gives base and update, `[x | x A^T] [W; s B^T]`, and the same product backwards gives the
//! gradients of both. With the rows left out it is the reference policy. So bf16 weights never take up an update that they
//! are too coarse for.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Result, Tensor, TensorId, bail, cuda_backend::cudarc::driver::CudaSlice};
use half::bf16;

use super::{
    gpu::{Arg, Shape, Source, Work},
    pointer::{Held, Ptr},
};
use crate::{
    layer::{DecoderLayer, Fused},
    lora::{LoraFactors, Place},
};

/// The largest rank that there is room for.
const MOST_RANK: usize = 64;
/// Columns of A^T come in steps of this many, which keeps rows aligned to 16 bytes.
const STEP: usize = 8;

/// Which factors lie beside the weights of a layer.
#[derive(Clone, Debug, Default)]
pub struct Resident(Option<Arc<Mutex<State>>>);

#[derive(Debug, Default)]
struct State {
    /// The factors that are there, by the tensor that they came from.
    holds: Option<TensorId>,
    /// Where they are: another adapter's may lie elsewhere.
    places: Vec<(usize, Vec<(usize, usize)>)>,
    /// A^T of every product, `[in, width]` each.
    a: Option<CudaSlice<bf16>>,
    /// Where each of them begins, and its columns.
    starts: [usize; Fused::COUNT],
    width: [usize; Fused::COUNT],
}

/// Factors as products read them.
#[derive(Clone)]
pub(crate) struct Factors<'a> {
    /// A^T `[in, width]` of every product.
    pub a: [Ptr<bf16>; Fused::COUNT],
    /// Columns of A^T, zeros included.
    pub width: [usize; Fused::COUNT],
    pub places: &'a [Place],
}

/// Modules in a product.
fn modules(product: Fused) -> usize {
    match product {
        Fused::Qkv => 3,
        Fused::GateUp => 2,
        Fused::O | Fused::Down => 1,
    }
}

impl DecoderLayer {
    /// The same layer with room for factors behind its weights, where CUDA kernels compute it.
    pub fn with_room(mut self) -> Result<Self> {
        let half = Fused::ALL.iter().all(|&product| self.matrix(product).dtype() == DType::BF16);
        let trained = Fused::ALL.iter().any(|&product| self.matrix(product).track_op());
        if trained || !half || !self.qkv.device().is_cuda() || !self.head_dim.is_multiple_of(16) || self.head_dim > 128
        {
            return Ok(self);
        }
        let room = |weight: &Tensor, product: Fused| -> Result<Tensor> {
            let (inputs, outputs) = weight.dims2()?;
            let rows = inputs + MOST_RANK * modules(product);
            let all = Tensor::zeros((rows, outputs), weight.dtype(), weight.device())?;
            all.slice_set(&weight.contiguous()?, 0, 0)?;
            all.narrow(0, 0, inputs)
        };
        self.qkv = room(&self.qkv, Fused::Qkv)?;
        self.o = room(&self.o, Fused::O)?;
        self.gate_up = room(&self.gate_up, Fused::GateUp)?;
        self.down = room(&self.down, Fused::Down)?;
        self.resident = Resident(Some(Arc::default()));
        Ok(self)
    }
}

impl Resident {
    /// Whether this layer is computed by CUDA kernels.
    pub fn is_there(&self) -> bool {
        self.0.is_some()
    }

    /// Makes sure that these factors lie beside the weights, for what is launched next.
    pub(crate) fn hold<'a>(
        &self,
        work: &Work,
        layer: &DecoderLayer,
        weights: [Ptr<bf16>; Fused::COUNT],
        lora: &'a LoraFactors,
    ) -> Result<Factors<'a>> {
        let Some(state) = &self.0 else { bail!("decoder-layer: no room for LoRA factors") };
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.holds != Some(lora.flat().id()) {
            state.make_room(work, layer, weights, lora)?;
            state.put(work, layer, weights, lora)?;
        }
        let Some(a) = &state.a else { bail!("decoder-layer: no memory for LoRA factors") };
        Ok(Factors { a: state.starts.map(|at| Ptr::of(a).add(at)), width: state.width, places: lora.places() })
    }
}

impl State {
    /// Memory for factors that lie as these do, with zeros where none will be.
    fn make_room(
        &mut self,
        work: &Work,
        layer: &DecoderLayer,
        weights: [Ptr<bf16>; Fused::COUNT],
        lora: &LoraFactors,
    ) -> Result<()> {
        let outline =
            |place: &Place| (place.ranks, place.parts.iter().map(|p| (p.columns.start, p.columns.end)).collect());
        let places: Vec<_> = lora.places().iter().map(outline).collect();
        if self.a.is_some() && self.places == places {
            return Ok(());
        }
        let mut end = 0;
        for (i, product) in Fused::ALL.into_iter().enumerate() {
            let (ranks, (inputs, outputs)) = (lora.places()[i].ranks, layer.matrix(product).dims2()?);
            if ranks > MOST_RANK * modules(product) {
                bail!("LoRA on a GPU with bf16 weights takes ranks up to {MOST_RANK}");
            }
            (self.starts[i], self.width[i]) = (end, ranks.next_multiple_of(STEP));
            end += inputs * self.width[i];
            work.zero(weights[i].add(inputs * outputs), MOST_RANK * modules(product) * outputs)?;
        }
        let a = work.gpu.alloc::<bf16>(end.max(1))?;
        work.zero(Ptr::of(&a), end)?;
        (self.a, self.places, self.holds) = (Some(a), places, None);
        Ok(())
    }

    fn put(
        &mut self,
        work: &Work,
        layer: &DecoderLayer,
        weights: [Ptr<bf16>; Fused::COUNT],
        lora: &LoraFactors,
    ) -> Result<()> {
        let Some(a) = &self.a else { bail!("decoder-layer: no memory for LoRA factors") };
        let held = Held::new(lora.flat());
        let flat = held.ptr::<f32>()?;
        for (i, product) in Fused::ALL.into_iter().enumerate() {
            let (place, (inputs, outputs)) = (&lora.places()[i], layer.matrix(product).dims2()?);
            if place.ranks == 0 {
                continue;
            }
            let to = Ptr::of(a).add(self.starts[i]);
            put(work, flat.add(place.a.start), to, [inputs, place.ranks, self.width[i], 0], 1.0)?;
            for part in &place.parts {
                let to = weights[i].add((inputs + part.ranks.start) * outputs);
                let sizes = [part.ranks.len(), part.columns.len(), outputs, part.columns.start];
                put(work, flat.add(part.b.start), to, sizes, part.scale)?;
            }
        }
        self.holds = Some(lora.flat().id());
        Ok(())
    }
}

/// Rows of `width` values into columns of a matrix whose rows have `ld`.
fn put(work: &Work, from: Ptr<f32>, to: Ptr<bf16>, sizes: [usize; 4], scale: f32) -> Result<()> {
    let [rows, width, ld, column] = sizes;
    let mut args: Vec<Arg> = vec![from.into(), to.into()];
    args.extend([width, ld, column].map(Arg::from));
    args.push(scale.into());
    work.launch(Source::Layer, "place", Shape::each(rows, 128), &args)
}
