//! Log-probabilities and entropies of target tokens, without ever storing the logits of the whole sequence.
//!
//! The vocabulary projection, the temperature and the log-softmax are one operation that works on a few rows at a
//! time; its backward recomputes them. Memory therefore does not grow with vocabulary times length.

use std::{ops::Range, sync::Arc};

use candle_core::{CpuStorage, CustomOp2, D, DType, IndexOp, Layout, Result, Shape, Tensor};

use rayon::prelude::*;

use crate::{
    attach::attach,
    product::matmul,
    storage::{Read, floats, fusable, tensor},
    threads::{parallelism, threads},
    vector::{dot, exp, max, sum, vectorised},
    views::{Mat, MatMut},
    weight::{Weight, fusable_weight},
};

/// Rows whose logits exist at the same time: as many as stay in a core's own cache, at least 64.
pub fn head_rows(vocab: usize) -> usize {
    ((1 << 19) / vocab.max(1)).clamp(64, 512)
}

/// Both `[tokens]`, in nats, at the temperature of the call.
pub struct LogProbs {
    /// Of each target: at most 0.
    pub log_probs: Tensor,
    /// Of the whole distribution that a target was drawn from: at least 0.
    pub entropy: Tensor,
}

/// Row i of `hidden` `[tokens, C]` predicts `targets[i]`; `head` is `[C, vocab]`.
///
/// With `z = hidden @ head / temperature`: `log p = z[target] - logsumexp(z)`, `H = logsumexp(z) - sum(softmax(z) z)`.
/// Both carry gradients.
pub fn log_probs(hidden: &Tensor, head: &Tensor, targets: &[u32], temperature: f64) -> Result<LogProbs> {
    let vocab = head.dim(1)?;
    if let Some(bad) = targets.iter().find(|&&t| t as usize >= vocab) {
        candle_core::bail!("target token {bad} is outside the vocabulary of {vocab}");
    }
    if targets.len() != hidden.dim(0)? {
        candle_core::bail!("{} targets for {} hidden states", targets.len(), hidden.dim(0)?);
    }
    let hidden = hidden.contiguous()?;
    if fusable(&[&hidden]) && fusable_weight(head) {
        let both = hidden.apply_op2(head, Head { targets: targets.into(), scale: (1.0 / temperature) as f32 })?;
        return Ok(LogProbs { log_probs: both.i(0)?, entropy: both.i(1)? });
    }
    #[cfg(feature = "cuda")]
    if crate::cuda::log_probs_apply(&hidden, head) {
        let both = crate::cuda::log_probs(&hidden, head, targets, (1.0 / temperature) as f32)?;
        return Ok(LogProbs { log_probs: both.i(0)?, entropy: both.i(1)? });
    }
    let both = composed(&hidden, head, targets, temperature)?;
    Ok(LogProbs { log_probs: both.i(0)?, entropy: both.i(1)? })
}

/// The same from candle's operations: `[2, tokens]`, log-probabilities and entropies.
pub(crate) fn composed(hidden: &Tensor, head: &Tensor, targets: &[u32], temperature: f64) -> Result<Tensor> {
    let most = head_rows(head.dim(1)?);
    let values = |hidden: &Tensor| -> Result<Tensor> {
        let mut parts = Vec::new();
        for (i, targets) in targets.chunks(most).enumerate() {
            let rows = hidden.narrow(0, i * most, targets.len())?;
            let all = log_softmax(&rows, head, temperature)?;
            let index = Tensor::new(targets, all.device())?.unsqueeze(1)?;
            let chosen = all.gather(&index, 1)?.squeeze(1)?;
            parts.push(Tensor::stack(&[chosen, (&all.exp()? * &all)?.sum(D::Minus1)?.neg()?], 0)?);
        }
        Tensor::cat(&parts, 1)
    };
    if head.track_op() {
        return values(hidden);
    }
    let (frozen, rows, targets) = (head.clone(), hidden.detach(), targets.to_vec());
    attach(hidden, values(&hidden.detach())?, move |grad| {
        let mut parts = Vec::new();
        for (i, targets) in targets.chunks(most).enumerate() {
            let chunk = |t: &Tensor, dim: usize| t.narrow(dim, i * most, targets.len());
            let all = log_softmax(&chunk(&rows, 0)?, &frozen, temperature)?;
            let p = all.exp()?;
            let entropy = (&p * &all)?.sum_keepdim(D::Minus1)?.neg()?;
            let (gl, ge) = (chunk(&grad.i(0)?, 0)?.unsqueeze(1)?, chunk(&grad.i(1)?, 0)?.unsqueeze(1)?);
            // d log p / dz = onehot - p;  d H / dz_j = -p_j (log p_j + H)
            let inner = all.broadcast_add(&entropy)?.broadcast_mul(&ge)?.broadcast_add(&gl)?;
            let index = Tensor::new(targets, p.device())?.unsqueeze(1)?;
            let dz = (p * inner)?.neg()?.scatter_add(&index, &gl.contiguous()?, 1)?;
            let dz = (dz / temperature)?.to_dtype(frozen.dtype())?;
            parts.push(dz.matmul(&frozen.t()?)?.to_dtype(DType::F32)?);
        }
        Tensor::cat(&parts, 0)
    })
}

fn log_softmax(rows: &Tensor, head: &Tensor, temperature: f64) -> Result<Tensor> {
    let z = (rows.to_dtype(head.dtype())?.matmul(head)?.to_dtype(DType::F32)? / temperature)?;
    z.broadcast_sub(&z.log_sum_exp(D::Minus1)?.unsqueeze(1)?)
}

struct Head {
    targets: Arc<[u32]>,
    scale: f32,
}

impl Head {
    /// Calls `f(first_row, logits)` for each chunk; logits `[rows, vocab]` are already scaled.
    fn chunks(&self, hidden: &[f32], head: &Weight, mut f: impl FnMut(Range<usize>, &mut [f32])) {
        let (c, vocab) = (head.rows, head.cols);
        let most = head_rows(vocab).min(self.targets.len());
        let mut logits = vec![0f32; most * vocab];
        for first in (0..self.targets.len()).step_by(most.max(1)) {
            let rows = first..self.targets.len().min(first + most);
            let logits = &mut logits[..rows.len() * vocab];
            let h = Mat::new(&hidden[rows.start * c..rows.end * c], rows.len(), c);
            head.apply(MatMut::new(logits, rows.len(), vocab), false, h);
            f(rows, logits);
        }
    }

    /// Calls `f(row, logits, out, probabilities)` for every row, with its logits at the temperature, the place of its
    /// results and room for its probabilities.
    fn each<T: Send>(
        &self,
        logits: &mut [f32],
        out: &mut [T],
        f: impl Fn(usize, &mut [f32], &mut T, &mut [f32]) + Sync,
    ) {
        let vocab = logits.len() / out.len().max(1);
        let run = |probabilities: &mut Vec<f32>, (i, (row, out)): (usize, (&mut [f32], &mut T))| {
            probabilities.resize(vocab, 0.0);
            vectorised(|| {
                row.iter_mut().for_each(|z| *z *= self.scale);
                f(i, row, out, probabilities);
            });
        };
        if threads() > 1 {
            let rows = logits.par_chunks_exact_mut(vocab).zip(out.par_iter_mut()).enumerate();
            rows.for_each_init(Vec::new, run);
        } else {
            let mut probabilities = Vec::new();
            let rows = logits.chunks_exact_mut(vocab).zip(out).enumerate();
            rows.for_each(|row| run(&mut probabilities, row));
        }
    }

    /// Turns logits into probabilities; returns (logsumexp, entropy).
    #[inline(always)]
    fn normalise(row: &mut [f32], probabilities: &mut [f32]) -> (f32, f32) {
        let top = max(row);
        for (p, &z) in probabilities.iter_mut().zip(row.iter()) {
            *p = exp(z - top);
        }
        let total = sum(probabilities);
        let inverse = 1.0 / total;
        probabilities.iter_mut().for_each(|p| *p *= inverse);
        let lse = top + total.ln();
        // Relative to the maximum, so that large logits do not cancel.
        row.iter_mut().for_each(|z| *z -= top);
        (lse, total.ln() - dot(probabilities, row))
    }
}

impl CustomOp2 for Head {
    fn name(&self) -> &'static str {
        "log-probs"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        let head = Weight::new(s2, l2)?;
        let tokens = self.targets.len();
        let mut both = vec![(0f32, 0f32); tokens];
        self.chunks(floats(s1, l1)?, &head, |rows, logits| {
            let first = rows.start;
            self.each(logits, &mut both[rows], |i, row, (log_prob, entropy), probabilities| {
                let chosen = row[self.targets[first + i] as usize];
                let (lse, h) = Self::normalise(row, probabilities);
                (*log_prob, *entropy) = (chosen - lse, h);
            });
        });
        let (mut out, entropies): (Vec<f32>, Vec<f32>) = both.into_iter().unzip();
        out.extend(entropies);
        Ok((CpuStorage::F32(out), (2, tokens).into()))
    }

    fn bwd(
        &self,
        hidden: &Tensor,
        head: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let (rh, rw, rg) = (Read::new(hidden), Read::new(head), Read::new(&grad));
        let (h, g) = (rh.slice()?, rg.slice()?);
        let (glogp, gentropy) = g.split_at(self.targets.len());
        let (c, vocab) = head.dims2()?;
        let weight = Weight::read(&rw)?;
        let mut dhidden = vec![0f32; h.len()];
        let mut dhead = if head.track_op() { vec![0f32; c * vocab] } else { Vec::new() };
        self.chunks(h, &weight, |rows, logits| {
            let first = rows.start;
            self.each(logits, &mut vec![(); rows.len()], |i, row, _, probabilities| {
                let top = max(row);
                let (lse, entropy) = Self::normalise(row, probabilities);
                // d log p / dz = onehot - p;  d H / dz_j = -p_j (log p_j + H); z is scaled
                let (gl, ge) = (glogp[first + i] * self.scale, gentropy[first + i] * self.scale);
                let offset = top - lse + entropy;
                for (z, &p) in row.iter_mut().zip(probabilities.iter()) {
                    *z = -p * (gl + ge * (*z + offset));
                }
                row[self.targets[first + i] as usize] += gl;
            });
            let dlogits = Mat::new(logits, rows.len(), vocab);
            let range = rows.start * c..rows.end * c;
            weight.apply_transposed(MatMut::new(&mut dhidden[range.clone()], rows.len(), c), false, dlogits);
            if !dhead.is_empty() {
                let h = Mat::new(&h[range], rows.len(), c);
                matmul(MatMut::new(&mut dhead, c, vocab), true, 1.0, h.t(), dlogits, parallelism());
            }
        });
        let dhead = if dhead.is_empty() { None } else { Some(tensor(dhead, head.shape())?) };
        Ok((Some(tensor(dhidden, hidden.shape())?), dhead))
    }
}
