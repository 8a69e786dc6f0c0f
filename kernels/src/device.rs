//! Tensors between devices.

use candle_core::{Device, Result, Tensor};

/// A copy on another device. Copies between GPUs wait until the source is computed and until they are done, because two
/// GPUs share no order.
pub fn copy_to(tensor: &Tensor, device: &Device) -> Result<Tensor> {
    if tensor.device().same_device(device) {
        return Ok(tensor.clone());
    }
    tensor.device().synchronize()?;
    let copy = tensor.to_device(device)?;
    device.synchronize()?;
    Ok(copy)
}

/// Gives memory that a GPU's tensors no longer use back to the driver: after loading, of which much is left over.
#[cfg(feature = "cuda")]
pub use crate::cuda::release_unused;

/// Gives memory that a GPU's tensors no longer use back to the driver; there is none to give in a build without CUDA.
#[cfg(not(feature = "cuda"))]
pub fn release_unused(_: &Device) -> Result<()> {
    Ok(())
}
