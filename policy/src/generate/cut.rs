//! How the rows of a step are cut into forward passes.
//!
//! On a CPU a pass of fewer than [`FEW`] rows rounds each row the same way whatever is beside it, so no pass has more.

use addendum_kernels::{FEW, serially, threads};
use rayon::prelude::*;

use crate::model::Language;

/// Weights up to this many bytes stay in a processor's cache, so that every thread may read them all for a few rows
/// of its own. Larger ones are read once per token, by all threads together, for as many rows as possible.
const CACHED_WEIGHTS: usize = 64 << 20;

#[derive(Clone, Copy, Debug)]
pub enum Cut {
    /// Rows are shared out to the threads, each of which computes its own passes.
    Apart,
    /// All threads compute one pass after another.
    Together,
    /// One pass: a GPU has its own ways.
    Whole,
}

impl Cut {
    pub fn of(language: &Language) -> Self {
        match language.device().is_cpu() {
            true if language.bytes() <= CACHED_WEIGHTS => Self::Apart,
            true => Self::Together,
            false => Self::Whole,
        }
    }

    /// Rows of one pass, where there are `rows` in all.
    pub fn rows(self, rows: usize) -> usize {
        let passes = match self {
            Self::Apart => rows.div_ceil(FEW - 1).next_multiple_of(threads()),
            Self::Together => rows.div_ceil(FEW - 1),
            Self::Whole => 1,
        };
        rows.div_ceil(passes.max(1)).max(1)
    }

    /// Rows that keep the device busy as well as any number does.
    pub fn enough(self) -> usize {
        match self {
            Self::Apart => (FEW - 1) * threads(),
            Self::Together => FEW - 1,
            Self::Whole => usize::MAX,
        }
    }

    /// Passes of prompts that one step has room for.
    pub fn prompts(self) -> usize {
        match self {
            Self::Apart => threads(),
            Self::Together | Self::Whole => 1,
        }
    }

    /// Tokens of a prompt that keep the device busy.
    pub fn chunk(self) -> usize {
        match self {
            Self::Apart | Self::Together => 512,
            Self::Whole => 2048,
        }
    }

    pub fn run<T: Send>(self, passes: Vec<T>, pass: impl Fn(T) + Sync) {
        match self {
            Self::Apart if passes.len() > 1 && threads() > 1 => {
                passes.into_par_iter().for_each(|rows| serially(|| pass(rows)));
            }
            _ => passes.into_iter().for_each(pass),
        }
    }
}
