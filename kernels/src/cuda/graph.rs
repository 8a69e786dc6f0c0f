//! Recorded launches. A decoding step launches some five hundred small kernels, which takes the processor longer than
//! it takes the GPU to run them; replaying a recording is one call.

use std::collections::VecDeque;

use candle_core::cuda_backend::cudarc::driver::CudaGraph;

/// Recordings that are kept.
const MOST: usize = 24;

/// What a recording depends on: sizes, and every address that it reads or writes.
pub type Key = Vec<u64>;

/// The recordings of a GPU, those used last at the end.
#[derive(Default)]
pub struct Graphs(VecDeque<(Key, Option<Recorded>)>);

/// A recording that any thread may launch, one at a time.
pub struct Recorded(pub CudaGraph);

// SAFETY: a graph is no thread's own; it must not be used by two at a time, and whoever launches it holds the lock of all
// recordings.
unsafe impl Send for Recorded {}

impl Graphs {
    /// The place of what this key stands for: `None` when it comes up for the first time, which is too early to record it.
    pub fn find(&mut self, key: &Key) -> Option<&mut Option<Recorded>> {
        match self.0.iter().position(|(other, _)| other == key) {
            Some(at) => {
                let found = self.0.remove(at)?;
                self.0.push_back(found);
                self.0.back_mut().map(|(_, recorded)| recorded)
            }
            None => {
                if self.0.len() == MOST {
                    self.0.pop_front();
                }
                self.0.push_back((key.clone(), None));
                None
            }
        }
    }
}
