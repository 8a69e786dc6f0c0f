//! Devices by name: `cpu`, or `cuda:N` in a build with the feature `cuda`.

use candle_core::Device;

use crate::{Error, Result};

/// # Errors
/// Another name; a CUDA device in a build without CUDA, or one that this machine does not have.
pub fn device(name: &str) -> Result<Device> {
    if name == "cpu" {
        return Ok(Device::Cpu);
    }
    let Some(index) = name.strip_prefix("cuda:").and_then(|index| index.parse().ok()) else {
        return Err(Error::invalid("device", format!("{name:?}; expected cpu or cuda:N")));
    };
    open(index).map_err(|reason| Error::invalid("device", format!("{name}: {reason}")))
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
    use super::device;

    #[test]
    fn names_of_no_device_are_refused_with_what_was_expected() {
        assert!(device("cpu").unwrap().is_cpu());
        for name in ["", "gpu", "cuda", "cuda:", "cuda:-1", "cuda:x", "CPU"] {
            assert!(device(name).unwrap_err().to_string().contains("cpu or cuda:N"), "{name}");
        }
        #[cfg(not(feature = "cuda"))]
        assert!(device("cuda:0").unwrap_err().to_string().contains("feature `cuda`"));
    }
}
