//! `attention.cu` against f64, over the tiles that segments are cut into.

use std::ops::Range;

use half::bf16;
use rand::{Rng, RngCore};

use super::{
    launch::{Buffer, Run, arguments},
    program::Program,
    values::{Number, halves, near, rng, wide},
};
use crate::attention::{
    Dims, Segment,
    tiles::{KEYS, KeyTiles, QUERIES, Tiles},
};

const THREADS: u32 = 128;
/// Rows of queries that the gradients of keys take at a time.
const ROWS: usize = 32;

/// Segments over queries, which are the last of the keys, and tensors side by side as the product of q, k and v has them.
struct Case {
    d: Dims,
    segments: Vec<Segment>,
    queries: usize,
    keys: usize,
    q: Vec<bf16>,
    kv: Vec<bf16>,
    grad: Vec<bf16>,
}

/// A value and the sum of the magnitudes of what was added up to it, some of which is rounded to bf16 first.
#[derive(Clone, Copy, Default)]
struct Sum {
    value: f64,
    magnitude: f64,
}

impl Sum {
    fn add(&mut self, value: f64) {
        self.value += value;
        self.magnitude += value.abs();
    }
}

struct Inputs {
    q: Buffer<bf16>,
    k: Buffer<bf16>,
    v: Buffer<bf16>,
    q_ld: i32,
    kv_ld: i32,
}

struct Expected {
    out: Vec<Sum>,
    lse: Vec<f64>,
    delta: Vec<f64>,
    dq: Vec<Sum>,
    dk: Vec<Sum>,
    dv: Vec<Sum>,
}

impl Case {
    fn new(seed: u64, [heads, kv_heads, dim]: [usize; 3], segments: Vec<Segment>, queries: usize, keys: usize) -> Self {
        let mut rng = rng(seed);
        let q = halves(&mut rng, queries * heads * dim);
        let kv = halves(&mut rng, keys * 2 * kv_heads * dim);
        let grad = halves(&mut rng, queries * heads * dim);
        Case { d: Dims { heads, kv_heads, dim }, segments, queries, keys, q, kv, grad }
    }

    fn expected(&self) -> Expected {
        let Dims { heads, kv_heads, dim } = self.d;
        let (width, kv_width) = (heads * dim, kv_heads * dim);
        let scale = 1.0 / (dim as f64).sqrt();
        let nothing = Sum { value: f64::NAN, magnitude: 0.0 };
        let mut e = Expected {
            out: vec![nothing; self.queries * width],
            lse: vec![f64::NAN; self.queries * heads],
            delta: vec![f64::NAN; self.queries * heads],
            dq: vec![nothing; self.queries * width],
            dk: vec![Sum::default(); self.keys * kv_width],
            dv: vec![Sum::default(); self.keys * kv_width],
        };
        let [q, kv, grad] = [&self.q, &self.kv, &self.grad].map(|values| wide(values));
        for s in &self.segments {
            for (j, query) in s.query.clone().enumerate() {
                let seen = s.own.len() - if s.causal { s.query.len() - 1 - j } else { 0 };
                let own = s.own.start..s.own.start + seen;
                let keys: Vec<usize> = s.before.iter().cloned().chain([own]).flatten().collect();
                for head in 0..heads {
                    let column = head / self.d.group() * dim;
                    let row = query * width + head * dim;
                    let (q, grad) = (&q[row..row + dim], &grad[row..row + dim]);
                    let k = |key: usize| &kv[key * 2 * kv_width + column..][..dim];
                    let v = |key: usize| &kv[key * 2 * kv_width + kv_width + column..][..dim];
                    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
                    let scores: Vec<f64> = keys.iter().map(|&key| scale * dot(q, k(key))).collect();
                    let top = scores.iter().copied().fold(f64::MIN, f64::max);
                    let lse = top + scores.iter().map(|z| (z - top).exp()).sum::<f64>().ln();
                    let p: Vec<f64> = scores.iter().map(|z| (z - lse).exp()).collect();
                    let out = &mut e.out[row..row + dim];
                    out.fill(Sum::default());
                    for (&key, p) in keys.iter().zip(&p) {
                        out.iter_mut().zip(v(key)).for_each(|(out, v)| out.add(p * v));
                    }
                    // The output is kept rounded.
                    let delta = out.iter().zip(grad).map(|(out, g)| bf16::from_f64(out.value).wide() * g).sum();
                    (e.lse[query * heads + head], e.delta[query * heads + head]) = (lse, delta);
                    e.dq[row..row + dim].fill(Sum::default());
                    for (&key, p) in keys.iter().zip(&p) {
                        let dz = p * (dot(grad, v(key)) - delta) * scale;
                        for i in 0..dim {
                            e.dq[row + i].add(dz * k(key)[i]);
                            e.dk[key * kv_width + column + i].add(dz * q[i]);
                            e.dv[key * kv_width + column + i].add(p * grad[i]);
                        }
                    }
                }
            }
        }
        e
    }

    fn program(&self) -> Option<Program> {
        Program::of_file("attention.cu", &[("HEAD_DIM", self.d.dim as i64)])
    }

    /// Queries, keys and values in a run, and the distance of two rows of each.
    fn inputs(&self, run: &mut Run) -> Inputs {
        let Dims { heads, kv_heads, dim } = self.d;
        let (q, q_ld) = spread(run, &self.q, heads * dim, 8);
        let kv = run.input(&self.kv);
        Inputs { q, k: kv, v: kv.at(kv_heads * dim), q_ld, kv_ld: (2 * kv_heads * dim) as i32 }
    }

    fn scale(&self) -> f32 {
        1.0 / (self.d.dim as f32).sqrt()
    }

    fn row_bytes(&self) -> usize {
        (self.d.dim + 8) * size_of::<bf16>()
    }
}

/// Each value is its expectation but for the roundings of what was added up and its own; NaN where nothing was written.
#[track_caller]
fn sums_near<T: Number>(what: &str, actual: &[T], expected: &[Sum]) {
    assert_eq!(actual.len(), expected.len());
    for (i, (actual, sum)) in actual.iter().map(|value| value.wide()).zip(expected).enumerate() {
        if sum.value.is_nan() {
            assert!(actual.is_nan(), "{what}: value {i} is {actual} though no segment has it");
            continue;
        }
        let allowed = bf16::ROUNDING * sum.magnitude + T::ROUNDING * sum.value.abs() + 1e-5 * (1.0 + sum.magnitude);
        let gap = (actual - sum.value).abs();
        assert!(gap <= allowed, "{what}: value {i} is {actual} and not {}: {gap:e}, allowed {allowed:e}", sum.value);
    }
}

/// Rows of `width` with `behind` columns of something else after each, and the distance of two.
fn spread(run: &mut Run, values: &[bf16], width: usize, behind: usize) -> (Buffer<bf16>, i32) {
    let something = vec![bf16::NAN; behind];
    let rows: Vec<bf16> = values.chunks(width).flat_map(|row| [row, &something].concat()).collect();
    (run.input(&rows), (width + behind) as i32)
}

/// A prompt, responses that share it, one that goes on from another's beginning, a window, and a query in no segment.
fn packed(prompt: usize, responses: &[usize]) -> (Vec<Segment>, usize) {
    let mut segments = vec![Segment::alone(0..prompt, true)];
    let (before, mut end) = (0..prompt, prompt);
    for &length in responses {
        let own = end..end + length;
        segments.push(Segment { query: own.clone(), before: vec![before.clone()], own, causal: true });
        end += length;
    }
    let stem = prompt..prompt + responses.first().map_or(0, |length| length.div_ceil(2));
    let leaf = end..end + 3;
    segments.push(Segment { query: leaf.clone(), before: vec![before, stem], own: leaf.clone(), causal: true });
    segments.push(Segment::alone(leaf.end..leaf.end + 13, false));
    (segments, leaf.end + 14)
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (seed, shape, prompt, responses) in [
        (1, [4, 2, 16], 70, vec![8, 1]),
        (2, [7, 1, 32], 21, vec![9, 12]),
        (3, [1, 1, 80], 130, vec![]),
        (4, [2, 1, 128], 1, vec![66]),
        (5, [3, 3, 48], 64, vec![64, 2]),
    ] {
        let (segments, tokens) = packed(prompt, &responses);
        cases.push(Case::new(seed, shape, segments, tokens, tokens));
    }
    let mut rng = rng(8);
    for seed in 20..24 {
        let shape = [[1, 1, 48], [4, 2, 16], [7, 1, 16], [8, 4, 32], [16, 1, 16]][rng.random_range(0..5)];
        let responses: Vec<usize> = (0..rng.random_range(0..4)).map(|_| rng.random_range(1..40)).collect();
        let (segments, tokens) = packed(rng.random_range(1..100), &responses);
        cases.push(Case::new(seed, shape, segments, tokens, tokens));
    }
    // Windows side by side, and one token alone.
    let windows: Vec<_> = [0..1, 1..30, 30..94].map(|window: Range<usize>| Segment::alone(window, false)).into();
    cases.push(Case::new(6, [2, 2, 16], windows, 94, 94));
    // Queries that go on from a cache, in another order than the keys.
    let chunk = |query: Range<usize>, own| Segment { query, before: vec![], own, causal: true };
    cases.push(Case::new(7, [2, 1, 16], vec![chunk(5..25, 0..90), chunk(0..5, 100..105)], 25, 110));
    // Scores around -100, whose exponentials are nothing in f32 and those of their negatives too much.
    let (segments, tokens) = packed(20, &[5]);
    let mut low = Case::new(9, [2, 1, 128], segments, tokens, tokens);
    let add = |x: &mut bf16, y: f32| *x = bf16::from_f32(x.to_f32() + y);
    low.q.iter_mut().for_each(|q| add(q, 3.0));
    low.kv.chunks_mut(2 * 128).flat_map(|row| &mut row[..128]).for_each(|k| add(k, -3.0));
    cases.push(low);
    cases
}

/// The forward pass; with `lse` if it has one.
fn forward(case: &Case, tiles: &Tiles, with_lse: bool) -> (Vec<bf16>, Option<Vec<f32>>) {
    let program = case.program().unwrap();
    let Dims { heads, kv_heads, dim } = case.d;
    let mut run = program.run();
    let Inputs { q, k, v, q_ld, kv_ld } = case.inputs(&mut run);
    // Rows of the output have columns of another's behind.
    let out_ld = heads * dim + 8;
    let out = run.output::<bf16>(case.queries * out_ld);
    let lse = with_lse.then(|| run.output::<f32>(case.queries * heads));
    let split = tiles.part_rows > 0;
    let parts = split.then(|| run.output::<f32>(kv_heads * tiles.part_rows * dim));
    let weights = split.then(|| run.output::<f32>(kv_heads * tiles.part_rows * 2));
    let (tiles_at, ranges) = (run.input(&tiles.tiles), run.input(&tiles.ranges));
    let [ld, heads_, group, rows] = [out_ld, heads, case.d.group(), tiles.part_rows].map(|n| n as i32);
    let arguments = arguments![
        q,
        k,
        v,
        out,
        lse,
        parts,
        weights,
        tiles_at,
        ranges,
        q_ld,
        kv_ld,
        ld,
        heads_,
        group,
        rows,
        case.scale()
    ];
    let grid = [tiles.tiles.len() as u32, kv_heads as u32, 1];
    let shared = (QUERIES + 4 * KEYS) * case.row_bytes();
    run.launch("attention", grid, [THREADS, 1, 1], shared as u32, arguments);
    if split {
        let (first, rows_at) = (run.input(&tiles.first), run.input(&tiles.rows));
        let grid = [case.queries as u32, heads as u32, 1];
        let block = [(dim / 4).next_multiple_of(32) as u32, 1, 1];
        run.launch("combine", grid, block, 0, arguments![parts, weights, out, first, rows_at, ld, group, rows]);
    }
    let after = run.finish();
    let mut values = Vec::new();
    for row in after.read(out).chunks(out_ld) {
        values.extend(&row[..heads * dim]);
        assert!(row[heads * dim..].iter().all(|value| value.is_nan()));
    }
    (values, lse.map(|lse| after.read(lse)))
}

/// As `near`, for what is NaN where no segment has it.
#[track_caller]
fn near_where_seen(what: &str, actual: &[f32], expected: &[f64], slack: f64) {
    let seen = |i: &usize| !expected[*i].is_nan();
    let (seen, unseen): (Vec<_>, Vec<_>) = (0..expected.len()).partition(seen);
    assert!(unseen.iter().all(|&i| actual[i].is_nan()), "{what}");
    let pick = |of: &[f64]| seen.iter().map(|&i| of[i]).collect::<Vec<_>>();
    let actual: Vec<f32> = seen.iter().map(|&i| actual[i]).collect();
    near(what, &actual, &pick(expected), slack);
}

#[test]
fn attention_of_every_kind_of_segment_is_that_of_f64() {
    if super::compiler::Compiler::find().is_none() {
        return;
    }
    for case in cases() {
        let (out, lse) = forward(&case, &Tiles::whole(&case.segments, case.d.group()), true);
        let expected = case.expected();
        sums_near("out", &out, &expected.out);
        near_where_seen("lse", &lse.unwrap(), &expected.lse, 2e-5);
    }
}

/// Steps of decoding over a cache: prompts and own tokens, some longer than a part.
#[test]
fn attention_in_parts_is_that_of_f64() {
    if super::compiler::Compiler::find().is_none() {
        return;
    }
    for (seed, shape, prompts) in
        [(1, [4, 2, 16], vec![(300, 3), (1, 2)]), (2, [7, 1, 32], vec![(70, 11)]), (3, [2, 2, 80], vec![(10, 1)])]
    {
        let mut rng = rng(seed);
        let (mut segments, mut at) = (Vec::new(), 0);
        for (prompt, responses) in prompts {
            let prompt = at..at + prompt;
            at = prompt.end;
            for _ in 0..responses {
                let own = at..at + rng.random_range(1..70usize) + 250 * usize::from(segments.is_empty());
                at = own.end + 2;
                let query = segments.len()..segments.len() + 1;
                segments.push(Segment { query, before: vec![prompt.clone()], own, causal: true });
            }
        }
        let case = Case::new(rng.next_u64(), shape, segments, 0, at);
        let queries = case.segments.len();
        let case = Case { queries, q: halves(&mut rng, queries * shape[0] * shape[2]), ..case };
        let (out, _) = forward(&case, &Tiles::split(&case.segments, queries, case.d.group()), false);
        let mut expected = Case { grad: vec![bf16::ZERO; case.q.len()], ..case }.expected();
        expected.out.iter_mut().for_each(|sum| sum.magnitude *= 2.0);
        sums_near("out", &out, &expected.out);
    }
}

#[test]
fn gradients_of_attention_are_those_of_f64() {
    for case in cases() {
        let Some(program) = case.program() else { return };
        let Dims { heads, kv_heads, dim } = case.d;
        let expected = case.expected();
        let finite = |x: f64| if x.is_nan() { 0.0 } else { x };
        let lse: Vec<f32> = expected.lse.iter().map(|&x| finite(x) as f32).collect();
        let out: Vec<bf16> = expected.out.iter().map(|sum| bf16::from_f64(finite(sum.value))).collect();
        let mut run = program.run();
        let Inputs { q, k, v, q_ld, kv_ld } = case.inputs(&mut run);
        let (out_at, out_ld) = spread(&mut run, &out, heads * dim, 24);
        let (grad, grad_ld) = spread(&mut run, &case.grad, heads * dim, 16);
        let lse = run.input(&lse);
        let rows = case.queries * heads;
        let delta = run.output::<f32>(rows);
        let [heads_, group, width, kv_width] = [heads, case.d.group(), heads * dim, kv_heads * dim].map(|n| n as i32);
        let grid = [rows.div_ceil(4) as u32, 1, 1];
        let arguments = arguments![out_at, grad, delta, out_ld, grad_ld, heads_, rows as i32];
        run.launch("attention_delta", grid, [THREADS, 1, 1], 0, arguments);

        let tiles = Tiles::whole(&case.segments, case.d.group());
        let (tiles_at, ranges) = (run.input(&tiles.tiles), run.input(&tiles.ranges));
        let dq_ld = width + 2 * kv_width;
        let dq = run.output::<bf16>(case.queries * dq_ld as usize);
        // GPUs with little shared memory have one buffer for keys.
        let buffers = 1 + case.queries % 2;
        let arguments = arguments![
            q,
            k,
            v,
            grad,
            lse,
            delta,
            dq,
            tiles_at,
            ranges,
            q_ld,
            kv_ld,
            grad_ld,
            dq_ld,
            heads_,
            group,
            buffers as i32,
            case.scale()
        ];
        let grid = [tiles.tiles.len() as u32, kv_heads as u32, 1];
        let shared = 2 * (QUERIES + buffers * KEYS) * case.row_bytes();
        run.launch("attention_dq", grid, [THREADS, 1, 1], shared as u32, arguments);

        let splits = 3;
        let key_tiles = KeyTiles::new(&case.segments, case.keys);
        let (tiles_at, runs) = (run.input(&key_tiles.tiles), run.input(&key_tiles.runs));
        let part = case.keys * kv_heads * dim;
        let parts = run.output::<f32>(splits * 2 * part);
        let keys = case.keys as i32;
        let arguments = arguments![
            q,
            k,
            v,
            grad,
            lse,
            delta,
            parts,
            tiles_at,
            runs,
            q_ld,
            kv_ld,
            grad_ld,
            heads_,
            group,
            keys,
            case.scale()
        ];
        let grid = [key_tiles.tiles.len() as u32, kv_heads as u32, splits as u32];
        let shared = 2 * (KEYS + 2 * ROWS) * case.row_bytes();
        run.launch("attention_dkv", grid, [THREADS, 1, 1], shared as u32, arguments);

        let after = run.finish();
        let deltas: Vec<f64> = expected.delta.iter().map(|&x| finite(x)).collect();
        near("delta", &after.read(delta), &deltas, 2e-5);
        let mut values: Vec<bf16> = Vec::new();
        after.read(dq).chunks(dq_ld as usize).for_each(|row| values.extend(&row[..width as usize]));
        sums_near("dq", &values, &expected.dq);
        let parts = after.read(parts);
        let total = |which: usize, i: usize| (0..splits).map(|split| parts[(2 * split + which) * part + i]).sum();
        for (which, name, sums) in [(0, "dk", &expected.dk), (1, "dv", &expected.dv)] {
            let values: Vec<f32> = (0..part).map(|i| total(which, i)).collect();
            sums_near(name, &values, sums);
        }
    }
}
