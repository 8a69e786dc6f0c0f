//! Drawing tokens on a GPU: only the tokens and their log-probabilities come back.

use candle_core::{Result, Tensor, bail, cuda_backend::WrapErr};
use half::bf16;

use super::{
    gpu::{Arg, Gpu, Shape, Source},
    pointer::{Held, Mat},
};
use crate::cuda::pointer::Ptr;

const THREADS: usize = 1024;

/// How the tokens of a step are drawn.
#[derive(Clone, Debug)]
pub struct Draw<'a> {
    /// 0 takes the most likely token.
    pub temperature: f64,
    pub top_k: Option<usize>,
    pub top_p: f64,
    pub min_p: f64,
    pub repetition_penalty: f64,
    /// Ids that are never drawn.
    pub suppressed: &'a [u32],
    /// A number in [0, 1) for every row.
    pub uniforms: &'a [f64],
    /// The ids so far of every row, each once; empty without a penalty.
    pub histories: &'a [Vec<u32>],
}

/// A token and its log-probability in the unfiltered distribution at the temperature; `None` where a logit is NaN or plus
/// infinity, or no token can be drawn.
pub type Drawn = Option<(u32, f32)>;

/// Draws a token for every row of final hidden states `hidden` `[rows, C]`, f32, by the projection `head` `[C, vocab]`,
/// bf16.
pub fn draw(hidden: &Tensor, head: &Tensor, how: &Draw) -> Result<Vec<Drawn>> {
    let ((rows, c), vocab) = (hidden.dims2()?, head.dim(1)?);
    if how.uniforms.len() != rows || how.histories.len() != rows {
        bail!("draw: {} numbers and {} histories for {rows} rows", how.uniforms.len(), how.histories.len());
    }
    let hidden = hidden.contiguous()?;
    let (gpu, held, held_head) = (Gpu::of_tensor(&hidden)?, Held::new(&hidden), Held::new(head));
    let stream = gpu.stream();
    let ids: Vec<u32> = how.histories.iter().flatten().copied().collect();
    let mut firsts = vec![0i32];
    how.histories.iter().for_each(|history| firsts.push(firsts[firsts.len() - 1] + history.len() as i32));
    // What is empty still needs an address.
    let filled = |ids: &[u32]| if ids.is_empty() { vec![0] } else { ids.to_vec() };
    let uniforms = stream.clone_htod(how.uniforms).w()?;
    let firsts = stream.clone_htod(&firsts).w()?;
    let history = stream.clone_htod(&filled(&ids)).w()?;
    let suppressed = stream.clone_htod(&filled(how.suppressed)).w()?;
    // Tokens, log-probabilities by their bits, and whether they are any good.
    let results = gpu.alloc::<u32>(3 * rows)?;

    let mut work = gpu.begin()?;
    let low = work.take::<bf16>(rows * c)?;
    let logits = work.take::<f32>(rows * vocab)?;
    let raw = work.take::<f32>(ids.len().max(1))?;
    gpu.round(held.ptr()?, low, rows * c)?;
    let head = Mat::bf16(held_head.ptr()?, vocab);
    gpu.gemm([rows, vocab, c], Mat::bf16(low, c), head, Mat::f32(logits, vocab), [1.0, 0.0])?;
    let greedy = how.temperature == 0.0;
    let scale = if greedy { 1.0 } else { (1.0 / how.temperature) as f32 };
    let mut args: Vec<Arg> = vec![logits.into(), Ptr::of(&uniforms).into(), Ptr::of(&firsts).into()];
    args.extend([Arg::from(Ptr::of(&history)), raw.into(), Ptr::of(&suppressed).into(), how.suppressed.len().into()]);
    args.extend([0, rows, 2 * rows].map(|start| Arg::from(Ptr::of(&results).add(start))));
    args.extend([Arg::from(vocab), scale.into(), usize::from(greedy).into(), how.top_k.unwrap_or(0).into()]);
    args.extend([Arg::Double(how.top_p), Arg::from(how.min_p.ln() as f32), (how.repetition_penalty as f32).into()]);
    gpu.launch(Source::Head, "draw", Shape::each(rows, THREADS), &args)?;
    drop(work);
    let results = stream.clone_dtoh(&results).w()?;
    let of = |row: usize| (results[row], f32::from_bits(results[rows + row]), results[2 * rows + row]);
    Ok((0..rows).map(of).map(|(token, log_prob, valid)| (valid != 0).then_some((token, log_prob))).collect())
}
