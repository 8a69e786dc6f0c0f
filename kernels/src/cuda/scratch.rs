//! Memory for what a call needs only while it runs.

use std::sync::Arc;

use candle_core::{
    Result,
    cuda_backend::{
        WrapErr,
        cudarc::driver::{CudaSlice, CudaStream},
    },
};

use super::pointer::Ptr;

/// Values are aligned to this many bytes.
const ALIGNMENT: usize = 256;

/// Handed out from the front, and taken back as a whole when the next call begins: its kernels run after those of the
/// call before, because a GPU has one stream.
#[derive(Default)]
pub struct Scratch {
    /// The last one is handed out; earlier ones were too small.
    blocks: Vec<CudaSlice<u8>>,
    used: usize,
    generation: u64,
}

impl Scratch {
    /// Takes everything back.
    pub fn begin(&mut self, stream: &Arc<CudaStream>) -> Result<()> {
        self.used = 0;
        if self.blocks.len() > 1 {
            let bytes = self.bytes();
            self.blocks.clear();
            self.grow(stream, bytes)?;
        }
        Ok(())
    }

    /// How much is taken.
    pub fn mark(&self) -> (u64, usize) {
        (self.generation, self.used)
    }

    /// Takes back what was taken since the mark.
    pub fn release(&mut self, (generation, used): (u64, usize)) {
        if generation == self.generation {
            self.used = used;
        }
    }

    /// Room for `len` values, whatever they are.
    pub fn take<T>(&mut self, stream: &Arc<CudaStream>, len: usize) -> Result<Ptr<T>> {
        let bytes = (len * size_of::<T>()).next_multiple_of(ALIGNMENT);
        if self.blocks.last().is_none_or(|block| block.len() < self.used + bytes) {
            self.grow(stream, bytes.max(self.bytes() / 2))?;
        }
        let start = self.used;
        self.used += bytes;
        // A block was there or has just been added.
        Ok(self.blocks.last().map_or(Ptr::null(), |block| Ptr::new(Ptr::of(block).add(start).0)))
    }

    /// Changes whenever memory is added or moves.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    fn bytes(&self) -> usize {
        self.blocks.iter().map(CudaSlice::len).sum()
    }

    fn grow(&mut self, stream: &Arc<CudaStream>, bytes: usize) -> Result<()> {
        self.generation += 1;
        // SAFETY: nobody reads what nobody has written.
        self.blocks.push(unsafe { stream.alloc::<u8>(bytes) }.w()?);
        self.used = 0;
        Ok(())
    }
}
