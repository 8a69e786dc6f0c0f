//! The configuration of a run, as far as the actors are concerned, and what is impossible about it.

use addendum_replay::{GateConfig, Mode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::RunError;

/// What a rollout group is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// G sampled reports.
    Grpo,
    /// G/2 sampled reports and one edited copy of each (EditGRPO, section 2).
    #[default]
    EditGrpo,
    /// As [`Variant::EditGrpo`], with one edited report replaced by the whole reference report.
    EditGrpoPara,
}

/// Threads of each compute thread's pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Threads {
    pub sampler: usize,
    pub stage: usize,
    pub learner: usize,
    pub evaluator: usize,
}

impl Default for Threads {
    fn default() -> Self {
        Self { sampler: 1, stage: 1, learner: 1, evaluator: 1 }
    }
}

/// Everything the actors must know of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RunConfig {
    /// Training steps.
    pub steps: u64,
    /// Groups (studies) per step: B.
    pub batch_groups: u64,
    /// Reports per group: G.
    pub group_size: usize,
    /// Bound on the age of a rollout in policy versions: η.
    pub staleness: u64,
    pub mode: Mode,
    /// Whether a report that is being sampled goes on with newer weights as soon as a step has made them, from one
    /// token to the next; in `latest` mode only. Every token is recorded with the policy version that it came from.
    pub swap: bool,
    /// Sampler actors.
    pub samplers: usize,
    pub seed: u64,
    pub variant: Variant,
    /// Failed attempts at a study before it is dead-lettered; it may be lost with a worker ten times as often.
    pub max_attempts: u32,
    /// Studies drawn for one place in a batch, at least 1: a group that is not worth a step is replaced by another,
    /// until the last one is trained on as it is. 1 never replaces any.
    pub max_draws: u32,
    /// Steps between checkpoints; 0 writes only the last one.
    pub checkpoint_every: u64,
    /// Checkpoints kept.
    pub keep_checkpoints: usize,
    /// Steps between evaluations; 0 evaluates at the start and the end only.
    pub evaluate_every: u64,
    /// Groups per step whose rollouts are recorded.
    pub recorded_groups: usize,
    pub threads: Threads,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            steps: 100,
            batch_groups: 4,
            group_size: 8,
            staleness: 1,
            mode: Mode::FixedLag,
            swap: false,
            samplers: 1,
            seed: 0,
            variant: Variant::EditGrpo,
            max_attempts: 3,
            max_draws: GateConfig::DEFAULT_MAX_DRAWS,
            checkpoint_every: 50,
            keep_checkpoints: 2,
            evaluate_every: 0,
            recorded_groups: 1,
            threads: Threads::default(),
        }
    }
}

/// More would exhaust the threads of a host, not use it.
const MOST_SAMPLERS: usize = 256;

impl RunConfig {
    /// # Errors
    /// Names the first field that makes the run impossible, its value and what was expected.
    pub fn validate(&self) -> Result<(), RunError> {
        let at_least_one = [
            ("steps", self.steps),
            ("batch_groups", self.batch_groups),
            ("samplers", self.samplers as u64),
            ("max_attempts", u64::from(self.max_attempts)),
            ("max_draws", u64::from(self.max_draws)),
            ("keep_checkpoints", self.keep_checkpoints as u64),
            ("threads.sampler", self.threads.sampler as u64),
            ("threads.stage", self.threads.stage as u64),
            ("threads.learner", self.threads.learner as u64),
            ("threads.evaluator", self.threads.evaluator as u64),
        ];
        for (field, value) in at_least_one {
            if value == 0 {
                return Err(RunError::config(field, value, "at least 1"));
            }
        }
        if self.swap && self.mode == Mode::FixedLag {
            return Err(RunError::config("swap", true, "false: in `fixed_lag` mode a report has one policy version"));
        }
        if self.samplers > MOST_SAMPLERS {
            return Err(RunError::config("samplers", self.samplers, "at most 256: each has a thread of its own"));
        }
        if self.group_size < 2 {
            return Err(RunError::config(
                "group_size",
                self.group_size,
                "at least 2: advantages compare the members of a group",
            ));
        }
        if self.variant != Variant::Grpo && self.group_size % 2 == 1 {
            return Err(RunError::config(
                "group_size",
                self.group_size,
                "an even number: half of the group is sampled, half edited",
            ));
        }
        Ok(())
    }

    /// Reports sampled per group; the others are made by the editor.
    pub fn sampled_per_group(&self) -> usize {
        match self.variant {
            Variant::Grpo => self.group_size,
            Variant::EditGrpo | Variant::EditGrpoPara => self.group_size / 2,
        }
    }

    /// The part that decides about tickets, for a training set of `studies` studies.
    pub(crate) fn gate(&self, studies: usize) -> GateConfig {
        GateConfig {
            steps: self.steps,
            batch_groups: self.batch_groups,
            staleness: self.staleness,
            mode: self.mode,
            studies,
            seed: self.seed,
            max_attempts: self.max_attempts,
            max_draws: self.max_draws,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_sizes_are_named_with_their_value() {
        let message = |config: RunConfig| config.validate().unwrap_err().to_string();
        let base = RunConfig::default;
        assert!(base().validate().is_ok());
        assert_eq!(message(RunConfig { steps: 0, ..base() }), "config: `steps` is 0, expected at least 1");
        assert!(
            message(RunConfig { group_size: 7, ..base() }).starts_with("config: `group_size` is 7, expected an even")
        );
        assert!(message(RunConfig { group_size: 1, ..base() }).contains("at least 2"));
        assert!(
            message(RunConfig { samplers: 100_000, ..base() }).contains("`samplers` is 100000, expected at most 256")
        );
        let swap = RunConfig { swap: true, ..base() };
        assert!(message(swap.clone()).starts_with("config: `swap` is true, expected false"));
        assert!(RunConfig { mode: Mode::Latest, ..swap }.validate().is_ok());
        let odd_grpo = RunConfig { group_size: 7, variant: Variant::Grpo, ..base() };
        assert!(odd_grpo.validate().is_ok());
    }
}
