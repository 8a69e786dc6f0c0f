//! Devices by name: `cpu`, or `cuda:N` in a build with the feature `cuda`.

use candle_core::Device;

use crate::{Error, Result, memory::DeviceKind};

/// # Errors
/// Another name; a CUDA device in a build without CUDA, or one that this machine does not have.
pub fn device(name: &str) -> Result<Device> {
    match index(name)? {
        None => Ok(Device::Cpu),
        Some(index) => open(index).map_err(|reason| Error::invalid("device", format!("{name}: {reason}"))),
    }
}

/// The number of a GPU; `None` of the CPU.
fn index(name: &str) -> Result<Option<usize>> {
    let index = name.strip_prefix("cuda:").and_then(|index| index.parse().ok());
    match name {
        "cpu" => Ok(None),
        _ if index.is_some() => Ok(index),
        _ => Err(Error::invalid("device", format!("{name:?}; expected cpu or cuda:N"))),
    }
}

impl DeviceKind {
    /// Of this device.
    pub fn of(device: &Device) -> Self {
        if device.is_cpu() { Self::Cpu } else { Self::Cuda }
    }

    /// Of the device of this name, which need not be there.
    ///
    /// # Errors
    /// Another name than `cpu` and `cuda:N`.
    pub fn named(name: &str) -> Result<Self> {
        Ok(index(name)?.map_or(Self::Cpu, |_| Self::Cuda))
    }
}

/// Bytes that a GPU can still give.
#[cfg(feature = "cuda")]
pub fn free_memory(device: &Device) -> Option<u64> {
    Some(addendum_kernels::cuda::memory(device).ok()?.free)
}

/// Bytes that a GPU can still give.
#[cfg(not(feature = "cuda"))]
pub fn free_memory(_: &Device) -> Option<u64> {
    None
}

#[cfg(feature = "cuda")]
fn open(index: usize) -> std::result::Result<Device, String> {
    addendum_kernels::cuda::open(index).map_err(|e| e.to_string())
}

#[cfg(not(feature = "cuda"))]
fn open(_: usize) -> std::result::Result<Device, String> {
    Err("this build lacks the feature `cuda`".to_string())
}

#[cfg(test)]
mod tests {
    use super::{DeviceKind, device};

    #[test]
    fn names_of_no_device_are_refused_with_what_was_expected() {
        assert!(device("cpu").unwrap().is_cpu());
        for name in ["", "gpu", "cuda", "cuda:", "cuda:-1", "cuda:x", "CPU"] {
            assert!(device(name).unwrap_err().to_string().contains("cpu or cuda:N"), "{name}");
            assert!(DeviceKind::named(name).is_err(), "{name}");
        }
        assert_eq!(DeviceKind::named("cuda:7").unwrap(), DeviceKind::Cuda);
        #[cfg(not(feature = "cuda"))]
        assert!(device("cuda:0").unwrap_err().to_string().contains("feature `cuda`"));
    }
}
