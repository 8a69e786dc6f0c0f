use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::aggregation::Aggregation;
use crate::error::{Error, Result};

/// Where the probability ratio is clipped: [1 − low, 1 + high].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ClipRange {
    /// ε_low: how far below 1 the ratio counts, between 0 and 1.
    pub low: f64,
    /// ε_high: how far above 1 the ratio counts, at least 0. DAPO uses 0.28.
    pub high: f64,
}

impl Default for ClipRange {
    fn default() -> Self {
        Self { low: 0.2, high: 0.2 }
    }
}

/// Per-token estimate of the KL divergence to the reference policy, with e = ln π − ln π_ref
/// (J. Schulman, "Approximating KL divergence").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KlKind {
    /// e
    K1,
    /// |e|
    Abs,
    /// e² / 2
    K2,
    /// exp(−e) + e − 1, clamped to [−10, 10]; no gradient where the clamp is active.
    #[default]
    K3,
}

/// How tokens of a stale policy are reweighted, from the ratio π_prox / π_behav.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Importance {
    /// Every token by its own ratio, at most the cap.
    #[default]
    TokenTruncate,
    /// Every token by the product of the ratios of its response, at most the cap.
    SequenceTruncate,
    /// Every token by its own ratio, dropped where that exceeds the cap. Denominators of the aggregation stay.
    TokenMask,
}

/// From which token on the advantage of an edited report acts. Its source is not concerned: it was sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EditedFrom {
    /// Its first (EditGRPO, section 2).
    #[default]
    Start,
    /// The first in which it differs from its source: A_t = A for t ≥ d, 0 before. A copy without an edit has none.
    Difference,
}

/// What stands for the ratio of a token that no policy sampled: one of an edited report from its first difference on, or
/// of the reference report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OffPolicy {
    /// ρ = π / π_prox, clipped, with the weight 1 (EditGRPO, section 2).
    #[default]
    Plain,
    /// π / (π + γ), not clipped (LUFFY, arXiv 2504.14945, section 3.2).
    Shaped,
    /// ρ as ever, with the weight min(π_prox / floor, 1): as if the token had been sampled with the probability `floor`,
    /// and its importance were truncated at 1.
    Capped,
}

/// Settings of the objective.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ObjectiveConfig {
    /// Where the ratio of the policy to the one at the start of the step is clipped. Only several updates per step
    /// (learner.minibatches, learner.epochs) give it something to clip.
    pub clip: ClipRange,
    /// With a negative advantage A, the loss of a token is at most −A times this (dual-clip PPO, arXiv 1912.09729); above
    /// 1. Without it, there is no such bound.
    pub dual_clip: Option<f64>,
    /// β, the factor of the penalty for leaving the reference policy, at least 0. 0 saves the reference's forward pass.
    pub kl_coefficient: f64,
    /// Estimate of the KL divergence to the reference policy, from e = ln π − ln π_ref: "k1" (e), "abs" (|e|), "k2"
    /// (e² / 2) or "k3" (exp(−e) + e − 1).
    pub kl: KlKind,
    /// How the losses of tokens become one number: "token-mean" (DAPO), "seq-mean-token-sum" (RLOO), "seq-mean-token-mean"
    /// (GRPO) or "seq-mean-token-sum-norm" (Dr. GRPO: the sum divided by `norm_length`).
    pub aggregation: Aggregation,
    /// The constant divisor of "seq-mean-token-sum-norm", above 0: the longest response, in tokens.
    pub norm_length: f64,
    /// How tokens that an older policy sampled are weighted by π_prox / π_behav: "token-truncate" (each by its own ratio,
    /// at most the cap), "sequence-truncate" (by the product over its response, at most the cap) or "token-mask" (each by
    /// its own, dropped above the cap).
    pub importance: Importance,
    /// C, the largest importance weight, above 0.
    pub importance_cap: f64,
    /// From which token on the advantage of an edited report acts: its "start", or its first "difference" from the report
    /// that it is a copy of, so that none is credited to words that nobody corrected. The KL penalty and what the loss is
    /// divided by stay the same.
    pub edited_from: EditedFrom,
    /// How tokens that no policy sampled (those of an edited report from its first difference on, and of the reference)
    /// are learnt from: "plain" like sampled ones, with the weight 1; "shaped" by π / (π + γ) in place of the ratio;
    /// "capped" with the weight min(π / floor, 1).
    pub off_policy: OffPolicy,
    /// γ of `off_policy = "shaped"`, above 0. Smaller ones learn more from improbable tokens, and less from probable ones.
    pub off_policy_gamma: f64,
    /// The probability below which `off_policy = "capped"` learns less from a token, above 0 and at most 1.
    pub off_policy_floor: f64,
}

impl Default for ObjectiveConfig {
    fn default() -> Self {
        Self {
            clip: ClipRange::default(),
            dual_clip: None,
            kl_coefficient: 0.01,
            kl: KlKind::default(),
            aggregation: Aggregation::default(),
            norm_length: 128.0,
            importance: Importance::default(),
            importance_cap: 2.0,
            edited_from: EditedFrom::default(),
            off_policy: OffPolicy::default(),
            off_policy_gamma: 0.1,
            off_policy_floor: 0.01,
        }
    }
}

impl ObjectiveConfig {
    /// # Errors
    /// The first setting out of its range, with its value.
    pub fn validate(&self) -> Result<()> {
        let (dual_clip, floor) = (self.dual_clip.unwrap_or(f64::INFINITY), self.off_policy_floor);
        let checks = [
            ("clip.low", self.clip.low, (0.0..=1.0).contains(&self.clip.low), "between 0 and 1"),
            ("clip.high", self.clip.high, is_size(self.clip.high), "finite and not negative"),
            ("dual_clip", dual_clip, dual_clip > 1.0, "above 1"),
            ("kl_coefficient", self.kl_coefficient, is_size(self.kl_coefficient), "finite and not negative"),
            ("norm_length", self.norm_length, is_positive(self.norm_length), "finite and above 0"),
            ("importance_cap", self.importance_cap, self.importance_cap > 0.0, "above 0"),
            ("off_policy_gamma", self.off_policy_gamma, is_positive(self.off_policy_gamma), "finite and above 0"),
            ("off_policy_floor", floor, floor > 0.0 && floor <= 1.0, "above 0 and at most 1"),
        ];
        match checks.into_iter().find(|(_, _, valid, _)| !valid) {
            None => Ok(()),
            Some((field, value, _, expected)) => {
                Err(Error::invalid(format!("objective.{field}"), format!("{value} is not {expected}")))
            }
        }
    }
}

fn is_size(value: f64) -> bool {
    value.is_finite() && value >= 0.0
}

fn is_positive(value: f64) -> bool {
    value.is_finite() && value > 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_out_of_range_is_named_with_its_value() {
        let config = ObjectiveConfig { norm_length: 0.0, ..Default::default() };
        let error = config.validate().unwrap_err().to_string();
        assert_eq!(error, "objective.norm_length: 0 is not finite and above 0");
        let config = ObjectiveConfig { dual_clip: Some(0.9), ..Default::default() };
        assert!(config.validate().unwrap_err().to_string().contains("0.9"));
        let config = ObjectiveConfig { off_policy_floor: 1.5, ..Default::default() };
        assert_eq!(
            config.validate().unwrap_err().to_string(),
            "objective.off_policy_floor: 1.5 is not above 0 and at most 1"
        );
        assert!(ObjectiveConfig { off_policy_gamma: 0.0, ..Default::default() }.validate().is_err());
        assert!(ObjectiveConfig { importance_cap: f64::NAN, ..Default::default() }.validate().is_err());
    }

    #[test]
    fn an_unknown_setting_is_refused() {
        assert!(serde_json::from_str::<ObjectiveConfig>(r#"{"kl_coef": 0.1}"#).is_err());
        assert!(serde_json::from_str::<ObjectiveConfig>(r#"{"kl_coefficient": 0.1, "kl": "abs"}"#).is_ok());
        assert!(serde_json::from_str::<ObjectiveConfig>(r#"{"clip": {"higher": 0.1}}"#).is_err());
    }

    #[test]
    fn one_side_of_the_clip_range_can_be_set_alone() {
        let config: ObjectiveConfig = serde_json::from_str(r#"{"clip": {"high": 0.28}}"#).unwrap();
        assert_eq!(config.clip, ClipRange { low: 0.2, high: 0.28 });
    }
}
