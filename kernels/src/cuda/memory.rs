//! How much memory a GPU has.

use candle_core::{Device, Result, cuda_backend::WrapErr};

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
