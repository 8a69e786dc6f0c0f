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
use crate::lora::{LoraFactors, Place};

/// The products of a layer: q/k/v, output, gate/up, down.
pub const PRODUCTS: usize = 4;
/// The modules that each of them is made of.
const MODULES: [usize; PRODUCTS] = [3, 1, 2, 1];

/// The largest rank that there is room for.
const MOST_RANK: usize = 64;
/// The largest head that the kernels of attention take.
const MOST_HEAD: usize = 128;
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
    starts: [usize; PRODUCTS],
    width: [usize; PRODUCTS],
}

/// Factors as products read them.
#[derive(Clone)]
pub(crate) struct Factors<'a> {
    /// A^T `[in, width]` of every product.
    pub a: [Ptr<bf16>; PRODUCTS],
    /// Columns of A^T, zeros included.
    pub width: [usize; PRODUCTS],
    pub places: &'a [Place],
}

/// The weights of a layer's products and their shapes, `[in, out]`.
#[derive(Clone, Copy)]
pub struct Matrices {
    pub at: [Ptr<bf16>; PRODUCTS],
    pub shapes: [(usize, usize); PRODUCTS],
}

impl Resident {
    /// The same matrices with room behind them, if CUDA kernels can compute with them.
    pub fn with_room(matrices: [&Tensor; PRODUCTS], head_dim: usize) -> Result<Option<([Tensor; PRODUCTS], Self)>> {
        // Rows are read sixteen bytes at a time.
        let even = |weight: &Tensor| weight.dims().iter().all(|n| n.is_multiple_of(8));
        let fits = |weight: &&Tensor| {
            weight.device().is_cuda() && weight.dtype() == DType::BF16 && !weight.track_op() && even(weight)
        };
        if !matrices.iter().all(fits) || !head_dim.is_multiple_of(16) || head_dim > MOST_HEAD {
            return Ok(None);
        }
        let room = |i: usize| -> Result<Tensor> {
            let (inputs, outputs) = matrices[i].dims2()?;
            let rows = inputs + MOST_RANK * MODULES[i];
            let all = Tensor::zeros((rows, outputs), DType::BF16, matrices[i].device())?;
            all.slice_set(&matrices[i].contiguous()?, 0, 0)?;
            all.narrow(0, 0, inputs)
        };
        Ok(Some(([room(0)?, room(1)?, room(2)?, room(3)?], Self(Some(Arc::default())))))
    }

    /// Whether this layer is computed by CUDA kernels.
    pub fn is_there(&self) -> bool {
        self.0.is_some()
    }

    /// Makes sure that these factors lie beside the weights, for what is launched next.
    pub(crate) fn hold<'a>(&self, work: &Work, matrices: Matrices, lora: &'a LoraFactors) -> Result<Factors<'a>> {
        let Some(state) = &self.0 else { bail!("decoder-layer: no room for LoRA factors") };
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.holds != Some(lora.flat().id()) {
            state.make_room(work, matrices, lora)?;
            state.put(work, matrices, lora)?;
        }
        let Some(a) = &state.a else { bail!("decoder-layer: no memory for LoRA factors") };
        Ok(Factors { a: state.starts.map(|at| Ptr::of(a).add(at)), width: state.width, places: lora.places() })
    }
}

impl State {
    /// Memory for factors that lie as these do, with zeros where none will be.
    fn make_room(&mut self, work: &Work, matrices: Matrices, lora: &LoraFactors) -> Result<()> {
        let outline =
            |place: &Place| (place.ranks, place.parts.iter().map(|p| (p.columns.start, p.columns.end)).collect());
        let places: Vec<_> = lora.places().iter().map(outline).collect();
        if self.a.is_some() && self.places == places {
            return Ok(());
        }
        let mut end = 0;
        for (i, modules) in MODULES.into_iter().enumerate() {
            let (ranks, (inputs, outputs)) = (lora.places()[i].ranks, matrices.shapes[i]);
            if ranks > MOST_RANK * modules {
                bail!("LoRA on a GPU with bf16 weights takes ranks up to {MOST_RANK}");
            }
            (self.starts[i], self.width[i]) = (end, ranks.next_multiple_of(STEP));
            end += inputs * self.width[i];
            work.zero(matrices.at[i].add(inputs * outputs), MOST_RANK * modules * outputs)?;
        }
        let a = work.gpu.alloc::<bf16>(end.max(1))?;
        work.zero(Ptr::of(&a), end)?;
        (self.a, self.places, self.holds) = (Some(a), places, None);
        Ok(())
    }

    fn put(&mut self, work: &Work, matrices: Matrices, lora: &LoraFactors) -> Result<()> {
        let Some(a) = &self.a else { bail!("decoder-layer: no memory for LoRA factors") };
        let held = Held::new(lora.flat());
        let flat = held.ptr::<f32>()?;
        for (i, place) in lora.places().iter().enumerate() {
            let (inputs, outputs) = matrices.shapes[i];
            if place.ranks == 0 {
                continue;
            }
            let to = Ptr::of(a).add(self.starts[i]);
            put(work, flat.add(place.a.start), to, [inputs, place.ranks, self.width[i], 0], 1.0)?;
            for part in &place.parts {
                let to = matrices.at[i].add((inputs + part.ranks.start) * outputs);
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
