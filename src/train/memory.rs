//! What a training step needs of a device's memory, on paper: as its micro-batches are cut to a limit.

use addendum_policy::{
    Config,
    learner::Recompute,
    memory::{Memory, StepMemory, StepShape},
    weights::shapes,
};
use serde::Serialize;

/// Parameters of a model, by what they are part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Parameters {
    /// The vision tower, which is frozen.
    pub vision: u64,
    /// Decoder layers and last norm.
    pub language: u64,
    /// Embeddings and head.
    pub vocabulary: u64,
}

impl Parameters {
    /// Counted from a config alone; no weight is read.
    pub fn of(config: &Config) -> Self {
        let count = |keep: fn(&str) -> bool| -> u64 {
            let kept = shapes(config).into_iter().filter(|(name, _)| keep(name));
            kept.map(|(_, shape)| shape.iter().map(|&n| n as u64).product::<u64>()).sum()
        };
        Self {
            vision: count(|name| name.starts_with("visual.")),
            language: count(|name| name.starts_with("model.layers") || name.starts_with("model.norm")),
            vocabulary: count(|name| name.contains("embed_tokens") || name.starts_with("lm_head")),
        }
    }

    /// All of them together.
    pub fn total(&self) -> u64 {
        self.vision + self.language + self.vocabulary
    }
}

/// A prompt with its responses.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// With the features of its images.
    pub prompt_tokens: usize,
    /// Responses.
    pub size: usize,
    /// Of one response.
    pub response_tokens: usize,
}

impl Group {
    /// Packed behind one copy of the prompt.
    pub fn tokens(&self) -> usize {
        self.prompt_tokens + self.size * self.response_tokens
    }
}

/// One group's training step.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Step {
    /// Of the largest micro-batch, at its peak.
    pub memory: StepMemory,
    /// That the group is cut into.
    pub micro_batches: usize,
    /// Layers are computed again in the backward pass.
    pub recompute: bool,
    /// Whether a prompt with one response stays within the limit; the learner refuses it otherwise.
    pub fits: bool,
}

impl Step {
    /// The group's step where the device gives no more than `limit` bytes.
    pub fn within(limit: Option<u64>, memory: &Memory, group: Group, recompute: Recompute) -> Self {
        let limit = limit.unwrap_or(u64::MAX);
        let whole = memory.tokens_within(limit, false) >= group.tokens();
        let recompute = recompute == Recompute::Always || (recompute == Recompute::WhenNeeded && !whole);
        let most = memory.tokens_within(limit, recompute);
        let responses = most.saturating_sub(group.prompt_tokens) / group.response_tokens.max(1);
        let together = responses.clamp(1, group.size.max(1));
        let part = Group { size: together, ..group };
        let response_tokens = together * group.response_tokens;
        Self {
            memory: memory.step(StepShape { tokens: part.tokens(), response_tokens, recompute }),
            micro_batches: group.size.div_ceil(together),
            recompute,
            fits: responses >= 1,
        }
    }
}
