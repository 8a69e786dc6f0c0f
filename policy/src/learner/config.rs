//! Settings of the learner.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, Result, objective::ObjectiveConfig, optim::AdamWConfig, schedule::Schedule};

/// Whether the activations of all layers are kept for the backward pass, or computed again (gradient checkpointing).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Recompute {
    /// Activations are kept: the fastest, and the most memory.
    Never,
    /// Where a group would not fit the memory limit otherwise.
    #[default]
    WhenNeeded,
    /// Activations are computed again: the least memory, and about a third more time.
    Always,
}

/// What responses of a group that begin alike have in common when they go through the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SharedPrefix {
    /// Every response goes behind its own copy of the prompt.
    None,
    /// The prompt.
    Prompt,
    /// The prompt, and every beginning that responses have in common.
    #[default]
    Trie,
}

/// How the policy is trained on scored groups.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LearnerConfig {
    /// The loss: clipping, KL penalty, aggregation over tokens, importance weights.
    pub objective: ObjectiveConfig,
    /// AdamW.
    pub optimizer: AdamWConfig,
    /// The learning rate of every step.
    pub schedule: Schedule,
    /// Temperature of the log-probabilities, above 0: the one the reports were sampled at.
    pub temperature: f64,
    /// The groups of a step are divided into this many parts, at least 1, and every part makes an update of its own. A
    /// step with fewer groups has fewer parts.
    pub minibatches: usize,
    /// How often a step goes over its groups, at least 1. With more than one update in a step (minibatches × epochs), the
    /// clip range takes effect.
    pub epochs: usize,
    /// Groups go through the network together up to this many packed tokens, at least 1. Less takes less memory.
    #[schemars(extend("x-resume" = "rounding"))]
    pub micro_batch_tokens: usize,
    /// What goes through the network once for all responses of a group: "trie" the prompt and every beginning that
    /// responses have in common, "prompt" the prompt alone, "none" nothing. The gradient is the same, but slower.
    #[schemars(extend("x-resume" = "rounding"))]
    pub shared_prefix: SharedPrefix,
    /// Bytes that a step may take, frozen weights included, as predicted from the model's shape. Micro-batches become
    /// smaller until they fit, down to one response; the gradient stays the same. Without it, nothing is asked on a CPU, and
    /// on a GPU a step may take the weights and nine tenths of what is free when the learner starts.
    #[schemars(extend("x-resume" = "rounding"))]
    pub memory_limit: Option<u64>,
    /// Whether activations are computed again in the backward pass, which takes less memory and more time: "never",
    /// "when_needed" (where a group would not fit `memory_limit` otherwise) or "always".
    #[schemars(extend("x-resume" = "rounding"))]
    pub recompute: Recompute,
}

impl Default for LearnerConfig {
    fn default() -> Self {
        Self {
            objective: ObjectiveConfig::default(),
            optimizer: AdamWConfig::default(),
            schedule: Schedule::default(),
            temperature: 1.0,
            minibatches: 1,
            epochs: 1,
            micro_batch_tokens: 2048,
            shared_prefix: SharedPrefix::default(),
            memory_limit: None,
            recompute: Recompute::default(),
        }
    }
}

impl LearnerConfig {
    /// # Errors
    /// The first setting out of its range, by its path within these settings, with its value.
    pub fn validate(&self) -> Result<()> {
        self.objective.validate()?;
        self.optimizer.validate()?;
        self.schedule.validate()?;
        if !(self.temperature.is_finite() && self.temperature > 0.0) {
            return Err(Error::invalid("temperature", format!("{} is not finite and above 0", self.temperature)));
        }
        let counts = [
            ("minibatches", self.minibatches),
            ("epochs", self.epochs),
            ("micro_batch_tokens", self.micro_batch_tokens),
        ];
        match counts.into_iter().find(|(_, count)| *count == 0) {
            None => Ok(()),
            Some((field, _)) => Err(Error::invalid(field, "0 is not at least 1")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_out_of_range_is_named_by_its_path() {
        let error = |change: fn(&mut LearnerConfig)| {
            let mut config = LearnerConfig::default();
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        assert!(LearnerConfig::default().validate().is_ok());
        for (message, start) in [
            (error(|c| c.temperature = 0.0), "temperature: 0"),
            (error(|c| c.minibatches = 0), "minibatches: 0"),
            (error(|c| c.epochs = 0), "epochs: 0"),
            (error(|c| c.micro_batch_tokens = 0), "micro_batch_tokens: 0"),
            (error(|c| c.optimizer.beta2 = 1.0), "optimizer.beta2: 1"),
            (error(|c| c.objective.clip.low = -0.1), "objective.clip.low: -0.1"),
            (error(|c| c.schedule.learning_rate = 1.5), "schedule.learning_rate: 1.5 is above 1"),
        ] {
            assert!(message.starts_with(start), "{message}");
        }
    }
}
