//! A decoding step on a GPU: the next token of some sequences, from their last ones. All of it but the draw is recorded
//! when it comes up a second time, and replayed from then on.

use candle_core::{Result, Tensor, bail};
use half::bf16;

use super::{
    attention::Inputs,
    draw::{self, Draw, Drawn},
    gpu::{Arg, Gpu, Shape, Source, Work, lock},
    graph::{Key, Recorded},
    pass::{Angles, Pass, Reads},
    pointer::{Held, Mat, Ptr},
};
use crate::{
    attention::{
        Dims, Segment, check,
        tiles::{QUERIES, Tiles},
    },
    layer::{DecoderLayer, Fused},
    lora::LoraFactors,
};

/// What a token goes through. All layers have room for factors.
pub struct Stack<'a> {
    /// `[vocab, hidden]`; the columns of the head without it.
    pub embed: Option<&'a Tensor>,
    pub layers: &'a [DecoderLayer],
    /// Keys and values of each layer, `[capacity, kv_heads, head_dim]`.
    pub caches: &'a [(Tensor, Tensor)],
    /// Factors of each layer.
    pub lora: Option<Vec<&'a LoraFactors>>,
    pub norm: &'a Tensor,
    /// `[hidden, vocab]`
    pub head: &'a Tensor,
}

/// The last tokens of some sequences.
pub struct Last<'a> {
    pub ids: &'a [u32],
    /// `[tokens, head_dim / 2]`
    pub angles: &'a [f32],
    /// Where their keys and values go.
    pub rows: &'a [usize],
    /// Of one query each; they count rows of the cache.
    pub segments: &'a [Segment],
}

/// Parts of what a step is told.
const PARTS: usize = 11;

/// What a step is told, as it lies on the GPU: every part at a multiple of four numbers.
struct Told {
    numbers: Vec<u32>,
    starts: [usize; PARTS],
    /// Tokens, tiles and rows of partial results, each rounded up: steps of about the same size are the same recording.
    tokens: usize,
    tiles: usize,
    part_rows: usize,
}

/// Up to 64 in steps of 8, then in steps of an eighth of the next power of two.
fn rounded(n: usize) -> usize {
    n.next_multiple_of((n.next_power_of_two() / 8).max(8))
}

impl Told {
    fn new(last: &Last, group: usize, how: &Draw) -> Self {
        let count = last.ids.len();
        let mut tiles = Tiles::split(last.segments, count, group);
        let (tokens, most) = (rounded(count), rounded(tiles.tiles.len()).max(32));
        let listed = rounded(tiles.rows.len()).max(64);
        // What fills up does nothing: tokens without a cache row or a key, and tiles without tokens.
        let mut ids = last.ids.to_vec();
        ids.resize(tokens, 0);
        let mut rows: Vec<i32> = last.rows.iter().map(|&row| row as i32).collect();
        rows.resize(tokens, -1);
        tiles.tiles.resize(most, [0; 8]);
        tiles.ranges.resize(most, [0; 2]);
        let end = tiles.first.last().copied().unwrap_or(0);
        tiles.first.resize(tokens + 1, end);
        tiles.rows.resize(listed, 0);
        let half = last.angles.len() / count.max(1);
        let table = |f: fn(f32) -> f32| {
            let mut values: Vec<u32> = last.angles.iter().map(|&angle| f(angle).to_bits()).collect();
            values.resize(tokens * half, 0);
            values
        };
        let signed = |values: &[i32]| values.iter().map(|&value| value as u32).collect::<Vec<_>>();
        let uniforms = how.uniforms.iter().flat_map(|u| [u.to_bits() as u32, (u.to_bits() >> 32) as u32]);
        let parts: [Vec<u32>; PARTS] = [
            ids,
            signed(&rows),
            signed(tiles.tiles.as_flattened()),
            signed(tiles.ranges.as_flattened()),
            signed(&tiles.first),
            signed(&tiles.rows),
            table(f32::cos),
            table(f32::sin),
            uniforms.collect(),
            how.suppressed.to_vec(),
            vec![0; count + 1],
        ];
        let (mut numbers, mut starts) = (Vec::new(), [0; PARTS]);
        for (start, part) in starts.iter_mut().zip(parts) {
            *start = numbers.len();
            numbers.extend(part);
            numbers.resize(numbers.len().next_multiple_of(4), 0);
        }
        // What comes after it in the scratch memory shall stay where it is.
        numbers.resize(numbers.len().next_multiple_of(4096), 0);
        Self { numbers, starts, tokens, tiles: most, part_rows: rounded(tiles.part_rows) }
    }
}

/// Where a step finds what it is told, and puts its logits.
#[derive(Clone, Copy)]
struct Memory {
    told: Ptr<u32>,
    x: Ptr<f32>,
    low: Ptr<bf16>,
    logits: Ptr<f32>,
}

impl Memory {
    fn of(work: &mut Work, told: &Told, hidden: usize, vocab: usize) -> Result<Self> {
        Ok(Self {
            told: work.take(told.numbers.len())?,
            x: work.take(told.tokens * hidden)?,
            low: work.take(told.tokens * hidden)?,
            logits: work.take(told.tokens * vocab)?,
        })
    }
}

/// The next token of every sequence. Keys and values of the last ones are put into the caches.
pub fn decode(stack: &Stack, last: &Last, how: &Draw) -> Result<Vec<Drawn>> {
    let Some(layer) = stack.layers.first() else { bail!("decode: no layers") };
    let (hidden, vocab) = stack.head.dims2()?;
    let d = Dims { heads: layer.heads, kv_heads: layer.kv_heads, dim: layer.head_dim };
    let capacity = stack.caches.first().map_or(Ok(0), |(keys, _)| keys.dim(0))?;
    let count = last.ids.len();
    let fits = stack.caches.len() == stack.layers.len()
        && stack.lora.as_ref().is_none_or(|lora| lora.len() == stack.layers.len())
        && last.rows.len() == count
        && last.angles.len() == count * d.dim / 2
        && last.rows.iter().all(|&row| row < capacity)
        && last.ids.iter().all(|&id| (id as usize) < vocab)
        && d.group() <= QUERIES;
    if !fits {
        bail!(
            "decode: {count} tokens do not fit {} layers, a cache of {capacity} and {vocab} words",
            stack.layers.len()
        );
    }
    check(last.segments, count, capacity)?;
    let gpu = Gpu::of_tensor(stack.head)?;
    let told = Told::new(last, d.group(), how);
    let reads: Vec<Reads> = stack.layers.iter().map(Reads::new).collect();
    let caches: Vec<[Held; 2]> = stack.caches.iter().map(|(keys, values)| [keys, values].map(Held::new)).collect();
    let step = Step { stack, d, hidden, vocab, reads, caches };
    let rolls = draw::Rolls::new(&gpu, count, how)?;

    let mut graphs = lock(&gpu.graphs);
    let mut work = gpu.begin()?;
    let mut memory = Memory::of(&mut work, &told, hidden, vocab)?;
    let key = step.key(&work, &told)?;
    work.upload(&told.numbers, memory.told)?;
    match graphs.find(&key) {
        Some(Some(Recorded(graph))) => work.replay(graph)?,
        Some(unrecorded) => {
            drop(work);
            // No error may leave the stream recording.
            let mut recorder = gpu.record()?;
            let same = Memory::of(&mut recorder, &told, hidden, vocab)?;
            let launched = step.launch(&mut recorder, &told, same);
            let graph = recorder.recorded();
            launched?;
            let moved = step.key(&recorder, &told)? != key;
            drop(recorder);
            work = gpu.begin()?;
            memory = Memory::of(&mut work, &told, hidden, vocab)?;
            work.upload(&told.numbers, memory.told)?;
            if moved {
                step.launch(&mut work, &told, memory)?;
            } else {
                let Recorded(graph) = unrecorded.insert(Recorded(graph?));
                work.replay(graph)?;
            }
        }
        None => step.launch(&mut work, &told, memory)?,
    }
    drop(graphs);
    let at = |part: usize| memory.told.add(told.starts[part]).0;
    let (uniforms, suppressed, no_history) = (Ptr::new(at(8)), Ptr::new(at(9)), Ptr::new(at(10)));
    let draw = draw::Told { logits: memory.logits, uniforms, suppressed, no_history };
    rolls.roll(work, draw, vocab, how)
}

/// Read locks on everything, and sizes.
struct Step<'a> {
    stack: &'a Stack<'a>,
    d: Dims,
    hidden: usize,
    vocab: usize,
    reads: Vec<Reads<'a>>,
    caches: Vec<[Held<'a>; 2]>,
}

impl Step<'_> {
    /// What a recording depends on. Puts the factors beside the weights.
    fn key(&self, work: &Work, told: &Told) -> Result<Key> {
        let Dims { heads, kv_heads, dim } = self.d;
        let sizes = [told.tokens, told.tiles, told.part_rows, told.numbers.len(), heads, kv_heads, dim, self.hidden];
        let mut key: Key = sizes.iter().map(|&size| size as u64).collect();
        key.extend(told.starts.map(|start| start as u64));
        key.extend([work.generation(), self.vocab as u64, Held::new(self.stack.head).ptr::<bf16>()?.0]);
        key.push(Held::new(self.stack.norm).ptr::<f32>()?.0);
        if let Some(embed) = self.stack.embed {
            key.push(Held::new(embed).ptr::<bf16>()?.0);
        }
        for (i, layer) in self.stack.layers.iter().enumerate() {
            let matrices = self.reads[i].matrices(layer)?;
            key.extend(matrices.at.map(|at| at.0));
            key.extend(self.reads[i].floats()?.map(|at| at.0));
            for cache in &self.caches[i] {
                key.push(cache.ptr::<bf16>()?.0);
            }
            if let Some(lora) = &self.stack.lora {
                let factors = layer.resident.hold(work, matrices, lora[i])?;
                key.extend(factors.a.map(|a| a.0));
                key.extend(factors.width.map(|width| width as u64));
            }
        }
        Ok(key)
    }

    fn launch(&self, work: &mut Work, told: &Told, memory: Memory) -> Result<()> {
        let at = |part: usize| memory.told.add(told.starts[part]);
        let table = |part: usize| Ptr::<f32>::new(at(part).0);
        let angles = Angles { cos: table(6), sin: table(7) };
        self.embed(work, told, memory)?;
        let (x, tokens) = (memory.x, told.tokens);
        for (i, layer) in self.stack.layers.iter().enumerate() {
            let mark = work.mark();
            let lora = self.stack.lora.as_ref().map(|lora| lora[i]);
            let [keys, values] = self.caches[i].each_ref().map(Held::ptr::<bf16>);
            let (keys, values) = (keys?, values?);
            let mut pass = Pass::new(work, layer, &self.reads[i], angles, lora, tokens)?;
            let qkv = pass.work.take(tokens * pass.outputs(Fused::Qkv))?;
            pass.project(x, qkv, [keys, values], Ptr::new(at(1).0))?;
            let Inputs { q, q_ld, .. } = pass.qkv_inputs(qkv);
            let inputs = Inputs { q, k: keys, v: values, q_ld, kv_ld: self.d.kv_heads * self.d.dim };
            let ld = pass.ld(Fused::O);
            let attended = pass.work.take(tokens * ld)?;
            pass.work.attend_parts(
                &self.d,
                [told.tiles, tokens, told.part_rows],
                [2, 3, 4, 5].map(|part| Ptr::new(at(part).0)),
                inputs,
                (attended, ld),
                Ptr::null(),
            )?;
            pass.lower(Fused::O, attended)?;
            pass.product(Fused::O, attended, Mat::f32(x, self.hidden), 1.0)?;
            let gate_up = pass.work.take(tokens * pass.outputs(Fused::GateUp))?;
            pass.mlp(x, gate_up)?;
            work.release(mark);
        }
        let eps = self.stack.layers[0].eps as f32;
        let norm = Held::new(self.stack.norm).ptr::<f32>()?;
        let (hidden, vocab) = (self.hidden, self.vocab);
        let none = Ptr::<bf16>::null();
        let args =
            [x.into(), norm.into(), memory.low.into(), none.into(), hidden.into(), hidden.into(), Arg::from(eps)];
        work.launch(Source::Layer, "rms_norm", Shape::each(tokens, 256), &args)?;
        let head = Mat::bf16(Held::new(self.stack.head).ptr()?, vocab);
        work.gemm(
            [tokens, vocab, hidden],
            Mat::bf16(memory.low, hidden),
            head,
            Mat::f32(memory.logits, vocab),
            [1.0, 0.0],
        )
    }

    fn embed(&self, work: &Work, told: &Told, memory: Memory) -> Result<()> {
        let ids = memory.told.add(told.starts[0]);
        let shape = Shape::each(told.tokens, 256);
        match self.stack.embed {
            Some(embed) => {
                let matrix = Held::new(embed).ptr::<bf16>()?;
                let args = [matrix.into(), ids.into(), memory.x.into(), self.hidden.into()];
                work.launch(Source::Layer, "embed_rows", shape, &args)
            }
            None => {
                let matrix = Held::new(self.stack.head).ptr::<bf16>()?;
                let vocab = Arg::Long(self.vocab as u64);
                let args = [matrix.into(), ids.into(), memory.x.into(), self.hidden.into(), vocab];
                work.launch(Source::Layer, "embed_columns", shape, &args)
            }
        }
    }
}
