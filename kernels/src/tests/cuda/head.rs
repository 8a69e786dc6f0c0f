//! `head.cu` against f64.

use rand::Rng;

use super::{
    launch::arguments,
    program::Program,
    values::{near, rng, slope, wide},
};

fn program() -> Option<Program> {
    Program::of_file("head.cu", &[])
}

/// Rows, words, and threads of a block.
const SHAPES: [(usize, usize, u32); 4] = [(1, 1, 32), (3, 37, 64), (2, 33, 32), (2, 1500, 256)];
const SCALE: f32 = 1.3;

/// Log-probabilities of logits `z` at a scale.
fn log_softmax(z: &[f64], scale: f64) -> Vec<f64> {
    let top = z.iter().copied().fold(f64::MIN, f64::max) * scale;
    let shift = top + z.iter().map(|z| (z * scale - top).exp()).sum::<f64>().ln();
    z.iter().map(|z| z * scale - shift).collect()
}

fn entropy(log_p: &[f64]) -> f64 {
    -log_p.iter().filter(|log_p| log_p.is_finite()).map(|log_p| log_p.exp() * log_p).sum::<f64>()
}

/// Logits up to ±20; where there are many words, one of them is impossible.
fn logits(rows: usize, vocab: usize, seed: u64) -> Vec<f32> {
    let mut rng = rng(seed);
    let mut logits: Vec<f32> = (0..rows * vocab).map(|_| rng.random_range(-20.0..20.0)).collect();
    if vocab > 100 {
        logits[70] = f32::NEG_INFINITY;
    }
    logits
}

#[test]
fn log_probabilities_and_entropies_of_logits_are_those_of_f64() {
    let Some(program) = program() else { return };
    for (rows, vocab, threads) in SHAPES {
        let logits = logits(rows, vocab, 1);
        let targets: Vec<u32> = (0..rows).map(|row| ((row + 1) * (vocab - 1) / rows) as u32).collect();
        let mut run = program.run();
        let (log_prob, entropies, lse) = (run.output::<f32>(rows), run.output::<f32>(rows), run.output::<f32>(rows));
        let (logits_at, targets_at) = (run.input(&logits), run.input(&targets));
        let arguments = arguments![logits_at, targets_at, log_prob, entropies, lse, vocab as i32, SCALE];
        run.launch("log_probs", [rows as u32, 1, 1], [threads, 1, 1], 0, arguments);
        let after = run.finish();
        let expected: Vec<_> = wide(&logits).chunks(vocab).map(|z| log_softmax(z, SCALE.into())).collect();
        let of_targets: Vec<f64> = expected.iter().zip(&targets).map(|(row, &target)| row[target as usize]).collect();
        let shifts = (0..rows).map(|row| f64::from(logits[row * vocab]) * f64::from(SCALE) - expected[row][0]);
        near("log-probability", &after.read(log_prob), &of_targets, 1e-5);
        near("lse", &after.read(lse), &shifts.collect::<Vec<_>>(), 1e-5);
        near("entropy", &after.read(entropies), &expected.iter().map(|row| entropy(row)).collect::<Vec<_>>(), 1e-5);
    }
}

#[test]
fn gradients_of_log_probabilities_and_entropies_are_differences() {
    let Some(program) = program() else { return };
    for (rows, vocab, threads) in SHAPES.into_iter().take(3) {
        // Near enough to each other that every gradient counts.
        let logits: Vec<f32> = logits(rows, vocab, 2).iter().map(|z| z / 10.0).collect();
        let targets: Vec<u32> = (0..rows).map(|row| ((row + 1) * (vocab - 1) / rows) as u32).collect();
        let g: Vec<f32> = (0..2 * rows).map(|i| 0.7 - 0.4 * i as f32).collect();
        let expected: Vec<_> = wide(&logits).chunks(vocab).map(|z| log_softmax(z, SCALE.into())).collect();
        let narrow = |values: Vec<f64>| values.iter().map(|&x| x as f32).collect::<Vec<f32>>();
        let lse = (0..rows).map(|row| f64::from(logits[row * vocab]) * f64::from(SCALE) - expected[row][0]);
        let (lse, entropies) = (narrow(lse.collect()), narrow(expected.iter().map(|row| entropy(row)).collect()));
        let mut run = program.run();
        let dz = run.output::<half::bf16>(rows * vocab);
        let (logits_at, targets_at) = (run.input(&logits), run.input(&targets));
        let (g_log_prob, g_entropy) = (run.input(&g[..rows]), run.input(&g[rows..]));
        let (lse, entropies) = (run.input(&lse), run.input(&entropies));
        let arguments =
            arguments![logits_at, targets_at, g_log_prob, g_entropy, lse, entropies, dz, vocab as i32, SCALE];
        run.launch("log_probs_backward", [rows as u32, 1, 1], [threads, 1, 1], 0, arguments);
        let dz = run.finish().read(dz);
        for (row, z) in wide(&logits).chunks(vocab).enumerate() {
            let (target, [of_log_prob, of_entropy]) = (targets[row] as usize, [g[row], g[rows + row]].map(f64::from));
            let slopes = slope(z, |z| {
                let log_p = log_softmax(z, SCALE.into());
                of_log_prob * log_p[target] + of_entropy * entropy(&log_p)
            });
            near("dz", &dz[row * vocab..][..vocab], &slopes, 2e-6);
        }
    }
}

/// As the settings of sampling have them.
#[derive(Clone, Copy)]
struct How {
    temperature: f64,
    top_k: usize,
    top_p: f64,
    min_p: f64,
    penalty: f64,
}

const PLAIN: How = How { temperature: 0.8, top_k: 0, top_p: 1.0, min_p: 0.0, penalty: 1.0 };

/// What tokens of a row are drawn with, by sorting.
fn distribution(logits: &[f32], history: &[u32], suppressed: &[u32], how: How) -> Option<Vec<f64>> {
    if logits.iter().any(|z| z.is_nan() || *z == f32::INFINITY) {
        return None;
    }
    let mut row = wide(logits);
    for &id in history.iter().filter(|&&id| (id as usize) < logits.len()) {
        let z = &mut row[id as usize];
        *z = if *z < 0.0 { *z * how.penalty } else { *z / how.penalty };
    }
    suppressed.iter().filter(|&&id| (id as usize) < logits.len()).for_each(|&id| row[id as usize] = f64::NEG_INFINITY);
    // The most likely first, of equals the one with the lower id.
    let mut order: Vec<usize> = (0..row.len()).filter(|&id| row[id] > f64::NEG_INFINITY).collect();
    order.sort_by(|&a, &b| row[b].total_cmp(&row[a]).then(a.cmp(&b)));
    let best = *order.first()?;
    if how.temperature == 0.0 {
        return Some((0..row.len()).map(|id| f64::from(id == best)).collect());
    }
    row.iter_mut().for_each(|z| *z /= how.temperature);
    let top = row[best];
    if how.top_k > 0 && how.top_k < order.len() {
        let least = row[order[how.top_k - 1]];
        order.retain(|&id| row[id] >= least);
    }
    let weight = |id: usize| (row[id] - top).exp();
    let removable = (1.0 - how.top_p) * order.iter().map(|&id| weight(id)).sum::<f64>();
    let mut removed = 0.0;
    while how.top_p < 1.0 && order.len() > 1 {
        removed += weight(order[order.len() - 1]);
        if removed > removable {
            break;
        }
        order.pop();
    }
    order.retain(|&id| row[id] >= top + how.min_p.ln());
    let total: f64 = order.iter().map(|&id| weight(id)).sum();
    let mut probabilities = vec![0.0; row.len()];
    order.iter().for_each(|&id| probabilities[id] = weight(id) / total);
    Some(probabilities)
}

/// Draws from rows of logits at each of `uniforms`; tokens and log-probabilities have to be those of the distribution.
fn draws(vocab: usize, threads: u32, logits: &[Vec<f32>], histories: &[Vec<u32>], suppressed: &[u32], how: How) {
    let Some(program) = program() else { return };
    let rows = logits.len();
    let mut rng = rng(7);
    let mut uniforms: Vec<f64> = (0..rows).map(|_| rng.random_range(0.0..1.0)).collect();
    uniforms[0] = 0.0;
    uniforms[rows - 1] = 1.0 - f64::EPSILON / 2.0;
    let mut first = vec![0];
    histories.iter().for_each(|history| first.push(first[first.len() - 1] + history.len() as i32));
    let greedy = how.temperature == 0.0;
    let scale = if greedy { 1.0 } else { (1.0 / how.temperature) as f32 };
    let mut run = program.run();
    let logits_at = run.input(&logits.concat());
    let (uniforms_at, first, history) = (run.input(&uniforms), run.input(&first), run.input(&histories.concat()));
    let (raw, suppressed_at) = (run.output::<f32>(histories.concat().len()), run.input(suppressed));
    let (tokens, log_prob, valid) = (run.output::<u32>(rows), run.output::<f32>(rows), run.output::<i32>(rows));
    let arguments = arguments![
        logits_at,
        uniforms_at,
        first,
        history,
        raw,
        suppressed_at,
        suppressed.len() as i32,
        tokens,
        log_prob,
        valid,
        vocab as i32,
        scale,
        i32::from(greedy),
        how.top_k as i32,
        how.top_p,
        how.min_p.ln() as f32,
        how.penalty as f32,
    ];
    run.launch("draw", [rows as u32, 1, 1], [threads, 1, 1], 0, arguments);
    let after = run.finish();
    let (tokens, log_prob, valid) = (after.read(tokens), after.read(log_prob), after.read(valid));
    for row in 0..rows {
        let expected = distribution(&logits[row], &histories[row], suppressed, how);
        assert_eq!(valid[row] != 0, expected.is_some(), "row {row}");
        let Some(expected) = expected else { continue };
        let token = tokens[row] as usize;
        let before: f64 = expected[..token].iter().sum();
        let (from, to) = (before - 1e-6, before + expected[token] + 1e-6);
        let drawn = expected[token] > 0.0 && (greedy || (from..to).contains(&uniforms[row]));
        assert!(drawn, "row {row}: token {token} for {}: {from} to {to}", uniforms[row]);
        let unfiltered = log_softmax(&wide(&logits[row]), scale.into());
        near("log-probability", &[log_prob[row]], &[unfiltered[token]], 1e-5);
    }
}

/// Rows whose logits are few different numbers, so that many are equal.
fn tied(rows: usize, vocab: usize, seed: u64) -> Vec<Vec<f32>> {
    let mut rng = rng(seed);
    (0..rows).map(|_| (0..vocab).map(|_| rng.random_range(-12..12) as f32 / 4.0).collect()).collect()
}

#[test]
fn a_draw_is_of_the_filtered_distribution_and_its_log_probability_of_the_whole() {
    let filters = [
        PLAIN,
        How { temperature: 0.0, ..PLAIN },
        How { top_k: 5, ..PLAIN },
        How { top_k: 1, ..PLAIN },
        How { top_p: 0.73, ..PLAIN },
        How { top_p: 0.02, ..PLAIN },
        // All but the last may go, to rounding.
        How { top_p: 1e-17, ..PLAIN },
        How { min_p: 0.2, ..PLAIN },
        How { min_p: 1.0, ..PLAIN },
        How { penalty: 1.7, ..PLAIN },
        How { temperature: 0.0, penalty: 1.7, ..PLAIN },
        How { temperature: 1.4, top_k: 9, top_p: 0.81, min_p: 0.03, penalty: 1.3 },
    ];
    // Rows that are aligned for four tokens at a time, and others.
    for (vocab, threads, rows) in [(1, 32, 2), (45, 32, 6), (152, 64, 6)] {
        let logits = tied(rows, vocab, vocab as u64);
        // Ids beyond the vocabulary are nobody's.
        let few = (0..rows as u32 - 1).map(|row| (0..3 * row).map(|i| i * 11 + row).collect());
        let histories: Vec<Vec<u32>> = few.chain([(0..vocab as u32 + 3).collect()]).collect();
        let suppressed: &[u32] = if vocab > 1 { &[3, 17, 1000] } else { &[] };
        for how in filters {
            draws(vocab, threads, &logits, &histories, suppressed, how);
        }
    }
}

#[test]
fn rows_from_which_nothing_can_be_drawn_are_told() {
    let mut logits = tied(5, 40, 9);
    logits[0][39] = f32::NAN;
    logits[1][0] = f32::INFINITY;
    logits[2].fill(f32::NEG_INFINITY);
    logits[3].fill(f32::NEG_INFINITY);
    // The only token of row 3 is suppressed; row 4 is drawn from.
    logits[3][6] = 1.0;
    for how in [PLAIN, How { temperature: 0.0, ..PLAIN }] {
        draws(40, 32, &logits, &vec![vec![]; 5], &[6], how);
    }
}
