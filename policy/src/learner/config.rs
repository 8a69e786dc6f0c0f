//! Settings of the learner.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Error, Result,
    objective::{Normalize, ObjectiveConfig},
    optim::AdamWConfig,
    schedule::Schedule,
};

/// Whether the activations of all layers are kept for the backward pass, or computed again (gradient checkpointing).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Recompute {
    Never,
    /// Where a group would not fit the memory limit otherwise.
    #[default]
    WhenNeeded,
    Always,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LearnerConfig {
    pub objective: ObjectiveConfig,
    pub advantage: Normalize,
    pub optimizer: AdamWConfig,
    pub schedule: Schedule,
    /// Temperature of the log-probabilities: the one the reports were sampled at.
    pub temperature: f64,
    /// Groups go through the network together up to this many packed tokens.
    pub micro_batch_tokens: usize,
    /// The responses of a group are packed behind one copy of their prompt; otherwise each behind its own, which gives
    /// the same gradient more slowly.
    pub shared_prefix: bool,
    /// Bytes that a step may take, frozen weights included, as [`Memory`](crate::memory::Memory) predicts them. Micro-batches become smaller
    /// until they fit, down to one response; the gradient stays the same. `None` does not ask.
    pub memory_limit: Option<u64>,
    pub recompute: Recompute,
}

impl Default for LearnerConfig {
    fn default() -> Self {
        Self {
            objective: ObjectiveConfig::default(),
            advantage: Normalize::default(),
            optimizer: AdamWConfig::default(),
            schedule: Schedule::default(),
            temperature: 1.0,
            micro_batch_tokens: 2048,
            shared_prefix: true,
            memory_limit: None,
            recompute: Recompute::default(),
        }
    }
}

impl LearnerConfig {
    pub fn validate(&self) -> Result<()> {
        self.objective.validate()?;
        self.optimizer.validate()?;
        self.schedule.validate()?;
        if !(self.temperature.is_finite() && self.temperature > 0.0) {
            return Err(Error::invalid("learner.temperature", format!("{} is not above 0", self.temperature)));
        }
        Ok(())
    }
}
