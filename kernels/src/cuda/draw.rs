//! Drawing tokens on a GPU: only the tokens and their log-probabilities come back.

use candle_core::{
    Result, bail,
    cuda_backend::{WrapErr, cudarc::driver::CudaSlice},
};

use super::{
    gpu::{Arg, Gpu, Shape, Source, Work},
    pointer::Ptr,
};

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

/// Where the rows of a draw find what they are told, on the GPU.
#[derive(Clone, Copy)]
pub struct Told {
    pub logits: Ptr<f32>,
    /// A number for every row.
    pub uniforms: Ptr<f64>,
    pub suppressed: Ptr<u32>,
    /// Zeros, one more than rows: where histories begin that are all empty.
    pub no_history: Ptr<i32>,
}

/// What a draw brings about.
pub struct Rolls {
    rows: usize,
    /// Every row's history, and where it begins.
    histories: Option<(CudaSlice<u32>, CudaSlice<i32>)>,
    /// Tokens, log-probabilities by their bits, and whether they are any good.
    results: CudaSlice<u32>,
}

impl Rolls {
    pub fn new(gpu: &Gpu, rows: usize, how: &Draw) -> Result<Self> {
        if how.uniforms.len() != rows || how.histories.len() != rows {
            bail!("draw: {} numbers and {} histories for {rows} rows", how.uniforms.len(), how.histories.len());
        }
        let stream = gpu.stream();
        let ids: Vec<u32> = how.histories.iter().flatten().copied().collect();
        let histories = if ids.is_empty() {
            None
        } else {
            let mut firsts = vec![0i32];
            how.histories.iter().for_each(|history| firsts.push(firsts[firsts.len() - 1] + history.len() as i32));
            Some((stream.clone_htod(&ids).w()?, stream.clone_htod(&firsts).w()?))
        };
        Ok(Self { rows, histories, results: gpu.alloc::<u32>(3 * rows)? })
    }

    /// A token for every row of logits `[rows, vocab]`, which are overwritten.
    pub fn roll(self, mut work: Work, told: Told, vocab: usize, how: &Draw) -> Result<Vec<Drawn>> {
        let (gpu, rows) = (work.gpu, self.rows);
        let (history, first, penalised) = match &self.histories {
            Some((ids, firsts)) => (Ptr::of(ids), Ptr::of(firsts), ids.len()),
            None => (Ptr::null(), told.no_history, 0),
        };
        let raw = work.take::<f32>(penalised)?;
        let greedy = how.temperature == 0.0;
        let scale = if greedy { 1.0 } else { (1.0 / how.temperature) as f32 };
        let mut args: Vec<Arg> = vec![told.logits.into(), told.uniforms.into(), first.into()];
        args.extend([Arg::from(history), raw.into(), told.suppressed.into(), how.suppressed.len().into()]);
        args.extend([0, rows, 2 * rows].map(|start| Arg::from(Ptr::of(&self.results).add(start))));
        args.extend([Arg::from(vocab), scale.into(), usize::from(greedy).into(), how.top_k.unwrap_or(0).into()]);
        args.extend([Arg::Double(how.top_p), Arg::from(how.min_p.ln() as f32), (how.repetition_penalty as f32).into()]);
        work.launch(Source::Head, "draw", Shape::each(rows, THREADS), &args)?;
        drop(work);
        let results = gpu.stream().clone_dtoh(&self.results).w()?;
        let of = |row: usize| (results[row], f32::from_bits(results[rows + row]), results[2 * rows + row]);
        Ok((0..rows).map(of).map(|(token, log_prob, valid)| (valid != 0).then_some((token, log_prob))).collect())
    }
}
