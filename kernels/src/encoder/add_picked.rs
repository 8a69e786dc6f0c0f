//! Scores of relative positions, picked by distance and added to those of attention.

use candle_core::{CpuStorage, D, InplaceOp3, Layout, Result, Tensor};
use rayon::prelude::*;

use crate::storage::{floats, floats_mut};

/// `scores[.., i, j] + picked[.., i, index[i, j]]`, or, transposed, `+ picked[.., j, index[i, j]]`: scores
/// `[heads, sequences, length, length]`, picked `[heads, sequences, length, count]`, index `[length, length]`. The
/// memory of the scores is reused.
pub fn add_picked(scores: Tensor, picked: &Tensor, index: &Tensor, transposed: bool) -> Result<Tensor> {
    if scores.device().is_cpu() {
        scores.inplace_op3(&picked.contiguous()?, index, &AddPicked { transposed })?;
        return Ok(scores);
    }
    let index = if transposed { index.t()? } else { index.clone() };
    let added = picked.gather(&index.broadcast_as(scores.shape())?.contiguous()?, D::Minus1)?;
    if transposed { scores + added.transpose(2, 3)? } else { scores + added }
}

struct AddPicked {
    transposed: bool,
}

impl InplaceOp3 for AddPicked {
    fn name(&self) -> &'static str {
        "add-picked"
    }

    fn cpu_fwd(
        &self,
        scores: &mut CpuStorage,
        layout: &Layout,
        picked: &CpuStorage,
        picked_layout: &Layout,
        index: &CpuStorage,
        index_layout: &Layout,
    ) -> Result<()> {
        let length = index_layout.dims()[0];
        let count = picked_layout.dims().last().copied().unwrap_or(1);
        let picked = floats(picked, picked_layout)?;
        let Some((0, _)) = index_layout.contiguous_offsets() else { candle_core::bail!("add-picked: a strided index") };
        let index: &[u32] = index.as_slice()?;
        let scores = floats_mut(scores, layout)?;
        if picked.len() * length != scores.len() * count || index.iter().any(|&i| i as usize >= count) {
            candle_core::bail!("add-picked: the index does not fit {count} values per row");
        }
        let squares = scores.par_chunks_mut(length * length).zip(picked.par_chunks(length * count));
        squares.for_each(|(square, picked)| {
            for (i, (row, index)) in square.chunks_exact_mut(length).zip(index.chunks_exact(length)).enumerate() {
                if self.transposed {
                    let values = picked.chunks_exact(count);
                    row.iter_mut().zip(index).zip(values).for_each(|((x, &at), values)| *x += values[at as usize]);
                } else {
                    let values = &picked[i * count..][..count];
                    row.iter_mut().zip(index).for_each(|(x, &at)| *x += values[at as usize]);
                }
            }
        });
        Ok(())
    }
}
