//! The forward pass of a decoder layer on a CPU, by blocks of tokens, except for attention.

use std::ops::Range;

use candle_core::{Result, bail};
use rayon::prelude::*;

use super::{
    product::Product,
    weights::{Cached, DecoderLayer, Fused},
};
use crate::{
    attention::{Dims, Heads, Inputs, Segment, attend},
    cache::write_rows,
    lora::LoraFactors,
    norm::normalise,
    product::FEW,
    rope::Angles,
    storage::Read,
    swiglu::activate,
    threads::{serially, threads},
    vector::vectorised,
    views::{Mat, MatMut},
    weight::Weight,
};

/// Values of the widest activation of a block: with its neighbours it stays in a core's own cache.
const BLOCK: usize = 1 << 17;

/// The weights of a layer as slices.
pub struct Frozen<'a> {
    pub dims: Dims,
    pub eps: f32,
    pub input_norm: &'a [f32],
    pub post_norm: &'a [f32],
    pub angles: Angles<'a>,
    pub qkv: Product<'a>,
    pub o: Product<'a>,
    pub gate_up: Product<'a>,
    pub down: Product<'a>,
    /// Values of all factors.
    pub factors: usize,
}

/// What the backward pass needs besides the input.
pub struct Kept {
    /// Rotated queries and keys, and values, `[tokens, (heads + 2 kv_heads) * D]`.
    pub qkv: Vec<f32>,
    /// `[tokens, heads * D]`
    pub attended: Vec<f32>,
    /// Between attention and MLP, `[tokens, hidden]`.
    pub middle: Vec<f32>,
    /// `[tokens, 2 * intermediate]`
    pub gate_up: Vec<f32>,
}

/// Buffers of a thread, for one block.
#[derive(Default)]
pub struct Scratch {
    pub hidden: Vec<f32>,
    pub gate_up: Vec<f32>,
    pub activated: Vec<f32>,
    pub low: Vec<f32>,
}

/// `len` values, whatever they are.
pub fn sized(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
    &mut buffer[..len]
}

impl<'a> Frozen<'a> {
    pub fn new(
        layer: &DecoderLayer,
        floats: &'a [Read; 5],
        matrices: &'a [Read; Fused::COUNT],
        flat: Option<&'a Read>,
        lora: Option<&'a LoraFactors>,
    ) -> Result<Self> {
        let [input_norm, post_norm, bias, cos, sin] = floats;
        let flat = flat.map(Read::slice).transpose()?;
        let product = |which: Fused, bias| -> Result<Product<'a>> {
            let lora = lora.zip(flat).map(|(lora, flat)| (&lora.places()[which as usize], flat));
            Ok(Product { weight: Weight::read(&matrices[which as usize])?, bias, lora })
        };
        let frozen = Self {
            dims: Dims { heads: layer.heads, kv_heads: layer.kv_heads, dim: layer.head_dim },
            eps: layer.eps as f32,
            input_norm: input_norm.slice()?,
            post_norm: post_norm.slice()?,
            angles: Angles { cos: cos.slice()?, sin: sin.slice()?, sign: 1.0 },
            qkv: product(Fused::Qkv, Some(bias.slice()?))?,
            o: product(Fused::O, None)?,
            gate_up: product(Fused::GateUp, None)?,
            down: product(Fused::Down, None)?,
            factors: flat.map_or(0, <[f32]>::len),
        };
        frozen.check()?;
        Ok(frozen)
    }

    fn check(&self) -> Result<()> {
        let Dims { heads, kv_heads, dim } = self.dims;
        let (hidden, wide) = (self.input_norm.len(), self.down.inputs());
        let shapes = [&self.qkv, &self.o, &self.gate_up, &self.down].map(|p| (p.inputs(), p.outputs()));
        let expected =
            [(hidden, (heads + 2 * kv_heads) * dim), (heads * dim, hidden), (hidden, 2 * wide), (wide, hidden)];
        let grouped = kv_heads > 0 && heads.is_multiple_of(kv_heads);
        if shapes != expected || self.post_norm.len() != hidden || !grouped {
            bail!(
                "decoder-layer: weights of shapes {shapes:?}, expected {expected:?}, {heads} heads, {kv_heads} of keys"
            );
        }
        Ok(())
    }

    pub fn hidden(&self) -> usize {
        self.input_norm.len()
    }

    /// Fails unless there is an angle for every token.
    fn tokens(&self, x: &[f32]) -> Result<usize> {
        let tokens = x.len() / self.hidden();
        if x.len() != tokens * self.hidden() || self.angles.cos.len() != tokens * self.dims.dim / 2 {
            bail!("decoder-layer: {} values and {} angles", x.len(), self.angles.cos.len());
        }
        Ok(tokens)
    }

    pub fn forward(&self, x: &[f32], segments: &[Segment], keep: bool) -> Result<(Vec<f32>, Option<Kept>)> {
        let tokens = self.tokens(x)?;
        let qkv = self.project(x, tokens);
        let d = &self.dims;
        let mut attended = vec![0f32; tokens * d.heads * d.dim];
        attend(d, segments, self.inputs(&qkv), MatMut::new(&mut attended, tokens, d.heads * d.dim));
        let middle = self.middle(x, &attended, tokens);
        if !keep {
            return Ok((self.mlp(middle, tokens, None), None));
        }
        let mut gate_up = vec![0f32; tokens * self.gate_up.outputs()];
        let y = self.mlp(middle.clone(), tokens, Some(&mut gate_up));
        Ok((y, Some(Kept { qkv, attended, middle, gate_up })))
    }

    pub fn forward_cached(&self, x: &[f32], segments: &[Segment], cached: Cached) -> Result<Vec<f32>> {
        let (tokens, d) = (self.tokens(x)?, &self.dims);
        if cached.rows.len() != tokens || cached.keys.dims()[1..] != [d.kv_heads, d.dim] {
            bail!("decoder-layer: {} rows of a cache {:?} for {tokens} tokens", cached.rows.len(), cached.keys.shape());
        }
        let qkv = self.project(x, tokens);
        let (width, first) = (self.qkv.outputs(), d.heads * d.dim);
        for (cache, at) in [(cached.keys, first), (cached.values, first + d.kv_heads * d.dim)] {
            let rows = Mat::strided(&qkv[at..], tokens, d.kv_heads * d.dim, width);
            write_rows(cache, rows, cached.rows)?;
        }
        let mut attended = vec![0f32; tokens * first];
        {
            // No longer than needed: others write their rows meanwhile.
            let (keys, values) = (Read::new(cached.keys), Read::new(cached.values));
            let of_cache = |data| Heads { data, stride: d.kv_heads * d.dim, dim: d.dim };
            let inputs = Inputs { k: of_cache(keys.slice()?), v: of_cache(values.slice()?), ..self.inputs(&qkv) };
            attend(d, segments, inputs, MatMut::new(&mut attended, tokens, first));
        }
        Ok(self.mlp(self.middle(x, &attended, tokens), tokens, None))
    }

    /// Queries, keys and values in the fused layout.
    pub fn inputs<'b>(&self, qkv: &'b [f32]) -> Inputs<'b> {
        let Dims { heads, kv_heads, dim } = self.dims;
        let of = |first: usize| Heads { data: &qkv[(first * dim).min(qkv.len())..], stride: self.qkv.outputs(), dim };
        Inputs { q: of(0), k: of(heads), v: of(heads + kv_heads) }
    }

    /// Rotated queries and keys, and values.
    fn project(&self, x: &[f32], tokens: usize) -> Vec<f32> {
        let (hidden, width) = (self.hidden(), self.qkv.outputs());
        let rotated = (self.dims.heads + self.dims.kv_heads) * self.dims.dim;
        let mut qkv = vec![0f32; tokens * width];
        self.by_block(&mut qkv, tokens, width, |block, mut dst, scratch| {
            let h = sized(&mut scratch.hidden, block.len() * hidden);
            normalise_all(&x[block.start * hidden..block.end * hidden], self.input_norm, self.eps, h);
            self.qkv.forward(dst.reborrow(), false, Mat::new(h, block.len(), hidden), &mut scratch.low);
            vectorised(|| {
                for (i, token) in block.enumerate() {
                    self.angles.rotate(token, &mut dst.row(i)[..rotated], self.dims.dim);
                }
            });
        });
        qkv
    }

    /// The input plus what attention adds.
    fn middle(&self, x: &[f32], attended: &[f32], tokens: usize) -> Vec<f32> {
        let (hidden, width) = (self.hidden(), self.o.inputs());
        let mut middle = x.to_vec();
        self.by_block(&mut middle, tokens, hidden, |block, dst, scratch| {
            let attended = Mat::new(&attended[block.start * width..block.end * width], block.len(), width);
            self.o.forward(dst, true, attended, &mut scratch.low);
        });
        middle
    }

    /// Adds what the MLP adds; keeps gates and ups if there is somewhere to.
    fn mlp(&self, mut x: Vec<f32>, tokens: usize, keep: Option<&mut [f32]>) -> Vec<f32> {
        let (hidden, wide) = (self.hidden(), self.down.inputs());
        let run = |mut dst: MatMut, kept: Option<MatMut>, scratch: &mut Scratch| {
            let rows = dst.rows();
            let h = sized(&mut scratch.hidden, rows * hidden);
            vectorised(|| {
                for (i, h) in h.chunks_exact_mut(hidden).enumerate() {
                    normalise(dst.row(i), self.post_norm, self.eps, h);
                }
            });
            let own = sized(&mut scratch.gate_up, if kept.is_some() { 0 } else { rows * 2 * wide });
            let mut gate_up = kept.unwrap_or_else(|| MatMut::new(own, rows, 2 * wide));
            self.gate_up.forward(gate_up.reborrow(), false, Mat::new(h, rows, hidden), &mut scratch.low);
            let activated = sized(&mut scratch.activated, rows * wide);
            vectorised(|| {
                for (i, y) in activated.chunks_exact_mut(wide).enumerate() {
                    let (gate, up) = gate_up.row(i).split_at(wide);
                    activate(gate, up, y);
                }
            });
            self.down.forward(dst, true, Mat::new(activated, rows, wide), &mut scratch.low);
        };
        let blocks = self.blocks(tokens);
        let bands = MatMut::new(&mut x, tokens, hidden).bands(blocks.iter().cloned());
        match keep {
            None => in_turns(bands.collect(), |dst, scratch| run(dst, None, scratch)),
            Some(keep) => {
                let kept = MatMut::new(keep, tokens, 2 * wide).bands(blocks.iter().cloned());
                in_turns(bands.zip(kept).collect(), |(dst, kept), scratch| run(dst, Some(kept), scratch));
            }
        }
        x
    }

    /// Calls `f` with every block of tokens and its rows of `data`.
    fn by_block(
        &self,
        data: &mut [f32],
        tokens: usize,
        width: usize,
        f: impl Fn(Range<usize>, MatMut, &mut Scratch) + Sync,
    ) {
        let blocks = self.blocks(tokens);
        let bands = MatMut::new(data, tokens, width).bands(blocks.iter().cloned());
        in_turns(blocks.iter().cloned().zip(bands).collect(), |(block, dst), scratch| f(block, dst, scratch));
    }

    fn blocks(&self, tokens: usize) -> Vec<Range<usize>> {
        blocks(tokens, (BLOCK / self.gate_up.outputs()).clamp(FEW / 2, FEW - 1))
    }
}

/// Ranges of at most `most` tokens, as few and as even as can be.
pub fn blocks(tokens: usize, most: usize) -> Vec<Range<usize>> {
    let size = tokens.div_ceil(tokens.div_ceil(most).max(1)).max(1);
    (0..tokens).step_by(size).map(|first| first..tokens.min(first + size)).collect()
}

/// Runs `f` for every task: at the same time where there are threads and several tasks.
pub fn in_turns<T: Send>(tasks: Vec<T>, f: impl Fn(T, &mut Scratch) + Sync) {
    if threads() > 1 && tasks.len() > 1 {
        tasks.into_par_iter().for_each_init(Scratch::default, |scratch, task| serially(|| f(task, scratch)));
    } else {
        let mut scratch = Scratch::default();
        tasks.into_iter().for_each(|task| f(task, &mut scratch));
    }
}

/// Normalises every row of `x`.
pub fn normalise_all(x: &[f32], weight: &[f32], eps: f32, y: &mut [f32]) {
    let rows = x.chunks_exact(weight.len()).zip(y.chunks_exact_mut(weight.len()));
    vectorised(|| rows.for_each(|(x, y)| normalise(x, weight, eps, y)));
}
