//! The kernels for NVIDIA GPUs on a machine without one: their sources compiled as C++ under an emulator with sanitizers and compared with the CPU's operations and
//! with f64; and compiled by NVRTC where it is there.
//!
//! A block's threads are fibers whose order is drawn at random; where they wait for each other in vain, the launch fails
//! and says where. One build checks addresses, alignment and undefined behaviour, another that no two threads use the same
//! byte without a barrier between. Memory that nobody wrote is NaN. What this cannot see is the order in which a GPU's
//! memory shows writes, and speed.

mod attention;
mod compiler;
mod emulator;
mod head;
mod launch;
mod layer;
mod nvrtc;
mod optim;
mod program;
mod values;

/// A kernel that nobody launches here is not tested.
#[test]
fn every_cuda_kernel_has_a_test() {
    for (file, tests) in [
        ("attention.cu", include_str!("cuda/attention.rs")),
        ("layer.cu", include_str!("cuda/layer.rs")),
        ("head.cu", include_str!("cuda/head.rs")),
        ("optim.cu", include_str!("cuda/optim.rs")),
    ] {
        let source = std::fs::read_to_string(program::sources().join(file)).unwrap();
        let kernels = program::kernels(&source);
        assert!(!kernels.is_empty());
        for kernel in kernels {
            assert!(tests.contains(&format!("run.launch(\"{kernel}\"")), "{kernel} of {file}");
        }
    }
}
