//! Log-probabilities and entropies of target tokens, without ever storing the logits of the whole sequence.
//!
//! The vocabulary projection, the temperature and the log-softmax are one operation that works on a few rows at a
//! time; its backward recomputes them. Memory therefore does not grow with vocabulary times length.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp2, D, DType, IndexOp, Layout, Result, Shape, Tensor};

use crate::{
    attach::attach,
    product::matmul,
    storage::{Read, floats, fusable, tensor},
    threads::parallelism,
    vector::{dot, exp, max, sum, vectorised},
    views::{Mat, MatMut},
    weight::{Weight, fusable_weight},
};

/// Rows whose logits exist at the same time.
pub const HEAD_ROWS: usize = 64;

/// Both `[tokens]`, in nats, at the temperature of the call.
pub struct LogProbs {
    pub log_probs: Tensor,
    pub entropy: Tensor,
}

/// Row i of `hidden` `[tokens, C]` predicts `targets[i]`; `head` is `[vocab, C]`.
///
/// With `z = hidden @ head^T / temperature`: `log p = z[target] - logsumexp(z)`, `H = logsumexp(z) - sum(softmax(z) z)`.
/// Both carry gradients.
pub fn log_probs(hidden: &Tensor, head: &Tensor, targets: &[u32], temperature: f64) -> Result<LogProbs> {
    let vocab = head.dim(0)?;
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
    let both = composed(&hidden, head, targets, temperature)?;
    Ok(LogProbs { log_probs: both.i(0)?, entropy: both.i(1)? })
}

/// The same from candle's operations: `[2, tokens]`, log-probabilities and entropies.
pub(crate) fn composed(hidden: &Tensor, head: &Tensor, targets: &[u32], temperature: f64) -> Result<Tensor> {
    let values = |hidden: &Tensor| -> Result<Tensor> {
        let mut parts = Vec::new();
        for (i, targets) in targets.chunks(HEAD_ROWS).enumerate() {
            let rows = hidden.narrow(0, i * HEAD_ROWS, targets.len())?;
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
        for (i, targets) in targets.chunks(HEAD_ROWS).enumerate() {
            let chunk = |t: &Tensor, dim: usize| t.narrow(dim, i * HEAD_ROWS, targets.len());
            let all = log_softmax(&chunk(&rows, 0)?, &frozen, temperature)?;
            let p = all.exp()?;
            let entropy = (&p * &all)?.sum_keepdim(D::Minus1)?.neg()?;
            let (gl, ge) = (chunk(&grad.i(0)?, 0)?.unsqueeze(1)?, chunk(&grad.i(1)?, 0)?.unsqueeze(1)?);
            // d log p / dz = onehot - p;  d H / dz_j = -p_j (log p_j + H)
            let inner = all.broadcast_add(&entropy)?.broadcast_mul(&ge)?.broadcast_add(&gl)?;
            let index = Tensor::new(targets, p.device())?.unsqueeze(1)?;
            let dz = (p * inner)?.neg()?.scatter_add(&index, &gl.contiguous()?, 1)?;
            let dz = (dz / temperature)?.to_dtype(frozen.dtype())?;
            parts.push(dz.matmul(&frozen)?.to_dtype(DType::F32)?);
        }
        Tensor::cat(&parts, 0)
    })
}

fn log_softmax(rows: &Tensor, head: &Tensor, temperature: f64) -> Result<Tensor> {
    let z = (rows.to_dtype(head.dtype())?.matmul(&head.t()?)?.to_dtype(DType::F32)? / temperature)?;
    z.broadcast_sub(&z.log_sum_exp(D::Minus1)?.unsqueeze(1)?)
}

struct Head {
    targets: Arc<[u32]>,
    scale: f32,
}

impl Head {
    /// Calls `f(first_row, rows, logits)` for each chunk; logits `[rows, vocab]` are already scaled.
    fn chunks(&self, hidden: &[f32], head: &Weight, mut f: impl FnMut(usize, usize, &mut [f32])) {
        let (vocab, c) = (head.rows, head.cols);
        let mut logits = vec![0f32; HEAD_ROWS.min(self.targets.len()) * vocab];
        for first in (0..self.targets.len()).step_by(HEAD_ROWS) {
            let rows = HEAD_ROWS.min(self.targets.len() - first);
            let h = Mat::new(&hidden[first * c..], rows, c);
            head.apply(MatMut::new(&mut logits[..rows * vocab], rows, vocab), false, self.scale, h);
            f(first, rows, &mut logits[..rows * vocab]);
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
        let vocab = head.rows;
        let tokens = self.targets.len();
        let mut out = vec![0f32; 2 * tokens];
        let (logp, entropy) = out.split_at_mut(tokens);
        let mut probabilities = vec![0f32; vocab];
        self.chunks(floats(s1, l1)?, &head, |first, _, logits| {
            vectorised(|| {
                for (i, row) in (first..).zip(logits.chunks_exact_mut(vocab)) {
                    let chosen = row[self.targets[i] as usize];
                    let (lse, h) = Self::normalise(row, &mut probabilities);
                    (logp[i], entropy[i]) = (chosen - lse, h);
                }
            });
        });
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
        let (vocab, c) = head.dims2()?;
        let weight = Weight::read(&rw)?;
        let mut dhidden = vec![0f32; h.len()];
        let mut dhead = if head.track_op() { vec![0f32; vocab * c] } else { Vec::new() };
        let mut probabilities = vec![0f32; vocab];
        self.chunks(h, &weight, |first, rows, logits| {
            vectorised(|| {
                for (i, row) in (first..).zip(logits.chunks_exact_mut(vocab)) {
                    let top = max(row);
                    let (lse, entropy) = Self::normalise(row, &mut probabilities);
                    // d log p / dz = onehot - p;  d H / dz_j = -p_j (log p_j + H)
                    let (gl, ge) = (glogp[i], gentropy[i]);
                    let offset = top - lse + entropy;
                    for (z, &p) in row.iter_mut().zip(probabilities.iter()) {
                        *z = -p * (gl + ge * (*z + offset));
                    }
                    row[self.targets[i] as usize] += gl;
                }
            });
            let dlogits = Mat::new(logits, rows, vocab);
            let dhidden = MatMut::new(&mut dhidden[first * c..(first + rows) * c], rows, c);
            weight.apply_transposed(dhidden, false, self.scale, dlogits);
            if !dhead.is_empty() {
                let h = Mat::new(&h[first * c..], rows, c);
                matmul(MatMut::new(&mut dhead, vocab, c), true, self.scale, dlogits.t(), h, parallelism());
            }
        });
        let dhead = if dhead.is_empty() { None } else { Some(tensor(dhead, head.shape())?) };
        Ok((Some(tensor(dhidden, hidden.shape())?), dhead))
    }
}
