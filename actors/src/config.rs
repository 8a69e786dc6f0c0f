//! The configuration of a run, as far as the actors are concerned, and what is impossible about it.

mod select;
mod watch;

use addendum_replay::{GateConfig, Mode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use select::{Keep, SelectConfig, Unedited, When};
pub use watch::{DivergenceConfig, StallConfig};

use crate::{RunError, identity::Identity};

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

/// Threads of each compute thread's pool, all at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Threads {
    /// Threads with which each sampler computes, at least 1.
    #[schemars(extend("x-resume" = "rounding"))]
    pub sampler: usize,
    /// Threads with which each worker of a stage (editor, rewards) computes, and what works ahead of them, at least 1.
    #[schemars(extend("x-resume" = "rounding"))]
    pub stage: usize,
    /// Threads with which the learner computes, at least 1.
    #[schemars(extend("x-resume" = "rounding"))]
    pub learner: usize,
    /// Threads with which evaluations of held-out studies compute, at least 1.
    #[schemars(extend("x-resume" = "free"))]
    pub evaluator: usize,
}

impl Default for Threads {
    fn default() -> Self {
        Self { sampler: 1, stage: 1, learner: 1, evaluator: 1 }
    }
}

/// Everything the actors must know of a run.
///
/// What bears `x-resume` in the schema may change when a run is resumed; all else binds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RunConfig {
    /// Training steps of the whole run, at least 1. A resumed run may be given more.
    #[schemars(extend("x-resume" = "free"))]
    pub steps: u64,
    /// Studies (groups of reports) that a training step learns from: B, at least 1.
    pub batch_groups: u64,
    /// Reports per study: G, 2 to 4096. Where half of them are edited, an even number.
    pub group_size: usize,
    /// How many policy versions a report may lag behind the step that learns from it: η. 0 samples and learns in turn.
    pub staleness: u64,
    /// Which policy version a study is sampled with: "fixed_lag" always the one η versions before its step, so that the
    /// same seed gives the same adapter, bit for bit; "latest" the newest that there is, for fresher rollouts and without
    /// that promise.
    pub mode: Mode,
    /// Whether a report that is being sampled goes on with newer weights as soon as a step has made them, from one
    /// token to the next; in `latest` mode only. Every token is recorded with the policy version that it came from.
    pub swap: bool,
    /// Samplers that work at the same time, 1 to 256; they share out the sampling devices.
    #[schemars(extend("x-resume" = "free"))]
    pub samplers: usize,
    /// Seed of the order of studies and of every random choice of the run.
    pub seed: u64,
    /// What the reports of a study are: "grpo" all sampled, "edit_grpo" half of them sampled and one edited copy of each,
    /// "edit_grpo_para" the same with one edited copy replaced by the whole reference report.
    pub variant: Variant,
    /// Share of a group's reports that are edited copies, 0 to 0.5, which the paper uses; rounded to whole reports. 0 is
    /// GRPO.
    pub edited_share: f64,
    /// What `edited_share` becomes, 0 to 0.5: from the first step it goes there in equal parts over `edited_share_steps`,
    /// and stays. Without it, the share stays as it is.
    pub edited_share_end: Option<f64>,
    /// Steps after which the share of edited copies is `edited_share_end`; at least 1 where that is set.
    pub edited_share_steps: u64,
    /// Which of the candidates for a group, sampled and edited, the learner sees once they have their rewards.
    pub select: SelectConfig,
    /// Failed attempts, at least 1, after which a study is given up for its step; it may be lost with a worker ten times
    /// as often.
    #[schemars(extend("x-resume" = "free"))]
    pub max_attempts: u32,
    /// Studies, at least 1, that may be given up one after the other without one that is trained on between them, before
    /// the run ends with the error of the last. It ends at the first whole step of such studies that reaches the number,
    /// and a resumed run tries them all again.
    #[schemars(extend("x-resume" = "free"))]
    pub max_dead_in_a_row: u64,
    /// Steps in a row, at least 1, that may be skipped because gradient or update was not finite, before the run ends
    /// with an error.
    #[schemars(extend("x-resume" = "free"))]
    pub max_skipped_in_a_row: u64,
    /// Deaths of one actor, at least 1, without a training step between them, after which the run ends with the reason of
    /// the last. It is replaced at once after the first ten, and after pauses that grow to 10 seconds later.
    #[schemars(extend("x-resume" = "free"))]
    pub max_restarts_in_a_row: u32,
    /// Seconds, more than 0, after which a stage (editor, rewards) has failed at a group: its thread is replaced and the
    /// study tried again. Where it is not set, a stage may take for ever; a limit that a healthy machine may exceed makes
    /// the result depend on the time.
    #[schemars(extend("x-resume" = "free"))]
    pub stage_seconds: Option<f64>,
    /// When a run in which nothing moves says so, and when it ends.
    #[schemars(extend("x-resume" = "free"))]
    pub stall: StallConfig,
    /// What counts as training that goes wrong, and whether it ends the run.
    #[schemars(extend("x-resume" = "free"))]
    pub divergence: DivergenceConfig,
    /// Studies drawn for one place in a batch, at least 1: a group that is not worth a step is replaced by another,
    /// until the last one is trained on as it is. 1 never replaces any.
    pub max_draws: u32,
    /// Studies that are got ready before a sampler asks for them, 0 to 64: read, their images decoded, their references
    /// annotated, by one more actor with the threads of a stage. Each holds its decoded images in memory. 0 leaves
    /// everything until it is needed.
    #[schemars(extend("x-resume" = "free"))]
    pub prefetch: u64,
    /// Steps between checkpoints; 0 writes only the last one, when the run ends or is stopped.
    #[schemars(extend("x-resume" = "free"))]
    pub checkpoint_every: u64,
    /// Minutes after which a checkpoint is written in between, at the end of a step; 0 never does.
    #[schemars(extend("x-resume" = "free"))]
    pub checkpoint_minutes: f64,
    /// The newest checkpoints that are kept, at least 1. With 2 or more a damaged one can be done without.
    #[schemars(extend("x-resume" = "free"))]
    pub keep_checkpoints: usize,
    /// Whether the policy is evaluated before the first step.
    #[schemars(extend("x-resume" = "free"))]
    pub evaluate_first: bool,
    /// Steps between evaluations, which never delay training; 0 leaves those before the first and after the last step.
    #[schemars(extend("x-resume" = "free"))]
    pub evaluate_every: u64,
    /// Studies per step whose reports are written to rollouts.jsonl.
    #[schemars(extend("x-resume" = "free"))]
    pub recorded_groups: usize,
    /// Whether every report that a step learns from is written to sampled.jsonl as it was sampled, with its tokens and their
    /// log-probabilities, so that `addendum train --replay` can train on it again. Without it, only where the seed does
    /// not give the same reports again: in `latest` mode, and where others than this program sample.
    #[schemars(extend("x-resume" = "free"))]
    pub record_sampled: Option<bool>,
    /// Threads of samplers, stages, learner and evaluator.
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
            edited_share: 0.5,
            edited_share_end: None,
            edited_share_steps: 0,
            select: SelectConfig::default(),
            max_attempts: 3,
            max_dead_in_a_row: 8,
            max_skipped_in_a_row: 10,
            max_restarts_in_a_row: 100,
            stage_seconds: None,
            stall: StallConfig::default(),
            divergence: DivergenceConfig::default(),
            max_draws: GateConfig::DEFAULT_MAX_DRAWS,
            prefetch: 4,
            checkpoint_every: 50,
            checkpoint_minutes: 30.0,
            keep_checkpoints: 2,
            evaluate_first: true,
            evaluate_every: 0,
            recorded_groups: 1,
            record_sampled: None,
            threads: Threads::default(),
        }
    }
}

/// More would exhaust the threads of a host, not use it.
const MOST_SAMPLERS: usize = 256;

/// More would fill the memory with reports that are sampled and trained on together.
const MOST_REPORTS: usize = 4096;

/// More would fill the memory with images, and gain nothing.
const MOST_AHEAD: u64 = 64;

impl RunConfig {
    /// # Errors
    /// Names the first field that makes the run impossible, its value and what was expected.
    pub fn validate(&self) -> Result<(), RunError> {
        let at_least_one = [
            ("steps", self.steps),
            ("batch_groups", self.batch_groups),
            ("samplers", self.samplers as u64),
            ("max_attempts", u64::from(self.max_attempts)),
            ("max_dead_in_a_row", self.max_dead_in_a_row),
            ("max_skipped_in_a_row", self.max_skipped_in_a_row),
            ("max_restarts_in_a_row", u64::from(self.max_restarts_in_a_row)),
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
        if self.prefetch > MOST_AHEAD {
            return Err(RunError::config("prefetch", self.prefetch, "at most 64: each is held in memory"));
        }
        if self.group_size < 2 {
            return Err(RunError::config(
                "group_size",
                self.group_size,
                "at least 2: advantages compare the members of a group",
            ));
        }
        if self.group_size > MOST_REPORTS {
            return Err(RunError::config("group_size", self.group_size, "at most 4096: a group is held in memory"));
        }
        if self.variant != Variant::Grpo && self.group_size % 2 == 1 {
            return Err(RunError::config(
                "group_size",
                self.group_size,
                "an even number: up to half of the group is edited",
            ));
        }
        let end = self.edited_share_end.unwrap_or(self.edited_share);
        for (field, share) in [("edited_share", self.edited_share), ("edited_share_end", end)] {
            if !(0.0..=0.5).contains(&share) {
                return Err(RunError::config(field, share, "a number from 0 to 0.5: every edited copy has a source"));
            }
        }
        if self.edited_share_end.is_some() && self.edited_share_steps == 0 {
            return Err(RunError::config("edited_share_steps", 0, "at least 1, as `edited_share_end` is set"));
        }
        if !(self.checkpoint_minutes.is_finite() && self.checkpoint_minutes >= 0.0) {
            return Err(RunError::config("checkpoint_minutes", self.checkpoint_minutes, "minutes, at least 0"));
        }
        if let Some(seconds) = self.stage_seconds.filter(|seconds| !(0.001..=86_400.0).contains(seconds)) {
            return Err(RunError::config("stage_seconds", seconds, "seconds, more than 0 and at most 86400"));
        }
        self.stall.validate()?;
        self.divergence.validate()?;
        self.select.validate()
    }

    /// Whether what is sampled is recorded.
    pub fn records(&self) -> bool {
        self.record_sampled.unwrap_or(self.mode == Mode::Latest)
    }

    /// The settings that bind a run over a training set of `studies` studies, by their names within `run`.
    pub(crate) fn identity(&self, studies: usize) -> Identity {
        let Self { batch_groups, group_size, staleness, mode, swap, seed, variant, max_draws, .. } = self;
        let Self { edited_share, edited_share_end, edited_share_steps, select, .. } = self;
        let values = [
            ("run.batch_groups", json!(batch_groups)),
            ("run.max_draws", json!(max_draws)),
            ("run.swap", json!(swap)),
            ("run.group_size", json!(group_size)),
            ("run.staleness", json!(staleness)),
            ("run.mode", json!(mode)),
            ("run.seed", json!(seed)),
            ("run.variant", json!(variant)),
            ("run.edited_share", json!(edited_share)),
            ("run.edited_share_end", json!(edited_share_end)),
            ("run.edited_share_steps", json!(edited_share_steps)),
            ("run.select", json!(select)),
            ("studies", json!(studies)),
        ];
        let plain = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_string);
        values.into_iter().map(|(name, value)| (name.to_string(), plain(value))).collect()
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
        assert!(message(RunConfig { group_size: 1_000_000, ..base() }).contains("at most 4096"));
        assert!(
            message(RunConfig { samplers: 100_000, ..base() }).contains("`samplers` is 100000, expected at most 256")
        );
        assert!(message(RunConfig { prefetch: 65, ..base() }).contains("`prefetch` is 65, expected at most 64"));
        let swap = RunConfig { swap: true, ..base() };
        assert!(message(swap.clone()).starts_with("config: `swap` is true, expected false"));
        assert!(RunConfig { mode: Mode::Latest, ..swap }.validate().is_ok());
        assert!(
            message(RunConfig { edited_share: 0.6, ..base() }).starts_with("config: `edited_share` is 0.6, expected")
        );
        let annealed = RunConfig { edited_share_end: Some(f64::NAN), ..base() };
        assert!(message(annealed.clone()).starts_with("config: `edited_share_end` is NaN"));
        let annealed = RunConfig { edited_share_end: Some(0.0), ..annealed };
        assert!(message(annealed.clone()).starts_with("config: `edited_share_steps` is 0, expected at least 1"));
        assert!(RunConfig { edited_share_steps: 10, ..annealed }.validate().is_ok());
        let odd_grpo = RunConfig { group_size: 7, variant: Variant::Grpo, ..base() };
        assert!(odd_grpo.validate().is_ok());
    }

    #[test]
    fn what_is_not_marked_as_free_to_change_on_resume_is_part_of_the_identity() {
        let schema = serde_json::to_value(schemars::schema_for!(RunConfig)).unwrap();
        let fields = schema["properties"].as_object().unwrap();
        let bound = fields.iter().filter(|(name, field)| field.get("x-resume").is_none() && *name != "threads");
        let mut bound: Vec<String> = bound.map(|(name, _)| format!("run.{name}")).chain(["studies".into()]).collect();
        bound.sort();
        let identity = RunConfig::default().identity(3);
        assert_eq!(identity.keys().collect::<Vec<_>>(), bound.iter().collect::<Vec<_>>());
        assert_eq!(identity["run.variant"], "edit_grpo");
        let threads = schema["$defs"]["Threads"]["properties"].as_object().unwrap();
        assert!(threads.len() == 4 && threads.values().all(|field| field.get("x-resume").is_some()));
    }

    #[test]
    fn every_field_says_what_it_does_and_an_unknown_one_is_refused() {
        let schema = serde_json::to_value(schemars::schema_for!(RunConfig)).unwrap();
        let parts = ["Threads", "SelectConfig", "StallConfig", "DivergenceConfig"]
            .map(|part| &schema["$defs"][part]["properties"]);
        for fields in [&schema["properties"]].into_iter().chain(parts) {
            for (name, field) in fields.as_object().unwrap() {
                assert!(field["description"].as_str().is_some_and(|text| text.ends_with('.')), "{name}: {field}");
            }
        }
        for unknown in [r#"{"step": 3}"#, r#"{"threads": {"learners": 2}}"#, r#"{"select": {"keeps": "all"}}"#] {
            let error = serde_json::from_str::<RunConfig>(unknown).unwrap_err().to_string();
            assert!(error.contains("unknown field"), "{error}");
        }
    }
}
