use serde::{Deserialize, Serialize};

use super::token::{KlTerm, PolicyTerm, Token, Weight};

/// Sums over the tokens of an evaluation, from which [`ObjectiveMetrics`] are computed.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Tally {
    tokens: f64,
    clipped_high: f64,
    clipped_low: f64,
    dual_clipped: f64,
    log_ratio: f64,
    k3: f64,
    reference_tokens: f64,
    reference_kl: f64,
    sampled_tokens: f64,
    behaviour_log_ratio: f64,
    behaviour_log_ratio_abs: f64,
    weight: f64,
    weight_squared: f64,
    above_cap: f64,
    largest_uncapped: f64,
}

/// What an evaluation of the objective is reported by. Means are over tokens; a mean over no tokens is 0.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct ObjectiveMetrics {
    /// Share of tokens whose loss the ratio's clip decided.
    pub clip_fraction: f64,
    /// Its part with a positive advantage (the ratio was too high).
    pub clip_fraction_high: f64,
    /// Its part with a negative advantage (the ratio was too low).
    pub clip_fraction_low: f64,
    /// Share of tokens whose loss the dual clip decided.
    pub dual_clip_fraction: f64,
    /// Mean of ln π_prox − ln π.
    pub approximate_kl_k1: f64,
    /// Mean of ρ − 1 − ln ρ.
    pub approximate_kl_k3: f64,
    /// Mean of the configured estimate of the KL divergence to the reference policy.
    pub reference_kl: f64,
    /// Mean of ln π_prox − ln π_behav over sampled tokens.
    pub behaviour_log_ratio_mean: f64,
    /// Mean of |ln π_prox − ln π_behav| over sampled tokens.
    pub behaviour_log_ratio_abs_mean: f64,
    /// Mean importance weight of sampled tokens.
    pub importance_weight_mean: f64,
    /// Largest importance weight before the cap.
    pub importance_weight_largest: f64,
    /// Share of sampled tokens whose weight exceeded the cap.
    pub importance_above_cap: f64,
    /// Effective sample size of the sampled tokens as a share of their number: (Σ w)² / (n Σ w²).
    pub effective_sample_size: f64,
}

impl Tally {
    pub(super) fn add_token(
        &mut self,
        token: Token,
        advantage: f64,
        weight: Weight,
        policy: PolicyTerm,
        kl: Option<KlTerm>,
    ) {
        self.tokens += 1.0;
        self.clipped_high += f64::from(policy.clipped && advantage > 0.0);
        self.clipped_low += f64::from(policy.clipped && advantage < 0.0);
        self.dual_clipped += f64::from(policy.dual_clipped);
        self.log_ratio += policy.log_ratio;
        self.k3 += policy.log_ratio.exp() - 1.0 - policy.log_ratio;
        if let Some(kl) = kl {
            self.reference_tokens += 1.0;
            self.reference_kl += kl.value;
        }
        if let (Some(behaviour), Some(uncapped)) = (token.behaviour, weight.uncapped) {
            let log_ratio = token.proximal - behaviour;
            self.sampled_tokens += 1.0;
            self.behaviour_log_ratio += log_ratio;
            self.behaviour_log_ratio_abs += log_ratio.abs();
            self.weight += weight.value;
            self.weight_squared += weight.value * weight.value;
            self.above_cap += f64::from(weight.above_cap);
            self.largest_uncapped = self.largest_uncapped.max(uncapped);
        }
    }

    /// Number of tokens that counted.
    pub fn tokens(&self) -> f64 {
        self.tokens
    }

    /// Adds the sums of another part of the batch.
    pub fn merge(&mut self, other: &Self) {
        self.tokens += other.tokens;
        self.clipped_high += other.clipped_high;
        self.clipped_low += other.clipped_low;
        self.dual_clipped += other.dual_clipped;
        self.log_ratio += other.log_ratio;
        self.k3 += other.k3;
        self.reference_tokens += other.reference_tokens;
        self.reference_kl += other.reference_kl;
        self.sampled_tokens += other.sampled_tokens;
        self.behaviour_log_ratio += other.behaviour_log_ratio;
        self.behaviour_log_ratio_abs += other.behaviour_log_ratio_abs;
        self.weight += other.weight;
        self.weight_squared += other.weight_squared;
        self.above_cap += other.above_cap;
        self.largest_uncapped = self.largest_uncapped.max(other.largest_uncapped);
    }

    /// The figures to report.
    pub fn metrics(&self) -> ObjectiveMetrics {
        let mean = |sum: f64, count: f64| if count > 0.0 { sum / count } else { 0.0 };
        let per_token = |sum| mean(sum, self.tokens);
        let per_sample = |sum| mean(sum, self.sampled_tokens);
        ObjectiveMetrics {
            clip_fraction: per_token(self.clipped_high + self.clipped_low),
            clip_fraction_high: per_token(self.clipped_high),
            clip_fraction_low: per_token(self.clipped_low),
            dual_clip_fraction: per_token(self.dual_clipped),
            approximate_kl_k1: per_token(-self.log_ratio),
            approximate_kl_k3: per_token(self.k3),
            reference_kl: mean(self.reference_kl, self.reference_tokens),
            behaviour_log_ratio_mean: per_sample(self.behaviour_log_ratio),
            behaviour_log_ratio_abs_mean: per_sample(self.behaviour_log_ratio_abs),
            importance_weight_mean: per_sample(self.weight),
            importance_weight_largest: self.largest_uncapped,
            importance_above_cap: per_sample(self.above_cap),
            effective_sample_size: mean(self.weight * self.weight, self.sampled_tokens * self.weight_squared),
        }
    }
}
