//! A GPU: its stream, its compiled kernels and its scratch memory.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use candle_core::{
    CudaDevice, Device, Result, Tensor, bail,
    cuda_backend::{
        DeviceId, WrapErr,
        cudarc::{
            cublas::{CudaBlas, sys as blas},
            driver::{
                CudaFunction, CudaGraph, CudaModule, CudaSlice, CudaStream, DeviceRepr, LaunchConfig, PushKernelArg,
                result as driver, sys,
            },
            nvrtc::{CompileOptions, compile_ptx_with_opts},
        },
    },
};

use super::{graph::Graphs, memory::keep_freed_memory, plan::Plans, pointer::Ptr, scratch::Scratch};

/// A source of kernels. Those of attention are compiled for one size of heads each.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Source {
    Attention(usize),
    Layer,
    Head,
    Optim,
}

const PRELUDE: &str = include_str!("prelude.cu");
/// Bytes of cuBLAS's own memory. With it its results do not depend on what else was allocated.
const BLAS_BYTES: usize = 64 << 20;

impl Source {
    fn text(self) -> String {
        let (macros, body) = match self {
            Self::Attention(dim) => (format!("#define HEAD_DIM {dim}\n"), include_str!("attention.cu")),
            Self::Layer => (String::new(), include_str!("layer.cu")),
            Self::Head => (String::new(), include_str!("head.cu")),
            Self::Optim => (String::new(), include_str!("optim.cu")),
        };
        [&macros, PRELUDE, body].concat()
    }
}

/// An argument of a kernel.
#[derive(Clone, Copy)]
pub enum Arg {
    Ptr(u64),
    Int(i32),
    Long(u64),
    Float(f32),
    Double(f64),
}

impl<T> From<Ptr<T>> for Arg {
    fn from(ptr: Ptr<T>) -> Self {
        Self::Ptr(ptr.0)
    }
}

impl From<usize> for Arg {
    fn from(value: usize) -> Self {
        Self::Int(value as i32)
    }
}

impl From<f32> for Arg {
    fn from(value: f32) -> Self {
        Self::Float(value)
    }
}

/// How many blocks of how many threads, and their shared memory in bytes.
#[derive(Clone, Copy)]
pub struct Shape {
    pub grid: [usize; 3],
    pub block: usize,
    pub shared: usize,
}

impl Shape {
    /// One block for each.
    pub fn each(blocks: usize, threads: usize) -> Self {
        Self { grid: [blocks, 1, 1], block: threads, shared: 0 }
    }
}

/// A stream, and cuBLAS on it.
struct Lane {
    stream: Arc<CudaStream>,
    blas: Arc<CudaBlas>,
}

pub struct Gpu {
    device: CudaDevice,
    lane: Lane,
    /// For recordings.
    recorder: Lane,
    _blas_memory: CudaSlice<u8>,
    modules: Mutex<HashMap<Source, Arc<CudaModule>>>,
    functions: Mutex<HashMap<(Source, &'static str), CudaFunction>>,
    scratch: Mutex<Scratch>,
    pub plans: Plans,
    pub graphs: Mutex<Graphs>,
}

static OPENED: Mutex<BTreeMap<usize, Device>> = Mutex::new(BTreeMap::new());
static GPUS: OnceLock<Mutex<HashMap<DeviceId, Arc<Gpu>>>> = OnceLock::new();

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The GPU of this number: the same device whoever asks, because tensors of two devices on one GPU would be strangers to
/// each other. It has one stream, which orders all work on it; so no event is recorded for any tensor.
///
/// # Errors
/// No such GPU, no driver, or a driver that refuses.
pub fn open(ordinal: usize) -> Result<Device> {
    let mut opened = lock(&OPENED);
    if let Some(device) = opened.get(&ordinal) {
        return Ok(device.clone());
    }
    if let Err(error) = driver::init() {
        match error.0 {
            sys::CUresult::CUDA_ERROR_STUB_LIBRARY => bail!("there is no NVIDIA driver on this machine"),
            sys::CUresult::CUDA_ERROR_NO_DEVICE => bail!("there is no NVIDIA GPU on this machine"),
            _ => return Err(error).w(),
        }
    }
    let device = CudaDevice::new_with_stream(ordinal)?;
    // SAFETY: there is one stream, and `copy_to` waits on both sides of a copy between GPUs.
    unsafe { device.disable_event_tracking() };
    keep_freed_memory(&device)?;
    Ok(opened.entry(ordinal).or_insert(Device::Cuda(device)).clone())
}

impl Gpu {
    pub fn of(device: &CudaDevice) -> Result<Arc<Self>> {
        let mut gpus = lock(GPUS.get_or_init(Mutex::default));
        if let Some(gpu) = gpus.get(&device.id()) {
            return Ok(gpu.clone());
        }
        let lane = Lane { stream: device.cuda_stream(), blas: device.cublas_handle() };
        let stream = lane.stream.context().new_stream().w()?;
        let recorder = Lane { blas: Arc::new(CudaBlas::new(stream.clone()).w()?), stream };
        // SAFETY: cuBLAS writes it before it reads it, and it lives as long as the handles are used here.
        let memory = unsafe { lane.stream.alloc::<u8>(BLAS_BYTES) }.w()?;
        let at = Ptr::of(&memory).0 as *mut std::ffi::c_void;
        for lane in [&lane, &recorder] {
            // SAFETY: as above; the memory has the size that is told. Both use it in the order of one stream, because what
            // is recorded runs there too.
            unsafe { blas::cublasSetWorkspace_v2(*lane.blas.handle(), at, BLAS_BYTES) }.result().w()?;
        }
        let gpu = Arc::new(Self {
            device: device.clone(),
            lane,
            recorder,
            _blas_memory: memory,
            modules: Mutex::default(),
            functions: Mutex::default(),
            scratch: Mutex::default(),
            plans: Plans::default(),
            graphs: Mutex::default(),
        });
        gpus.insert(device.id(), gpu.clone());
        Ok(gpu)
    }

    pub fn of_tensor(tensor: &Tensor) -> Result<Arc<Self>> {
        Self::of(tensor.device().as_cuda_device()?)
    }

    pub fn device(&self) -> &CudaDevice {
        &self.device
    }

    pub fn stream(&self) -> &Arc<CudaStream> {
        &self.lane.stream
    }

    /// The scratch memory, all of it free. Who holds it is the only one to launch.
    pub fn begin(&self) -> Result<Work<'_>> {
        let mut scratch = lock(&self.scratch);
        scratch.begin(&self.lane.stream)?;
        Ok(Work { gpu: self, lane: &self.lane, scratch })
    }

    /// The same, where what is launched is only recorded, until [`Work::recorded`]. It has a stream of its own: what others
    /// launch meanwhile is none of the recording's.
    pub fn record(&self) -> Result<Work<'_>> {
        let mut scratch = lock(&self.scratch);
        scratch.begin(&self.lane.stream)?;
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED;
        self.recorder.stream.begin_capture(mode).w()?;
        Ok(Work { gpu: self, lane: &self.recorder, scratch })
    }

    /// Bytes of shared memory that a block may ask for.
    pub fn most_shared(&self) -> Result<usize> {
        let most = sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN;
        Ok(self.lane.stream.context().attribute(most).w()? as usize)
    }

    /// Memory that outlives the call, whatever is in it.
    pub fn alloc<T: DeviceRepr>(&self, len: usize) -> Result<CudaSlice<T>> {
        // SAFETY: callers write it before anybody reads it.
        unsafe { self.lane.stream.alloc::<T>(len) }.w()
    }

    fn function(&self, source: Source, name: &'static str, shared: usize) -> Result<CudaFunction> {
        let mut functions = lock(&self.functions);
        if let Some(function) = functions.get(&(source, name)) {
            return Ok(function.clone());
        }
        let function = self.module(source)?.load_function(name).w()?;
        if shared > 0 {
            let most = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            function.set_attribute(most, shared as i32).w()?;
        }
        functions.insert((source, name), function.clone());
        Ok(function)
    }

    fn module(&self, source: Source) -> Result<Arc<CudaModule>> {
        let mut modules = lock(&self.modules);
        if let Some(module) = modules.get(&source) {
            return Ok(module.clone());
        }
        let options = CompileOptions { arch: Some("compute_80"), ..CompileOptions::default() };
        let ptx = compile_ptx_with_opts(source.text(), options)
            .map_err(|e| candle_core::Error::Msg(format!("NVRTC: kernels {source:?}: {e}")))?;
        let module = self.lane.stream.context().load_module(ptx).w()?;
        modules.insert(source, module.clone());
        Ok(module)
    }
}

/// A call under way.
pub struct Work<'a> {
    pub gpu: &'a Gpu,
    lane: &'a Lane,
    scratch: MutexGuard<'a, Scratch>,
}

impl Work<'_> {
    /// Room until the call ends.
    pub fn take<T>(&mut self, len: usize) -> Result<Ptr<T>> {
        self.scratch.take(&self.gpu.lane.stream, len)
    }

    /// How much is taken.
    pub fn mark(&self) -> (u64, usize) {
        self.scratch.mark()
    }

    /// Takes back what was taken since the mark, for what is launched next.
    pub fn release(&mut self, mark: (u64, usize)) {
        self.scratch.release(mark);
    }

    /// Changes whenever the scratch memory moves.
    pub fn generation(&self) -> u64 {
        self.scratch.generation()
    }

    pub fn blas(&self) -> blas::cublasHandle_t {
        *self.lane.blas.handle()
    }

    pub fn launch(&self, source: Source, name: &'static str, shape: Shape, args: &[Arg]) -> Result<()> {
        if shape.grid.contains(&0) {
            return Ok(());
        }
        let function = self.gpu.function(source, name, shape.shared)?;
        let mut launch = self.lane.stream.launch_builder(&function);
        for arg in args {
            match arg {
                Arg::Ptr(value) | Arg::Long(value) => launch.arg(value),
                Arg::Int(value) => launch.arg(value),
                Arg::Float(value) => launch.arg(value),
                Arg::Double(value) => launch.arg(value),
            };
        }
        let [x, y, z] = shape.grid.map(|n| n as u32);
        let config = LaunchConfig {
            grid_dim: (x, y, z),
            block_dim: (shape.block as u32, 1, 1),
            shared_mem_bytes: shape.shared as u32,
        };
        // SAFETY: callers pass what the kernel of this name declares, and memory of the sizes that it goes by.
        unsafe { launch.launch(config) }.w()?;
        Ok(())
    }

    /// Zeros.
    pub fn zero<T>(&self, at: Ptr<T>, len: usize) -> Result<()> {
        // SAFETY: callers own `len` values there.
        unsafe { driver::memset_d8_async(at.0, 0, len * size_of::<T>(), self.lane.stream.cu_stream()) }.w()
    }

    /// A copy within the GPU's memory.
    pub fn copy<T>(&self, from: Ptr<T>, to: Ptr<T>, len: usize) -> Result<()> {
        // SAFETY: callers own `len` values at both.
        unsafe { driver::memcpy_dtod_async(to.0, from.0, len * size_of::<T>(), self.lane.stream.cu_stream()) }.w()
    }

    /// Values for what is launched next.
    pub fn upload<T: DeviceRepr>(&self, values: &[T], to: Ptr<T>) -> Result<()> {
        // SAFETY: callers own as many values there; from pageable memory they are copied before the call returns.
        unsafe { driver::memcpy_htod_async(to.0, values, self.lane.stream.cu_stream()) }.w()
    }

    /// What was recorded.
    pub fn recorded(&self) -> Result<CudaGraph> {
        // No flag is set: the type has no name for that.
        let flags = sys::CUgraphInstantiate_flags::CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH;
        match self.lane.stream.end_capture(flags).w()? {
            Some(graph) => Ok(graph),
            None => bail!("CUDA graph: nothing was recorded"),
        }
    }

    /// Launches what was recorded, in this stream's order.
    pub fn replay(&self, graph: &CudaGraph) -> Result<()> {
        // SAFETY: the graph is alive, and nobody else launches meanwhile.
        unsafe { driver::graph::launch(graph.cu_graph_exec(), self.lane.stream.cu_stream()) }.w()
    }
}
