//! The values of candle's tensors as slices.

use candle_core::{CpuStorage, DType, Device, Layout, Result, Shape, Storage, StorageRef, Tensor, bail};

/// Whether the fused CPU kernels apply to these tensors.
pub fn fusable(tensors: &[&Tensor]) -> bool {
    tensors.iter().all(|t| t.device().is_cpu() && t.dtype() == DType::F32 && t.is_contiguous())
}

/// The data of a contiguous f32 storage.
pub fn floats<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => bail!("fused kernels need contiguous tensors, got {layout:?}"),
    }
}

/// The same, to be written.
pub fn floats_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    match (layout.contiguous_offsets(), storage) {
        (Some((start, end)), CpuStorage::F32(data)) => Ok(&mut data[start..end]),
        _ => bail!("fused kernels need contiguous f32 tensors, got {layout:?}"),
    }
}

/// A read lock on the data of a CPU tensor.
pub struct Read<'a> {
    guard: StorageRef<'a>,
    layout: &'a Layout,
}

impl<'a> Read<'a> {
    pub fn new(tensor: &'a Tensor) -> Self {
        let (guard, layout) = tensor.storage_and_layout();
        Self { guard, layout }
    }

    pub fn storage(&self) -> Result<(&CpuStorage, &Layout)> {
        match &*self.guard {
            Storage::Cpu(storage) => Ok((storage, self.layout)),
            _ => bail!("fused kernels run on the CPU only"),
        }
    }

    /// The data of a contiguous f32 tensor.
    pub fn slice(&self) -> Result<&[f32]> {
        let (storage, layout) = self.storage()?;
        floats(storage, layout)
    }
}

/// Wraps a kernel's result.
pub fn tensor(data: Vec<f32>, shape: impl Into<Shape>) -> Result<Tensor> {
    Tensor::from_vec(data, shape, &Device::Cpu)
}
