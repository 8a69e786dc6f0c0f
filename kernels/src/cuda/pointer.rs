//! Addresses in a GPU's memory.

use std::marker::PhantomData;

use candle_core::{
    CudaStorage, Layout, Result, Storage, StorageRef, Tensor, bail,
    cuda_backend::{
        CudaDType,
        cudarc::driver::{CudaSlice, DevicePtr},
    },
};
use half::bf16;

/// Where values of a type lie. It owns nothing: who makes one keeps what it points into for as long as work that reads or
/// writes it is being launched; freeing it later is in the stream's order.
pub struct Ptr<T>(pub u64, PhantomData<T>);

impl<T> Clone for Ptr<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Ptr<T> {}

impl<T> Ptr<T> {
    pub fn new(address: u64) -> Self {
        Self(address, PhantomData)
    }

    pub fn null() -> Self {
        Self::new(0)
    }

    pub fn of(slice: &CudaSlice<T>) -> Self {
        // The guard only records events, which are off.
        Self::new(slice.device_ptr(slice.stream()).0)
    }

    /// `values` further on.
    pub fn add(self, values: usize) -> Self {
        Self::new(self.0 + (values * size_of::<T>()) as u64)
    }
}

/// The contiguous values of a storage.
pub fn ptr<T: CudaDType>(storage: &CudaStorage, layout: &Layout) -> Result<Ptr<T>> {
    match layout.contiguous_offsets() {
        Some((start, _)) => Ok(Ptr::of(storage.as_cuda_slice::<T>()?).add(start)),
        None => bail!("CUDA kernels need contiguous tensors, got {layout:?}"),
    }
}

/// A read lock on a tensor on a GPU.
pub struct Held<'a> {
    guard: StorageRef<'a>,
    layout: &'a Layout,
}

impl<'a> Held<'a> {
    pub fn new(tensor: &'a Tensor) -> Self {
        let (guard, layout) = tensor.storage_and_layout();
        Self { guard, layout }
    }

    pub fn ptr<T: CudaDType>(&self) -> Result<Ptr<T>> {
        match &*self.guard {
            Storage::Cuda(storage) => ptr(storage, self.layout),
            _ => bail!("CUDA kernels run on a GPU only"),
        }
    }
}

/// A matrix as a product reads it: rows `ld` values apart.
#[derive(Clone, Copy)]
pub struct Mat {
    pub at: u64,
    pub ld: usize,
    pub f32: bool,
    /// Read with rows as columns.
    pub transposed: bool,
}

impl Mat {
    pub fn bf16(at: Ptr<bf16>, ld: usize) -> Self {
        Self { at: at.0, ld, f32: false, transposed: false }
    }

    pub fn f32(at: Ptr<f32>, ld: usize) -> Self {
        Self { at: at.0, ld, f32: true, transposed: false }
    }

    pub fn t(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }
}
