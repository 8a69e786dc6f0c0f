//! A decoder layer on a GPU, forward and backward.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp2, Layout, Result, Shape as Dimensions, Tensor, bail,
    cuda_backend::cudarc::driver::CudaSlice,
};
use half::bf16;

use super::{
    attention::{Given, Inputs},
    gpu::{Arg, Gpu},
    pass::{Angles, Pass, Reads},
    pointer::{Held, Mat, Ptr, ptr},
};
use crate::{
    attention::Segment,
    layer::{Cached, DecoderLayer, Fused},
    lora::LoraFactors,
    rope::Rotation,
};

/// What the backward pass needs besides the input.
struct Kept {
    /// Rotated queries and keys, and values.
    qkv: CudaSlice<bf16>,
    /// With the columns of x A^T.
    attended: CudaSlice<bf16>,
    lse: CudaSlice<f32>,
    /// Between attention and MLP.
    middle: CudaSlice<f32>,
    gate_up: CudaSlice<bf16>,
}

/// As [`DecoderLayer::forward`].
pub fn forward(
    layer: &DecoderLayer,
    x: &Tensor,
    rotation: &Rotation,
    segments: &Arc<[Segment]>,
    lora: Option<&LoraFactors>,
) -> Result<Tensor> {
    let op = Op {
        layer: layer.clone(),
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

/// As [`DecoderLayer::forward_cached`].
pub fn forward_cached(
    layer: &DecoderLayer,
    x: &Tensor,
    rotation: &Rotation,
    segments: &Arc<[Segment]>,
    lora: Option<&LoraFactors>,
    cached: Cached,
) -> Result<Tensor> {
    let (tokens, hidden) = x.dims2()?;
    let gpu = Gpu::of_tensor(x)?;
    let (reads, table) = (Reads::new(layer), [&rotation.cos, &rotation.sin].map(Held::new));
    let [held, keys, values] = [x, cached.keys, cached.values].map(Held::new);
    let (keys, values) = (keys.ptr::<bf16>()?, values.ptr::<bf16>()?);
    let capacity = cached.keys.dim(0)?;
    if cached.rows.len() != tokens || cached.rows.iter().any(|&row| row >= capacity) {
        bail!("decoder-layer: rows {:?} of a cache of {capacity} for {tokens} tokens", cached.rows);
    }
    let mut work = gpu.begin()?;
    let mut pass = Pass::new(&mut work, layer, &reads, angles(&table)?, lora, tokens)?;
    let plan = gpu.plan(segments, [tokens, capacity], &pass.d, false, cached.rows)?;
    let y = gpu.alloc::<f32>(tokens * hidden)?;
    let qkv = pass.work.take::<bf16>(tokens * pass.outputs(Fused::Qkv))?;
    pass.project(held.ptr()?, qkv, [keys, values], plan.cache_rows())?;
    let Inputs { q, q_ld, .. } = pass.qkv_inputs(qkv);
    let inputs = Inputs { q, k: keys, v: values, q_ld, kv_ld: pass.d.kv_heads * pass.d.dim };
    let ld = pass.ld(Fused::O);
    let attended = pass.work.take::<bf16>(tokens * ld)?;
    let d = pass.d;
    pass.work.attend(&d, &plan, inputs, (attended, ld), Ptr::null())?;
    pass.work.copy(held.ptr::<f32>()?, Ptr::of(&y), tokens * hidden)?;
    pass.lower(Fused::O, attended)?;
    pass.product(Fused::O, attended, Mat::f32(Ptr::of(&y), hidden), 1.0)?;
    let gate_up = pass.work.take::<bf16>(tokens * pass.outputs(Fused::GateUp))?;
    pass.mlp(Ptr::of(&y), gate_up)?;
    drop(work);
    Ok(gpu.tensor(y, (tokens, hidden)))
}

fn angles(table: &[Held; 2]) -> Result<Angles> {
    Ok(Angles { cos: table[0].ptr()?, sin: table[1].ptr()? })
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
    fn run(&self, gpu: &Gpu, x: Ptr<f32>, tokens: usize) -> Result<(CudaSlice<f32>, Option<Kept>)> {
        let table = [&self.rotation.cos, &self.rotation.sin].map(Held::new);
        let (reads, lora) = (Reads::new(&self.layer), self.lora.as_ref());
        let mut work = gpu.begin()?;
        let mut pass = Pass::new(&mut work, &self.layer, &reads, angles(&table)?, lora, tokens)?;
        let plan = gpu.plan(&self.segments, [tokens, tokens], &pass.d, self.keep, &[])?;
        let (hidden, ld) = (pass.hidden, pass.ld(Fused::O));
        let sizes = [tokens * pass.outputs(Fused::Qkv), tokens * ld, tokens * pass.outputs(Fused::GateUp)];
        let y = gpu.alloc::<f32>(tokens * hidden)?;
        let kept = if self.keep {
            Some(Kept {
                qkv: gpu.alloc(sizes[0])?,
                attended: gpu.alloc(sizes[1])?,
                lse: gpu.alloc(tokens * pass.d.heads)?,
                middle: gpu.alloc(tokens * hidden)?,
                gate_up: gpu.alloc(sizes[2])?,
            })
        } else {
            None
        };
        let mut place = |slice: Option<&CudaSlice<bf16>>, size| match slice {
            Some(slice) => Ok(Ptr::of(slice)),
            None => pass.work.take::<bf16>(size),
        };
        let qkv = place(kept.as_ref().map(|kept| &kept.qkv), sizes[0])?;
        let attended = place(kept.as_ref().map(|kept| &kept.attended), sizes[1])?;
        let gate_up = place(kept.as_ref().map(|kept| &kept.gate_up), sizes[2])?;
        let lse = kept.as_ref().map_or(Ptr::null(), |kept| Ptr::of(&kept.lse));

        pass.project(x, qkv, [Ptr::null(); 2], Ptr::null())?;
        let inputs = pass.qkv_inputs(qkv);
        let d = pass.d;
        pass.work.attend(&d, &plan, inputs, (attended, ld), lse)?;
        let out = Ptr::of(&y);
        pass.work.copy(x, out, tokens * hidden)?;
        pass.lower(Fused::O, attended)?;
        pass.product(Fused::O, attended, Mat::f32(out, hidden), 1.0)?;
        if let Some(kept) = &kept {
            pass.work.copy(out, Ptr::of(&kept.middle), tokens * hidden)?;
        }
        pass.mlp(out, gate_up)?;
        Ok((y, kept))
    }

    fn forward(&self, storage: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Dimensions)> {
        let gpu = Gpu::of(&storage.device)?;
        let (y, kept) = self.run(&gpu, ptr(storage, layout)?, layout.dims()[0])?;
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = kept;
        Ok((CudaStorage::wrap_cuda_slice(y, storage.device.clone()), layout.shape().clone()))
    }

    /// The gradients of `x` and of the flat factors.
    fn backward(&self, x: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let (gpu, tokens) = (Gpu::of_tensor(x)?, x.dim(0)?);
        let (held, held_grad) = (Held::new(x), Held::new(&grad));
        let xs = held.ptr::<f32>()?;
        // What the forward pass left is for one backward pass; another one computes it again.
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        let kept = match kept {
            Some(kept) => kept,
            None => match self.run(&gpu, xs, tokens)?.1 {
                Some(kept) => kept,
                None => bail!("decoder-layer: a backward pass of a forward pass without gradients"),
            },
        };
        let dx = gpu.alloc::<f32>(x.elem_count())?;
        let flat = self.lora.as_ref().map(LoraFactors::flat);
        let dflat = gpu.alloc::<f32>(flat.map_or(0, Tensor::elem_count).max(1))?;
        self.gradients(&gpu, xs, held_grad.ptr()?, tokens, kept, Ptr::of(&dx), Ptr::of(&dflat))?;
        let dx = x.track_op().then(|| gpu.tensor(dx, x.shape()));
        Ok((dx, flat.map(|flat| gpu.tensor(dflat, flat.shape()))))
    }

    #[allow(clippy::too_many_arguments)]
    fn gradients(
        &self,
        gpu: &Gpu,
        x: Ptr<f32>,
        grad: Ptr<f32>,
        tokens: usize,
        kept: Kept,
        dx: Ptr<f32>,
        dflat: Ptr<f32>,
    ) -> Result<()> {
        let table = [&self.rotation.cos, &self.rotation.sin].map(Held::new);
        let (reads, lora) = (Reads::new(&self.layer), self.lora.as_ref());
        let mut work = gpu.begin()?;
        let pass = Pass::new(&mut work, &self.layer, &reads, angles(&table)?, lora, tokens)?;
        let plan = gpu.plan(&self.segments, [tokens, tokens], &pass.d, true, &[])?;
        let (hidden, wide, d) = (pass.hidden, pass.wide, pass.d);
        let lds = Fused::ALL.map(|product| pass.ld(product));
        let middle = Ptr::of(&kept.middle);

        // The MLP.
        let g = pass.work.take::<bf16>(tokens * hidden)?;
        pass.work.round(grad, g, tokens * hidden)?;
        let activated = pass.work.take::<bf16>(tokens * lds[Fused::Down as usize])?;
        let dactivated = pass.work.take::<bf16>(tokens * lds[Fused::Down as usize])?;
        let dgate_up = pass.work.take::<bf16>(tokens * 2 * wide)?;
        let gate_up = Ptr::of(&kept.gate_up);
        // Needed for the factors of A before its own gradient is known.
        pass.activate(gate_up, activated)?;
        pass.product_backward(Fused::Down, g, activated, dactivated, dflat)?;
        let ld = lds[Fused::Down as usize];
        let args: [Arg; 5] = [gate_up.into(), dactivated.into(), dgate_up.into(), wide.into(), ld.into()];
        pass.each_gate("swiglu_backward", &args)?;
        let ld = lds[Fused::GateUp as usize];
        let h = pass.work.take::<bf16>(tokens * ld)?;
        let dh = pass.work.take::<bf16>(tokens * ld)?;
        pass.norm(1, Fused::GateUp, middle, h)?;
        pass.product_backward(Fused::GateUp, dgate_up, h, dh, dflat)?;
        let dmiddle = pass.work.take::<f32>(tokens * hidden)?;
        pass.norm_backward(1, middle, dh, ld, grad, dmiddle, g)?;

        // Attention.
        let ld = lds[Fused::O as usize];
        let (attended, dattended) = (Ptr::of(&kept.attended), pass.work.take::<bf16>(tokens * ld)?);
        pass.product_backward(Fused::O, g, attended, dattended, dflat)?;
        let dqkv = pass.work.take::<bf16>(tokens * pass.outputs(Fused::Qkv))?;
        let inputs = pass.qkv_inputs(Ptr::of(&kept.qkv));
        let given = Given { out: attended, out_ld: ld, lse: Ptr::of(&kept.lse), grad: dattended, grad_ld: ld };
        let (parts, splits) = pass.work.attend_backward(&d, &plan, inputs, given, dqkv)?;
        let mut args: Vec<Arg> = vec![dqkv.into(), parts.into(), pass.angles.cos.into(), pass.angles.sin.into()];
        args.extend([splits, tokens, d.heads, d.kv_heads, d.dim].map(Arg::from));
        pass.each_token("unrotate", &args)?;
        let ld = lds[Fused::Qkv as usize];
        let (h, dh) = (pass.work.take::<bf16>(tokens * ld)?, pass.work.take::<bf16>(tokens * ld)?);
        pass.norm(0, Fused::Qkv, x, h)?;
        pass.product_backward(Fused::Qkv, dqkv, h, dh, dflat)?;
        pass.norm_backward(0, x, dh, ld, dmiddle, dx, Ptr::null())
    }
}

impl Gpu {
    /// Wraps a kernel's result.
    pub fn tensor(&self, data: CudaSlice<f32>, shape: impl Into<Dimensions>) -> Tensor {
        let storage = candle_core::Storage::Cuda(CudaStorage::wrap_cuda_slice(data, self.device().clone()));
        Tensor::from_storage(storage, shape, candle_core::op::BackpropOp::none(), false)
    }
}

fn only_on_a_gpu<T>() -> Result<T> {
    bail!("decoder-layer: CUDA kernels run on a GPU only")
}

impl CustomOp1 for Op {
    fn name(&self) -> &'static str {
        "decoder-layer"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Dimensions)> {
        only_on_a_gpu()
    }

    fn cuda_fwd(&self, storage: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Dimensions)> {
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

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Dimensions)> {
        only_on_a_gpu()
    }

    fn cuda_fwd(
        &self,
        storage: &CudaStorage,
        layout: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> Result<(CudaStorage, Dimensions)> {
        self.forward(storage, layout)
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        self.backward(x, grad)
    }
}
