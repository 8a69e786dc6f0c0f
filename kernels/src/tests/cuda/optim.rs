//! `optim.cu` against f64.

use super::{
    launch::arguments,
    program::Program,
    values::{floats, halves, near, rng, wide},
};

fn program() -> Option<Program> {
    Program::of_file("optim.cu", &[])
}

#[test]
fn a_step_of_adamw_is_that_of_f64() {
    let Some(program) = program() else { return };
    for count in [1, 32, 101] {
        let mut rng = rng(1);
        let [p, m, g] = [(); 3].map(|()| floats(&mut rng, count));
        let v: Vec<f32> = floats(&mut rng, count).iter().map(|x| x.abs()).collect();
        let numbers @ [scale, beta1, beta2, epsilon, keep, step, root] = [0.3f32, 0.9, 0.95, 0.1, 0.97, 0.02, 0.6];
        let mut run = program.run();
        let given = [&p, &m, &v, &g].map(|values| run.input(values));
        let new = [(); 3].map(|()| run.output::<f32>(count));
        let mut arguments: Vec<_> = given.into_iter().chain(new).map(Into::into).collect();
        arguments.push((count as u64).into());
        arguments.extend(numbers.map(Into::into));
        run.launch("adamw", [count.div_ceil(32) as u32, 1, 1], [32, 1, 1], 0, &arguments);
        let after = run.finish();

        let [scale, beta1, beta2, epsilon, keep, step, root] =
            [scale, beta1, beta2, epsilon, keep, step, root].map(f64::from);
        let [p, m, v, g] = [p, m, v, g].map(|values| wide(&values));
        let first: Vec<f64> = (0..count).map(|i| m[i] * beta1 + g[i] * scale * (1.0 - beta1)).collect();
        let second: Vec<f64> = (0..count).map(|i| v[i] * beta2 + (g[i] * scale).powi(2) * (1.0 - beta2)).collect();
        let moved = (0..count).map(|i| p[i] * keep - step * first[i] / (second[i].sqrt() / root + epsilon));
        near("p", &after.read(new[0]), &moved.collect::<Vec<_>>(), 1e-6);
        near("m", &after.read(new[1]), &first, 1e-6);
        near("v", &after.read(new[2]), &second, 1e-6);
    }
}

#[test]
fn squares_add_up_over_any_number_of_blocks() {
    let Some(program) = program() else { return };
    for (count, blocks, threads) in [(1, 1, 32), (1000, 3, 64), (77, 2, 32), (5000, 4, 256)] {
        let (x, rounded) = (floats(&mut rng(2), count), halves(&mut rng(2), count));
        let mut run = program.run();
        let (grid, block) = ([blocks as u32, 1, 1], [threads, 1, 1]);
        let (sums, of_rounded) = (run.output::<f64>(blocks), run.output::<f64>(blocks));
        let (x_at, rounded_at) = (run.input(&x), run.input(&rounded));
        run.launch("squares", grid, block, 0, arguments![x_at, sums, count as u64]);
        run.launch("squares_bf16", grid, block, 0, arguments![rounded_at, of_rounded, count as u64]);
        let after = run.finish();
        for (sums, values) in [(sums, wide(&x)), (of_rounded, wide(&rounded))] {
            let (sum, expected) = (after.read(sums).iter().sum::<f64>(), values.iter().map(|x| x * x).sum::<f64>());
            assert!((sum / expected - 1.0).abs() < 1e-12, "{sum} and not {expected}");
        }
    }
}
