//! What a run is watched for: that it stands still, that it goes wrong.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::RunError;

/// When a run in which nothing moves says so, and when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StallConfig {
    /// Seconds without a sampled token, a group that got further, or a step, after which the run says who waits for whom;
    /// 0 never does.
    pub warn_seconds: f64,
    /// Seconds of the same after which the run ends with a checkpoint and an exit status of its own; 0 never does. A step
    /// of the learner counts as one movement: allow more than the longest takes.
    pub end_seconds: f64,
}

impl Default for StallConfig {
    fn default() -> Self {
        Self { warn_seconds: 600.0, end_seconds: 7200.0 }
    }
}

/// What counts as going wrong. Only the figures of the steps are asked, never a clock.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DivergenceConfig {
    /// Whether a run that goes wrong ends, with its checkpoints from before; otherwise it says so and goes on.
    pub stop: bool,
    /// Steps, at least 1, whose means are judged.
    pub window: usize,
    /// Reward collapse: the share of the best window's mean reward that a later one may lose; 0 is never asked.
    pub reward_drop: f64,
    /// KL explosion: the mean KL to the reference policy (nats per token) that may not be exceeded; 0 is never asked.
    pub kl_above: f64,
    /// Entropy collapse: the share of the first window's entropy under which a later one may not fall, below 1; 0 is
    /// never asked.
    pub entropy_below: f64,
    /// Empty reports: the mean tokens of a sampled report, end token included, that may not be fallen below; 0 is never
    /// asked. At 1 every report is the end token alone.
    pub tokens_below: f64,
    /// Mismatch: the mean absolute difference (nats per token) between the log-probabilities that samples were drawn with and
    /// the learner's that may not be exceeded; 0 is never asked. Staleness is in it.
    pub mismatch_above: f64,
}

impl Default for DivergenceConfig {
    fn default() -> Self {
        Self {
            stop: false,
            window: 20,
            reward_drop: 0.5,
            kl_above: 5.0,
            entropy_below: 0.02,
            tokens_below: 2.0,
            mismatch_above: 0.1,
        }
    }
}

/// A week.
const LONGEST: f64 = 604_800.0;

impl StallConfig {
    pub(crate) fn validate(&self) -> Result<(), RunError> {
        for (field, value) in [("stall.warn_seconds", self.warn_seconds), ("stall.end_seconds", self.end_seconds)] {
            if !(0.0..=LONGEST).contains(&value) {
                return Err(RunError::config(field, value, "seconds, from 0 to 604800"));
            }
        }
        Ok(())
    }
}

impl DivergenceConfig {
    pub(crate) fn validate(&self) -> Result<(), RunError> {
        if self.window == 0 {
            return Err(RunError::config("divergence.window", 0, "at least 1"));
        }
        let at_least_zero = [
            ("divergence.reward_drop", self.reward_drop),
            ("divergence.kl_above", self.kl_above),
            ("divergence.tokens_below", self.tokens_below),
            ("divergence.mismatch_above", self.mismatch_above),
        ];
        for (field, value) in at_least_zero {
            if !(value.is_finite() && value >= 0.0) {
                return Err(RunError::config(field, value, "a finite number, at least 0"));
            }
        }
        match (0.0..1.0).contains(&self.entropy_below) {
            true => Ok(()),
            false => Err(RunError::config("divergence.entropy_below", self.entropy_below, "at least 0 and below 1")),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::RunConfig;

    #[test]
    fn what_cannot_be_watched_for_is_named_by_its_path() {
        let message = |change: fn(&mut RunConfig)| {
            let mut config = RunConfig::default();
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        for (message, path) in [
            (message(|c| c.stall.warn_seconds = -1.0), "`stall.warn_seconds` is -1"),
            (message(|c| c.stall.end_seconds = f64::NAN), "`stall.end_seconds` is NaN"),
            (message(|c| c.divergence.window = 0), "`divergence.window` is 0"),
            (message(|c| c.divergence.reward_drop = -0.5), "`divergence.reward_drop` is -0.5"),
            (message(|c| c.divergence.kl_above = f64::INFINITY), "`divergence.kl_above` is inf"),
            (message(|c| c.divergence.entropy_below = 1.0), "`divergence.entropy_below` is 1"),
            (message(|c| c.divergence.tokens_below = f64::NAN), "`divergence.tokens_below` is NaN"),
            (message(|c| c.checkpoint_minutes = -1.0), "`checkpoint_minutes` is -1"),
            (message(|c| c.stage_seconds = Some(0.0)), "`stage_seconds` is 0"),
            (message(|c| c.max_restarts_in_a_row = 0), "`max_restarts_in_a_row` is 0"),
        ] {
            assert!(message.contains(path), "{message}");
        }
    }
}
