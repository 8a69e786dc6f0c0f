//! From one row of logits to one token: sampling settings, the filters of the reference implementation in its order
//! (repetition penalty → temperature → top-k → top-p → min-p), a reproducible draw, and the log-probability to record.
//!
//! The filters shape what is drawn. The recorded log-probability is that of the *unfiltered* distribution at the
//! sampling temperature, which is the policy that training reasons about. Batching and the model are elsewhere.

mod unfiltered;

use addendum_kernels::vector::vectorised;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use unfiltered::Unfiltered;

/// How tokens are chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SamplingConfig {
    /// Divides the logits; at least 0. 0 takes the most likely token, the first one where several are.
    pub temperature: f64,
    /// Keep every token whose logit is not below the k-th largest, at least 1; without it, keep all.
    pub top_k: Option<usize>,
    /// Remove the least likely tokens while their total probability stays within 1 − this; above 0, and 1
    /// keeps all.
    pub top_p: f64,
    /// Remove tokens less likely than this share of the most likely one, between 0 and 1; 0 keeps all.
    pub min_p: f64,
    /// Logits of earlier tokens are divided by this if positive and multiplied if negative; above 0, and 1 changes
    /// nothing.
    pub repetition_penalty: f64,
    /// Longest response in tokens, the end token included; at least 1.
    pub max_new_tokens: usize,
    /// Ids of tokens that are never drawn.
    pub suppressed_tokens: Vec<u32>,
}

impl Default for SamplingConfig {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_k: None,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            max_new_tokens: 128,
            suppressed_tokens: Vec::new(),
        }
    }
}

impl SamplingConfig {
    /// Always the most likely token.
    pub fn greedy(max_new_tokens: usize) -> Self {
        Self { temperature: 0.0, max_new_tokens, ..Self::default() }
    }

    /// Whether no filter and no penalty is set: only the temperature and suppression shape the distribution.
    fn keeps_all(&self) -> bool {
        self.top_k.is_none() && self.top_p == 1.0 && self.min_p == 0.0 && self.repetition_penalty == 1.0
    }

    /// # Errors
    /// The first setting out of its range, with its value.
    pub fn validate(&self) -> Result<()> {
        let positive = |value: f64| value.is_finite() && value > 0.0;
        let top_k = self.top_k.unwrap_or(1);
        let checks = [
            ("temperature", self.temperature, self.temperature == 0.0 || positive(self.temperature), "0 or above"),
            ("top_k", top_k as f64, top_k > 0, "at least 1"),
            ("top_p", self.top_p, self.top_p > 0.0 && self.top_p <= 1.0, "above 0 and at most 1"),
            ("min_p", self.min_p, (0.0..=1.0).contains(&self.min_p), "between 0 and 1"),
            ("repetition_penalty", self.repetition_penalty, positive(self.repetition_penalty), "finite and above 0"),
            ("max_new_tokens", self.max_new_tokens as f64, self.max_new_tokens > 0, "at least 1"),
        ];
        match checks.into_iter().find(|(_, _, valid, _)| !valid) {
            None => Ok(()),
            Some((field, value, _, expected)) => Err(Error::invalid(field, format!("{value} is not {expected}"))),
        }
    }
}

/// A token and its log-probability in the unfiltered distribution at the sampling temperature (at temperature 1 when
/// the choice is greedy).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drawn {
    /// Its id.
    pub token: u32,
    /// In nats.
    pub logprob: f32,
}

/// Draws tokens as configured. Immutable: all randomness comes from the caller's generator.
#[derive(Debug, Clone)]
pub struct TokenSampler {
    config: SamplingConfig,
}

impl TokenSampler {
    /// # Errors
    /// A setting out of its range.
    pub fn new(mut config: SamplingConfig) -> Result<Self> {
        config.validate()?;
        config.suppressed_tokens.sort_unstable();
        config.suppressed_tokens.dedup();
        Ok(Self { config })
    }

    /// The settings, validated.
    pub fn config(&self) -> &SamplingConfig {
        &self.config
    }

    /// The same, except that these tokens are never drawn either.
    pub fn without(&self, tokens: &[u32]) -> Self {
        let mut suppressed_tokens = [&self.config.suppressed_tokens, tokens].concat();
        suppressed_tokens.sort_unstable();
        suppressed_tokens.dedup();
        Self { config: SamplingConfig { suppressed_tokens, ..self.config.clone() } }
    }

    /// Draws one token from a row of logits over the vocabulary. `history` holds the ids so far, for the repetition
    /// penalty. Takes exactly one number from `rng`, or none when the choice is greedy.
    ///
    /// # Errors
    /// A logit that is NaN or plus infinity; no token left to draw.
    pub fn draw(&self, logits: &[f32], history: &[u32], rng: &mut ChaCha8Rng) -> Result<Drawn> {
        check_logits(logits)?;
        let config = &self.config;
        let greedy = config.temperature == 0.0;
        let row = Unfiltered::new(logits, &config.suppressed_tokens, if greedy { 1.0 } else { config.temperature });
        let u = if greedy { 0.0 } else { unit(rng) };
        let quick = match (greedy, config.keeps_all()) {
            (_, false) => None,
            (true, true) => row.largest(),
            (false, true) => row.at(u),
        };
        let token = match quick {
            Some(token) => token,
            None => inverse_cdf(&self.probabilities(logits, history)?, u),
        };
        Ok(Drawn { token: token as u32, logprob: row.log_prob(token) as f32 })
    }

    /// The distribution that [`TokenSampler::draw`] draws from; removed tokens have probability exactly 0. A greedy
    /// choice puts everything on one token.
    ///
    /// # Errors
    /// As [`TokenSampler::draw`].
    pub fn probabilities(&self, logits: &[f32], history: &[u32]) -> Result<Vec<f64>> {
        check_logits(logits)?;
        let mut row: Vec<f64> = logits.iter().copied().map(f64::from).collect();
        self.penalize(&mut row, history);
        for &token in &self.config.suppressed_tokens {
            if let Some(logit) = row.get_mut(token as usize) {
                *logit = f64::NEG_INFINITY;
            }
        }
        if row.iter().all(|&logit| logit == f64::NEG_INFINITY) {
            return Err(Error::invalid("logits", format!("none of {} tokens can be drawn", row.len())));
        }
        if self.config.temperature == 0.0 {
            let best = first_largest(&row);
            return Ok((0..row.len()).map(|token| f64::from(token == best)).collect());
        }
        row.iter_mut().for_each(|logit| *logit /= self.config.temperature);
        if let Some(k) = self.config.top_k {
            keep_top_k(&mut row, k);
        }
        if self.config.top_p < 1.0 {
            keep_top_p(&mut row, self.config.top_p);
        }
        if self.config.min_p > 0.0 {
            let cut = largest(&row) + self.config.min_p.ln();
            row.iter_mut().filter(|logit| **logit < cut).for_each(|logit| *logit = f64::NEG_INFINITY);
        }
        softmax(&mut row);
        Ok(row)
    }

    fn penalize(&self, row: &mut [f64], history: &[u32]) {
        let penalty = self.config.repetition_penalty;
        if penalty == 1.0 {
            return;
        }
        let mut seen = history.to_vec();
        seen.sort_unstable();
        seen.dedup();
        for token in seen {
            if let Some(logit) = row.get_mut(token as usize) {
                *logit = if *logit < 0.0 { *logit * penalty } else { *logit / penalty };
            }
        }
    }
}

#[cfg(feature = "cuda")]
impl TokenSampler {
    /// How a GPU draws a token for each generator, as [`TokenSampler::draw`] does to rounding, one number of each.
    pub fn uniforms<'a>(&self, rngs: impl Iterator<Item = &'a mut ChaCha8Rng>) -> Vec<f64> {
        let greedy = self.config.temperature == 0.0;
        rngs.map(|rng| if greedy { 0.0 } else { unit(rng) }).collect()
    }

    /// The rest of what a GPU is told; `histories` hold every id once.
    pub fn on_a_gpu<'a>(&'a self, uniforms: &'a [f64], histories: &'a [Vec<u32>]) -> addendum_kernels::cuda::Draw<'a> {
        let config = &self.config;
        addendum_kernels::cuda::Draw {
            temperature: config.temperature,
            top_k: config.top_k,
            top_p: config.top_p,
            min_p: config.min_p,
            repetition_penalty: config.repetition_penalty,
            suppressed: &config.suppressed_tokens,
            uniforms,
            histories,
        }
    }
}

fn check_logits(logits: &[f32]) -> Result<()> {
    // Without an early end, so that it vectorises.
    if vectorised(|| logits.iter().fold(true, |valid, &logit| valid & (logit < f32::INFINITY))) {
        return Ok(());
    }
    let token = logits.iter().position(|&logit| logit.is_nan() || logit == f32::INFINITY).unwrap_or(0);
    Err(Error::invalid(format!("logit of token {token}"), format!("is {}", logits[token])))
}

fn largest(row: &[f64]) -> f64 {
    row.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

fn first_largest(row: &[f64]) -> usize {
    let top = largest(row);
    row.iter().position(|&value| value == top).unwrap_or(0)
}

fn keep_top_k(row: &mut [f64], k: usize) {
    if k >= row.len() {
        return;
    }
    let mut sorted = row.to_vec();
    let (_, &mut cut, _) = sorted.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
    row.iter_mut().filter(|logit| **logit < cut).for_each(|logit| *logit = f64::NEG_INFINITY);
}

/// Removes from the least likely upward while the cumulative probability is at most 1 − `top_p`. Of equally likely
/// tokens the one with the higher id goes first.
fn keep_top_p(row: &mut [f64], top_p: f64) {
    let mut probabilities = row.to_vec();
    softmax(&mut probabilities);
    let mut order: Vec<usize> = (0..row.len()).collect();
    order.sort_unstable_by(|&a, &b| row[a].total_cmp(&row[b]).then(b.cmp(&a)));
    order.pop();
    let mut cumulative = 0.0;
    for token in order {
        cumulative += probabilities[token];
        if cumulative > 1.0 - top_p {
            break;
        }
        row[token] = f64::NEG_INFINITY;
    }
}

fn softmax(row: &mut [f64]) {
    let top = largest(row);
    row.iter_mut().for_each(|logit| *logit = (*logit - top).exp());
    let sum: f64 = row.iter().sum();
    row.iter_mut().for_each(|probability| *probability /= sum);
}

/// The first token at which the cumulative probability exceeds `u` of the total; never a removed one.
fn inverse_cdf(probabilities: &[f64], u: f64) -> usize {
    let threshold = u * probabilities.iter().sum::<f64>();
    let mut cumulative = 0.0;
    let mut last = 0;
    for (token, &probability) in probabilities.iter().enumerate().filter(|(_, probability)| **probability > 0.0) {
        cumulative += probability;
        last = token;
        if cumulative > threshold {
            break;
        }
    }
    last
}

/// A number in [0, 1) with 53 random bits.
fn unit(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand_chacha::rand_core::{RngCore, SeedableRng};

    use super::*;

    fn sampler(config: SamplingConfig) -> TokenSampler {
        TokenSampler::new(config).unwrap()
    }

    fn draw_many(sampler: &TokenSampler, logits: &[f32], seed: u64, count: usize) -> Vec<Drawn> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        (0..count).map(|_| sampler.draw(logits, &[], &mut rng).unwrap()).collect()
    }

    #[test]
    fn drawn_tokens_are_as_frequent_as_their_probabilities() {
        let logits = [0.0, 1.0, -1.0, 2.0];
        let sampler = sampler(SamplingConfig::default());
        let expected = sampler.probabilities(&logits, &[]).unwrap();
        let drawn = draw_many(&sampler, &logits, 7, 20_000);
        for (token, expected) in expected.iter().enumerate() {
            let share = drawn.iter().filter(|drawn| drawn.token == token as u32).count() as f64 / 20_000.0;
            assert!((share - expected).abs() < 0.015, "token {token}: {share} against {expected}");
        }
    }

    #[test]
    fn the_same_seed_draws_the_same_tokens() {
        let logits: Vec<f32> = (0..50).map(|i| (i as f32 * 0.37).sin()).collect();
        let sampler = sampler(SamplingConfig::default());
        assert_eq!(draw_many(&sampler, &logits, 3, 40), draw_many(&sampler, &logits, 3, 40));
        assert_ne!(draw_many(&sampler, &logits, 3, 40), draw_many(&sampler, &logits, 4, 40));
    }

    #[test]
    fn the_recorded_logprob_ignores_filters_and_suppression() {
        let logits = [0.0, 1.0, 3.0];
        let config = SamplingConfig {
            temperature: 0.5,
            top_k: Some(1),
            suppressed_tokens: vec![2],
            repetition_penalty: 1.3,
            ..Default::default()
        };
        let drawn = draw_many(&sampler(config), &logits, 1, 1)[0];
        let expected = 2.0 - (1.0 + 2f64.exp() + 6f64.exp()).ln();
        assert_eq!(drawn.token, 1);
        assert!((f64::from(drawn.logprob) - expected).abs() < 1e-6);
    }

    #[test]
    fn greedy_takes_the_first_of_equal_tokens_and_no_random_number() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let drawn = sampler(SamplingConfig::greedy(8)).draw(&[1.0, 2.0, 2.0], &[], &mut rng).unwrap();
        assert_eq!(drawn.token, 1);
        assert_eq!(rng.next_u64(), ChaCha8Rng::seed_from_u64(5).next_u64());
    }

    #[test]
    fn impossible_rows_are_refused() {
        let suppress_all = sampler(SamplingConfig { suppressed_tokens: vec![0, 1], ..Default::default() });
        assert!(suppress_all.probabilities(&[0.0, 1.0], &[]).is_err());
        assert!(suppress_all.probabilities(&[], &[]).is_err());
        let error = suppress_all.probabilities(&[0.0, f32::NAN], &[]).unwrap_err().to_string();
        assert_eq!(error, "logit of token 1: is NaN");
    }

    #[test]
    fn settings_out_of_range_are_refused_by_name() {
        let refused = [
            SamplingConfig { temperature: -1.0, ..Default::default() },
            SamplingConfig { temperature: f64::NAN, ..Default::default() },
            SamplingConfig { top_k: Some(0), ..Default::default() },
            SamplingConfig { top_p: 0.0, ..Default::default() },
            SamplingConfig { min_p: 1.5, ..Default::default() },
            SamplingConfig { repetition_penalty: 0.0, ..Default::default() },
            SamplingConfig { max_new_tokens: 0, ..Default::default() },
        ];
        let names = ["temperature", "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "max_new_tokens"];
        for (config, name) in refused.iter().zip(names) {
            let error = config.validate().unwrap_err().to_string();
            assert!(error.starts_with(&format!("{name}: ")), "{error}");
        }
        assert!(SamplingConfig::greedy(1).validate().is_ok());
    }

    proptest! {
        #[test]
        fn every_filter_keeps_the_most_likely_token_and_a_total_of_one(
            logits in proptest::collection::vec(-8.0f32..8.0, 1..40),
            temperature in 0.1f64..3.0,
            top_k in 1usize..50,
            top_p in 0.01f64..1.0,
            min_p in 0.0f64..1.0,
            u in 0.0f64..1.0,
        ) {
            let config = SamplingConfig { temperature, top_k: Some(top_k), top_p, min_p, ..Default::default() };
            let found = sampler(config).probabilities(&logits, &[]).unwrap();
            let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            prop_assert!((found.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            prop_assert!(found.iter().zip(&logits).any(|(p, logit)| *logit == top && *p > 0.0));
            prop_assert!(found[inverse_cdf(&found, u)] > 0.0);
        }
    }
}
