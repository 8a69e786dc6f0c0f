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
