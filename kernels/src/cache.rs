//! Rows of keys and values entering their cache.

use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Tensor, bail};

use crate::storage::{floats, floats_mut, fusable};

/// Overwrites rows of `dst` (`[capacity, ...]`, contiguous) in place: row `rows[i]` becomes row `i` of `src`.
///
/// This is how keys and values enter the cache. No gradient flows through it.
pub fn copy_rows(dst: &Tensor, src: &Tensor, rows: &[usize]) -> Result<()> {
    if fusable(&[dst, src]) {
        return dst.inplace_op2(src, &CopyRows { rows });
    }
    // One copy for every run of neighbours.
    let mut first = 0;
    for run in rows.chunk_by(|a, b| a + 1 == *b) {
        dst.slice_set(&src.narrow(0, first, run.len())?.contiguous()?, 0, run[0])?;
        first += run.len();
    }
    Ok(())
}

struct CopyRows<'a> {
    rows: &'a [usize],
}

impl InplaceOp2 for CopyRows<'_> {
    fn name(&self) -> &'static str {
        "copy-rows"
    }

    fn cpu_fwd(&self, dst: &mut CpuStorage, dst_layout: &Layout, src: &CpuStorage, src_layout: &Layout) -> Result<()> {
        let src = floats(src, src_layout)?;
        let width = src.len() / self.rows.len().max(1);
        let dst = floats_mut(dst, dst_layout)?;
        for (&row, from) in self.rows.iter().zip(src.chunks_exact(width.max(1))) {
            match dst.get_mut(row * width..(row + 1) * width) {
                Some(to) => to.copy_from_slice(from),
                None => bail!("copy-rows: row {row} is beyond {} values", dst.len()),
            }
        }
        Ok(())
    }
}
