//! `layer.cu` against f64.

use super::{
    launch::arguments,
    program::Program,
    values::{dot, floats, halves, near, rng, slope, wide},
};
use half::bf16;
use rand::Rng;

fn program() -> Option<Program> {
    Program::of_file("layer.cu", &[])
}

fn norm(x: &[f64], weight: &[f64], eps: f64) -> Vec<f64> {
    let inverse = 1.0 / (dot(x, x) / x.len() as f64 + eps).sqrt();
    x.iter().zip(weight).map(|(x, w)| x * inverse * w).collect()
}

/// Tokens, width, and threads of a block.
const SHAPES: [(usize, usize, u32); 4] = [(1, 4, 32), (3, 36, 64), (2, 132, 32), (2, 1100, 256)];
/// Large enough to matter.
const EPS: f32 = 0.05;

#[test]
fn norms_of_rows_are_those_of_f64_and_leave_the_columns_behind_alone() {
    let Some(program) = program() else { return };
    for (tokens, width, threads) in SHAPES {
        let (mut rng, ld) = (rng(1), width + 16);
        let (x, weight) = (floats(&mut rng, tokens * width), floats(&mut rng, width));
        let mut run = program.run();
        let y = run.output::<bf16>(tokens * ld);
        let arguments = arguments![run.input(&x), run.input(&weight), y, width as i32, ld as i32, EPS];
        run.launch("rms_norm", [tokens as u32, 1, 1], [threads, 1, 1], 0, arguments);
        for (x, y) in wide(&x).chunks(width).zip(run.finish().read(y).chunks(ld)) {
            near("y", &y[..width], &norm(x, &wide(&weight), EPS.into()), 1e-6);
            assert!(y[width..].iter().all(|value| value.is_nan()));
        }
    }
}

#[test]
fn gradients_of_norms_are_differences_added_to_the_sum() {
    let Some(program) = program() else { return };
    for (tokens, width, threads) in SHAPES {
        for in_place in [false, true] {
            let (mut rng, ld) = (rng(2), width + 16);
            let (x, weight) = (floats(&mut rng, tokens * width), floats(&mut rng, width));
            let (g, sum) = (halves(&mut rng, tokens * ld), floats(&mut rng, tokens * width));
            let mut run = program.run();
            let sum_at = run.input(&sum);
            let dx = if in_place { sum_at } else { run.output(tokens * width) };
            let rounded = (!in_place).then(|| run.output::<bf16>(tokens * width));
            let (x_at, weight_at, g_at) = (run.input(&x), run.input(&weight), run.input(&g));
            let arguments = arguments![x_at, weight_at, g_at, sum_at, dx, rounded, width as i32, ld as i32, EPS];
            run.launch("rms_norm_backward", [tokens as u32, 1, 1], [threads, 1, 1], 0, arguments);
            let after = run.finish();
            let mut expected = wide(&sum);
            for token in 0..tokens {
                let (x, g) = (wide(&x[token * width..][..width]), wide(&g[token * ld..][..width]));
                let slopes = slope(&x, |x| dot(&g, &norm(x, &wide(&weight), EPS.into())));
                expected[token * width..][..width].iter_mut().zip(slopes).for_each(|(sum, slope)| *sum += slope);
            }
            near("dx", &after.read(dx), &expected, 5e-6);
            if let Some(rounded) = rounded {
                near("dx in bf16", &after.read(rounded), &expected, 5e-6);
            }
        }
    }
}

/// `x` `[.., dim]` with each pair of halves turned by the token's angles.
fn turn(x: &mut [f64], cos: &[f64], sin: &[f64]) {
    let (a, b) = x.split_at_mut(cos.len());
    for j in 0..cos.len() {
        (a[j], b[j]) = (a[j] * cos[j] - b[j] * sin[j], b[j] * cos[j] + a[j] * sin[j]);
    }
}

/// Tokens, heads, key heads, size of a head, threads.
const HEADS: [(usize, usize, usize, usize, u32); 3] = [(1, 1, 1, 2, 32), (3, 6, 2, 16, 64), (2, 4, 1, 80, 256)];

fn angles(rng: &mut rand_chacha::ChaCha8Rng, n: usize) -> (Vec<f32>, Vec<f32>) {
    (0..n).map(|_| rng.random_range(-4.0f32..4.0).sin_cos()).map(|(sin, cos)| (cos, sin)).unzip()
}

#[test]
fn queries_and_keys_are_biased_and_turned_and_the_cache_gets_keys_and_values() {
    let Some(program) = program() else { return };
    for (tokens, heads, kv_heads, dim, threads) in HEADS {
        for (biased, cached) in [(false, false), (true, true), (true, false)] {
            let (mut rng, width) = (rng(3), (heads + 2 * kv_heads) * dim);
            let (qkv, bias) = (halves(&mut rng, tokens * width), floats(&mut rng, width));
            let (cos, sin) = angles(&mut rng, tokens * dim / 2);
            // Every second row from the end, and none for the last of several tokens.
            let row =
                |token: usize| if token == tokens - 1 && tokens > 1 { -1 } else { 2 * (tokens - 1 - token) as i32 };
            let rows: Vec<i32> = (0..tokens).map(row).collect();
            let mut run = program.run();
            let at = run.input(&qkv);
            let bias_at = biased.then(|| run.input(&bias));
            let mut cache = || cached.then(|| run.output::<bf16>(2 * tokens * kv_heads * dim));
            let (keys, values) = (cache(), cache());
            let rows_at = cached.then(|| run.input(&rows));
            let (cos_at, sin_at) = (run.input(&cos), run.input(&sin));
            let sizes = [heads, kv_heads, dim].map(|n| n as i32);
            let arguments =
                arguments![at, bias_at, cos_at, sin_at, keys, values, rows_at, sizes[0], sizes[1], sizes[2]];
            run.launch("rotate", [tokens as u32, 1, 1], [threads, 1, 1], 0, arguments);
            let after = run.finish();

            let (mut expected, cos, sin) = (wide(&qkv), wide(&cos), wide(&sin));
            for (token, row) in expected.chunks_mut(width).enumerate() {
                if biased {
                    row.iter_mut().zip(&bias).for_each(|(x, b)| *x += f64::from(*b));
                }
                let half = dim / 2;
                for head in row.chunks_mut(dim).take(heads + kv_heads) {
                    turn(head, &cos[token * half..][..half], &sin[token * half..][..half]);
                }
            }
            near("qkv", &after.read(at), &expected, 1e-6);
            let (from, cache_width) = (heads * dim, kv_heads * dim);
            for (cache, from) in [(keys, from), (values, from + cache_width)] {
                let Some(cache) = cache.map(|cache| after.read(cache)) else { continue };
                for (row, actual) in cache.chunks(cache_width).enumerate() {
                    let Some(token) = rows.iter().position(|&of| of == row as i32) else {
                        assert!(actual.iter().all(|value| value.is_nan()));
                        continue;
                    };
                    near("cache", actual, &expected[token * width + from..][..cache_width], 1e-6);
                }
            }
        }
    }
}

#[test]
fn gradients_of_turned_heads_are_turned_back_and_parts_of_keys_and_values_added_up() {
    let Some(program) = program() else { return };
    for (tokens, heads, kv_heads, dim, threads) in HEADS {
        for splits in [1, 3] {
            let (mut rng, width) = (rng(4), (heads + 2 * kv_heads) * dim);
            let dq = halves(&mut rng, tokens * width);
            let parts = floats(&mut rng, splits * 2 * tokens * kv_heads * dim);
            let (cos, sin) = angles(&mut rng, tokens * dim / 2);
            let mut run = program.run();
            let at = run.input(&dq);
            let (parts_at, cos_at, sin_at) = (run.input(&parts), run.input(&cos), run.input(&sin));
            let sizes = [splits, tokens, heads, kv_heads, dim].map(|n| n as i32);
            let arguments = arguments![at, parts_at, cos_at, sin_at, sizes[0], sizes[1], sizes[2], sizes[3], sizes[4]];
            run.launch("unrotate", [tokens as u32, 1, 1], [threads, 1, 1], 0, arguments);

            let (mut expected, cos, sin) = (wide(&dq), wide(&cos), wide(&sin));
            let back: Vec<f64> = sin.iter().map(|sin| -sin).collect();
            for (token, row) in expected.chunks_mut(width).enumerate() {
                for (i, x) in row[heads * dim..].iter_mut().enumerate() {
                    let (which, own) = (i / (kv_heads * dim), i % (kv_heads * dim));
                    let part = |split| parts[((split * 2 + which) * tokens + token) * kv_heads * dim + own];
                    *x = (0..splits).map(|split| f64::from(part(split))).sum();
                }
                let half = dim / 2;
                for head in row.chunks_mut(dim).take(heads + kv_heads) {
                    turn(head, &cos[token * half..][..half], &back[token * half..][..half]);
                }
            }
            near("dqkv", &run.finish().read(at), &expected, 2e-6);
        }
    }
}

fn gated(gate_up: &[f64]) -> Vec<f64> {
    let (gate, up) = gate_up.split_at(gate_up.len() / 2);
    gate.iter().zip(up).map(|(g, u)| g / (1.0 + (-g).exp()) * u).collect()
}

#[test]
fn gated_units_and_their_gradients_are_those_of_f64() {
    let Some(program) = program() else { return };
    for (tokens, width, threads) in SHAPES {
        let (mut rng, ld) = (rng(5), width + 8);
        let mut gate_up = halves(&mut rng, tokens * 2 * width);
        // Saturated on both sides.
        gate_up[0] = bf16::from_f32(-60.0);
        gate_up[1] = bf16::from_f32(60.0);
        let dy = halves(&mut rng, tokens * ld);
        let mut run = program.run();
        let (at, dy_at) = (run.input(&gate_up), run.input(&dy));
        let (y, d) = (run.output::<bf16>(tokens * ld), run.output::<bf16>(tokens * 2 * width));
        let (grid, block) = ([tokens as u32, (width as u32).div_ceil(4 * threads), 1], [threads, 1, 1]);
        run.launch("swiglu", grid, block, 0, arguments![at, y, width as i32, ld as i32]);
        run.launch("swiglu_backward", grid, block, 0, arguments![at, dy_at, d, width as i32, ld as i32]);
        let after = run.finish();
        let (y, d) = (after.read(y), after.read(d));
        for token in 0..tokens {
            let x = wide(&gate_up[token * 2 * width..][..2 * width]);
            near("y", &y[token * ld..][..width], &gated(&x), 1e-6);
            assert!(y[token * ld + width..][..8].iter().all(|value| value.is_nan()));
            let dy = wide(&dy[token * ld..][..width]);
            // A unit depends on its own pair only.
            let expected: Vec<_> = (0..width).map(|i| slope(&[x[i], x[width + i]], |x| dy[i] * gated(x)[0])).collect();
            let expected: Vec<f64> = (0..2).flat_map(|half| expected.iter().map(move |pair| pair[half])).collect();
            near("d", &d[token * 2 * width..][..2 * width], &expected, 1e-6);
        }
    }
}

#[test]
fn floats_are_rounded_to_the_nearest_even_bf16() {
    let Some(program) = program() else { return };
    let special = [0x3f80_8000u32, 0x3f81_8000, 0x3f80_8001, 0x7f80_0000, 0xff80_0000, 0x7f7f_ffff, 0x8000_0000, 1];
    let special = special.map(f32::from_bits);
    for count in [1, 4, 7, 130] {
        let x: Vec<f32> = special.into_iter().chain(floats(&mut rng(6), 130)).chain([f32::NAN]).take(count).collect();
        let mut run = program.run();
        let y = run.output::<bf16>(count);
        let arguments = arguments![run.input(&x), y, count as u64];
        run.launch("to_bf16", [count.div_ceil(4 * 32) as u32, 1, 1], [32, 1, 1], 0, arguments);
        let expected: Vec<u16> = x.iter().map(|&x| bf16::from_f32(x).to_bits()).collect();
        assert_eq!(run.finish().read(y).iter().map(|y| y.to_bits()).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn rows_are_placed_and_rows_and_columns_looked_up_where_they_should_be() {
    let Some(program) = program() else { return };
    let (mut rng, rows, width, ld, column, vocab) = (rng(7), 3, 37, 50, 11, 23);
    let (from, matrix) = (floats(&mut rng, rows * width), halves(&mut rng, width * vocab));
    let ids = [22u32, 0, 7];
    let mut run = program.run();
    let to = run.output::<bf16>(rows * ld);
    let [columns, lines] = [(); 2].map(|()| run.output::<f32>(rows * width));
    let (from_at, matrix_at, ids_at) = (run.input(&from), run.input(&matrix), run.input(&ids));
    let (grid, block) = ([rows as u32, 1, 1], [32, 1, 1]);
    run.launch("place", grid, block, 0, arguments![from_at, to, width as i32, ld as i32, column as i32, 0.3f32]);
    run.launch("embed_columns", grid, block, 0, arguments![matrix_at, ids_at, columns, width as i32, vocab as u64]);
    run.launch("embed_rows", grid, block, 0, arguments![matrix_at, ids_at, lines, width as i32]);
    let after = run.finish();
    for (row, to) in after.read(to).chunks(ld).enumerate() {
        let expected: Vec<f64> = wide(&from[row * width..][..width]).iter().map(|x| x * f64::from(0.3f32)).collect();
        near("placed", &to[column..][..width], &expected, 1e-6);
        assert!(to[..column].iter().chain(&to[column + width..]).all(|value| value.is_nan()));
    }
    let looked_up = |at: &dyn Fn(usize, usize) -> usize| -> Vec<f32> {
        ids.iter()
            .flat_map(|&id| (0..width).map(move |i| (id as usize, i)))
            .map(|(id, i)| matrix[at(id, i)].to_f32())
            .collect()
    };
    assert_eq!(after.read(columns), looked_up(&|id, i| i * vocab + id));
    assert_eq!(after.read(lines), looked_up(&|id, i| id * width + i));
}
