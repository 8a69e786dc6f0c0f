//! How much memory a GPU has.

use candle_core::{
    CudaDevice, Device, Result,
    backend::BackendDevice,
    cuda_backend::{WrapErr, cudarc::driver::sys},
};

/// Bytes of a GPU's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// That nobody has; what this process has freed and not given back is not among them.
    pub free: u64,
    pub total: u64,
}

/// # Errors
/// Another device than a GPU; a driver that refuses.
pub fn memory(device: &Device) -> Result<Memory> {
    let (free, total) = device.as_cuda_device()?.cuda_stream().context().mem_get_info().w()?;
    Ok(Memory { free: free as u64, total: total as u64 })
}

/// Where a device's memory comes from and goes back to.
fn pool(device: &CudaDevice) -> Result<sys::CUmemoryPool> {
    let stream = device.cuda_stream();
    let context = stream.context();
    context.bind_to_thread().w()?;
    let mut pool = std::ptr::null_mut();
    // SAFETY: the pool is written before it is read.
    unsafe { sys::cuDeviceGetDefaultMemPool(&raw mut pool, context.cu_device()) }.result().w()?;
    Ok(pool)
}

/// Gives memory that a GPU's tensors no longer use back to the driver, which counts it as taken otherwise.
pub fn release_unused(device: &Device) -> Result<()> {
    let Device::Cuda(device) = device else { return Ok(()) };
    device.synchronize()?;
    // SAFETY: the pool is this device's.
    unsafe { sys::cuMemPoolTrimTo(pool(device)?, 0) }.result().w()
}

/// What is freed stays with the process: else every synchronisation would give it back to the driver.
pub fn keep_freed_memory(device: &CudaDevice) -> Result<()> {
    let (pool, threshold) = (pool(device)?, u64::MAX);
    // SAFETY: the pool is this device's, and the attribute is read as 64 bits.
    unsafe {
        let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
        sys::cuMemPoolSetAttribute(pool, attribute, (&raw const threshold).cast_mut().cast()).result().w()
    }
}
