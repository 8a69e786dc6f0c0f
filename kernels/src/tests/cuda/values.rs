//! Random values for kernels, and how near to f64 their results have to be.

use half::bf16;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

pub fn floats(rng: &mut ChaCha8Rng, n: usize) -> Vec<f32> {
    (0..n).map(|_| rng.random_range(-2.0..2.0)).collect()
}

pub fn halves(rng: &mut ChaCha8Rng, n: usize) -> Vec<bf16> {
    floats(rng, n).into_iter().map(bf16::from_f32).collect()
}

pub trait Number: Copy {
    /// The most that a value loses by rounding, relative.
    const ROUNDING: f64;
    fn wide(self) -> f64;
}

impl Number for f32 {
    const ROUNDING: f64 = 1.0 / (1 << 24) as f64;
    fn wide(self) -> f64 {
        self.into()
    }
}

impl Number for bf16 {
    const ROUNDING: f64 = 1.0 / (1 << 8) as f64;
    fn wide(self) -> f64 {
        self.into()
    }
}

pub fn wide<T: Number>(values: &[T]) -> Vec<f64> {
    values.iter().map(|value| value.wide()).collect()
}

/// Every value is its expectation but for its own rounding and `slack` for what was summed up before.
#[track_caller]
pub fn near<T: Number>(what: &str, actual: &[T], expected: &[f64], slack: f64) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    for (i, (&actual, &expected)) in actual.iter().zip(expected).enumerate() {
        let gap = (actual.wide() - expected).abs();
        let allowed = T::ROUNDING * expected.abs() + slack;
        assert!(gap <= allowed, "{what}: value {i} is {} and not {expected}: {gap:e} beside it", actual.wide());
    }
}

/// The gradient of `f` at `x` by central differences.
pub fn slope(x: &[f64], f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let at = |i: usize, step: f64| {
        let mut x = x.to_vec();
        x[i] += step;
        f(&x)
    };
    (0..x.len()).map(|i| (at(i, 1e-5) - at(i, -1e-5)) / 2e-5).collect()
}

pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
