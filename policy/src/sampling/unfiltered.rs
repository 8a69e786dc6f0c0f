//! The distribution of a row of logits at a temperature, without filters: draws and log-probabilities at the speed of
//! memory.
//!
//! Weights `exp((logit - top) / temperature)` are f32 and vectorised; their sums over blocks of tokens are added in f64.
//! No weight is stored: those of one block are computed again to find a token in it. All sums have a fixed order.

use addendum_kernels::vector::{exp, max, sum, vectorised};

/// Tokens whose weights exist at the same time.
const BLOCK: usize = 512;

pub struct Unfiltered<'a> {
    logits: &'a [f32],
    /// Never drawn, sorted; they count in log-probabilities.
    suppressed: &'a [u32],
    top: f32,
    temperature: f64,
    /// Of all tokens.
    total: f64,
    /// Of each block, without the suppressed tokens.
    blocks: Vec<f64>,
}

impl<'a> Unfiltered<'a> {
    /// `logits` without NaN and plus infinity, `temperature` above 0.
    pub fn new(logits: &'a [f32], suppressed: &'a [u32], temperature: f64) -> Self {
        let top = vectorised(|| max(logits));
        let mut this = Self { logits, suppressed, top, temperature, total: 0.0, blocks: Vec::new() };
        this.blocks.reserve_exact(logits.len().div_ceil(BLOCK));
        let mut weights = [0f32; BLOCK];
        for at in (0..logits.len()).step_by(BLOCK) {
            let weights = this.weights(at, &mut weights);
            let all = vectorised(|| sum(weights));
            this.total += f64::from(all);
            let some = if this.suppress(at, weights) { vectorised(|| sum(weights)) } else { all };
            this.blocks.push(f64::from(some));
        }
        this
    }

    /// Of any token, suppressed or not.
    pub fn log_prob(&self, token: usize) -> f64 {
        f64::from(self.logits[token] - self.top) / self.temperature - self.total.ln()
    }

    /// The first token at which the cumulative weight exceeds `u` of the total, for `u` in [0, 1). `None` if no weight
    /// is left to draw from.
    pub fn at(&self, u: f64) -> Option<usize> {
        let drawable: f64 = self.blocks.iter().sum();
        if self.top == f32::NEG_INFINITY || drawable <= 0.0 {
            return None;
        }
        let mut rest = u * drawable;
        let full = |block: &usize| self.blocks[*block] > 0.0;
        let last = (0..self.blocks.len()).rev().find(full)?;
        let block = (0..last)
            .find(|&block| {
                let within = rest < self.blocks[block];
                if !within {
                    rest -= self.blocks[block];
                }
                within
            })
            .unwrap_or(last);
        let mut weights = [0f32; BLOCK];
        let weights = self.weights(block * BLOCK, &mut weights);
        self.suppress(block * BLOCK, weights);
        let mut found = None;
        for (token, &weight) in (block * BLOCK..).zip(weights.iter()).filter(|(_, weight)| **weight > 0.0) {
            found = Some(token);
            rest -= f64::from(weight);
            if rest < 0.0 {
                break;
            }
        }
        found
    }

    /// The most likely token that is not suppressed, the first one where several are.
    pub fn largest(&self) -> Option<usize> {
        let mut best = (None, f32::NEG_INFINITY);
        for (token, &logit) in self.logits.iter().enumerate() {
            if logit > best.1 && self.suppressed.binary_search(&(token as u32)).is_err() {
                best = (Some(token), logit);
            }
        }
        best.0
    }

    /// The weights of the block that starts at token `at`.
    fn weights<'b>(&self, at: usize, out: &'b mut [f32; BLOCK]) -> &'b mut [f32] {
        let logits = &self.logits[at..self.logits.len().min(at + BLOCK)];
        let out = &mut out[..logits.len()];
        let (top, scale) = (self.top, (1.0 / self.temperature) as f32);
        vectorised(|| out.iter_mut().zip(logits).for_each(|(weight, &logit)| *weight = exp((logit - top) * scale)));
        out
    }

    /// Takes the suppressed tokens out of a block; whether there were any.
    fn suppress(&self, at: usize, weights: &mut [f32]) -> bool {
        let index = |end: usize| self.suppressed.partition_point(|&token| (token as usize) < end);
        let here = &self.suppressed[index(at)..index(at + weights.len())];
        here.iter().for_each(|&token| weights[token as usize - at] = 0.0);
        !here.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Probabilities in f64.
    fn exact(logits: &[f32], temperature: f64) -> Vec<f64> {
        let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let weights: Vec<f64> = logits.iter().map(|&z| (f64::from(z - top) / temperature).exp()).collect();
        let total: f64 = weights.iter().sum();
        weights.iter().map(|w| w / total).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_draw_inverts_the_cumulative_distribution_of_what_is_not_suppressed(
            logits in prop::collection::vec(-12f32..12.0, 1..2000),
            suppressed in prop::collection::btree_set(0u32..2000, 0..20),
            temperature in 0.3f64..3.0,
            u in 0.0f64..1.0,
        ) {
            let suppressed: Vec<u32> = suppressed.into_iter().collect();
            let mut expected = exact(&logits, temperature);
            let found = Unfiltered::new(&logits, &suppressed, temperature);
            for (token, p) in expected.iter().enumerate() {
                prop_assert!((found.log_prob(token) - p.ln()).abs() < 1e-5);
            }
            for &token in suppressed.iter().filter(|&&token| (token as usize) < logits.len()) {
                expected[token as usize] = 0.0;
            }
            let total: f64 = expected.iter().sum();
            let Some(token) = found.at(u) else {
                prop_assert_eq!(total, 0.0);
                return Ok(());
            };
            prop_assert!(expected[token] > 0.0);
            let before: f64 = expected[..token].iter().sum::<f64>() / total;
            let after = before + expected[token] / total;
            prop_assert!(before - 1e-6 < u && u < after + 1e-6, "{u} is not between {before} and {after}");
        }
    }

    #[test]
    fn a_row_without_a_possible_token_gives_none() {
        assert_eq!(Unfiltered::new(&[], &[], 1.0).at(0.5), None);
        assert_eq!(Unfiltered::new(&[f32::NEG_INFINITY; 3], &[], 1.0).at(0.5), None);
        let suppressed = Unfiltered::new(&[1.0, 2.0, f32::NEG_INFINITY], &[0, 1], 1.0);
        assert_eq!((suppressed.at(0.0), suppressed.largest()), (None, None));
    }

    #[test]
    fn the_ends_of_the_unit_interval_draw_the_outermost_possible_tokens() {
        let mut logits = vec![0f32; 2 * BLOCK + 3];
        for i in [0, 1, 2 * BLOCK, 2 * BLOCK + 1, 2 * BLOCK + 2] {
            logits[i] = f32::NEG_INFINITY;
        }
        let row = Unfiltered::new(&logits, &[2, 2 * BLOCK as u32 - 1], 1.0);
        assert_eq!(row.at(0.0), Some(3));
        assert_eq!(row.at(1.0 - f64::EPSILON / 2.0), Some(2 * BLOCK - 2));
    }
}
