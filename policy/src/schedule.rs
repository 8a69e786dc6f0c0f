//! Learning-rate schedules: a linear warm-up followed by a constant, cosine or linear decay. Pure functions of the
//! step number; the optimiser is in [`crate::optim`].

use std::f64::consts::PI;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How the learning rate falls after its warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Decay {
    /// Not at all.
    #[default]
    Constant,
    /// Half a cosine wave down to 0 at the last step. Past that it rises again, as the reference implementation's does.
    Cosine,
    /// A straight line down to 0 at the last step, and 0 past it.
    Linear,
}

/// The learning rate of every step. With a warm-up, step i < `warmup_steps` has i / `warmup_steps` of the full rate;
/// the first step then has learning rate 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Schedule {
    /// The full rate, reached when the warm-up ends; between 0 and 1. An update moves every weight by about this much.
    pub learning_rate: f64,
    /// How the rate falls after the warm-up: "constant" (not at all), "cosine" or "linear" (down to 0 at the last step).
    #[serde(alias = "course")]
    pub decay: Decay,
    /// Steps over which the rate rises linearly from 0. 0 starts at the full rate.
    pub warmup_steps: u64,
    /// Steps of the whole training, warm-up included. A constant rate does not use it; any other falls to 0 here.
    pub total_steps: u64,
}

impl Default for Schedule {
    fn default() -> Self {
        Self { learning_rate: 1e-6, decay: Decay::Constant, warmup_steps: 0, total_steps: 0 }
    }
}

impl Schedule {
    /// # Errors
    /// A learning rate that is negative, above 1 or not finite; a decay that ends before its warm-up does.
    pub fn validate(&self) -> Result<()> {
        if !(self.learning_rate.is_finite() && self.learning_rate >= 0.0) {
            let reason = format!("{} is not finite and not negative", self.learning_rate);
            return Err(Error::invalid("schedule.learning_rate", reason));
        }
        if self.learning_rate > 1.0 {
            let reason = format!("{} is above 1, and an AdamW step moves every weight by about it", self.learning_rate);
            return Err(Error::invalid("schedule.learning_rate", reason));
        }
        if self.decay != Decay::Constant && self.total_steps < self.warmup_steps.max(1) {
            let warmup = self.warmup_steps.max(1);
            let reason = format!("{} is below the {warmup} steps of the warm-up, warmup_steps", self.total_steps);
            return Err(Error::invalid("schedule.total_steps", reason));
        }
        Ok(())
    }

    /// The learning rate of optimiser step `step`; the first is step 0.
    pub fn at(&self, step: u64) -> f64 {
        self.learning_rate * self.factor(step)
    }

    /// The share of the full rate at `step`, in [0, 1].
    pub fn factor(&self, step: u64) -> f64 {
        if step < self.warmup_steps {
            return step as f64 / self.warmup_steps as f64;
        }
        let length = self.total_steps.saturating_sub(self.warmup_steps).max(1) as f64;
        let progress = (step - self.warmup_steps) as f64 / length;
        match self.decay {
            Decay::Constant => 1.0,
            Decay::Cosine => (0.5 * (1.0 + (PI * progress).cos())).max(0.0),
            Decay::Linear => (1.0 - progress).max(0.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linear_decay_warms_up_then_falls_to_zero_and_stays_there() {
        let schedule = Schedule { learning_rate: 2.0, decay: Decay::Linear, warmup_steps: 2, total_steps: 6 };
        let rates: Vec<f64> = (0..8).map(|step| schedule.at(step)).collect();
        assert_eq!(rates, [0.0, 1.0, 2.0, 1.5, 1.0, 0.5, 0.0, 0.0]);
    }

    #[test]
    fn a_decay_that_ends_before_its_warm_up_is_refused() {
        let schedule = Schedule { decay: Decay::Cosine, warmup_steps: 10, total_steps: 5, ..Default::default() };
        assert!(schedule.validate().unwrap_err().to_string().contains("5 is below the 10 steps"));
        assert!(Schedule { decay: Decay::Constant, ..schedule }.validate().is_ok());
    }

    #[test]
    fn a_learning_rate_is_between_0_and_1() {
        let validate = |learning_rate| Schedule { learning_rate, ..Default::default() }.validate();
        assert!([0.0, 1e-6, 1.0].into_iter().all(|rate| validate(rate).is_ok()));
        for rate in [-1.0, f64::NAN, f64::INFINITY, 1.0f64.next_up(), 10.0] {
            let error = validate(rate).unwrap_err().to_string();
            assert!(error.starts_with(&format!("schedule.learning_rate: {rate} is")), "{error}");
        }
    }
}
