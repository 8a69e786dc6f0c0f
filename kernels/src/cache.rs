//! Rows of keys and values entering their cache.

use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Tensor, bail};

use crate::{
    storage::{Read, floats_mut, fusable},
    views::Mat,
};

/// Overwrites rows of `dst` (`[capacity, ...]`, contiguous) in place: row `rows[i]` becomes row `i` of `src`.
///
/// This is how keys and values enter the cache. No gradient flows through it.
pub fn copy_rows(dst: &Tensor, src: &Tensor, rows: &[usize]) -> Result<()> {
    if fusable(&[dst, src]) {
        let (read, width) = (Read::new(src), src.elem_count() / src.dim(0)?.max(1));
        return write_rows(dst, Mat::new(read.slice()?, src.dim(0)?, width), rows);
    }
    // One copy for every run of neighbours.
    let mut first = 0;
    for run in rows.chunk_by(|a, b| a + 1 == *b) {
        dst.slice_set(&src.narrow(0, first, run.len())?.contiguous()?, 0, run[0])?;
        first += run.len();
    }
    Ok(())
}

/// [`copy_rows`] of a matrix on a CPU.
pub(crate) fn write_rows(dst: &Tensor, values: Mat, rows: &[usize]) -> Result<()> {
    dst.inplace_op1(&WriteRows { values, rows })
}

struct WriteRows<'a> {
    values: Mat<'a>,
    rows: &'a [usize],
}

impl InplaceOp1 for WriteRows<'_> {
    fn name(&self) -> &'static str {
        "write-rows"
    }

    fn cpu_fwd(&self, dst: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let (dst, width) = (floats_mut(dst, layout)?, self.values.cols);
        for (i, &row) in self.rows.iter().enumerate() {
            match dst.get_mut(row * width..(row + 1) * width) {
                Some(to) => to.copy_from_slice(self.values.row(i)),
                None => bail!("write-rows: row {row} is beyond {} values", dst.len()),
            }
        }
        Ok(())
    }
}
