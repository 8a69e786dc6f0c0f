//! What the policy is made to do while it is timed, as options.

use std::path::PathBuf;

use addendum::train::placement::WeightType;
use addendum_policy::{LearnerConfig, LoraConfig, learner::SharedPrefix};
use clap::Args;
use serde::Serialize;

use super::counts::at_least_one;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    Sample,
    Step,
    Loop,
}

/// What the policy is made to do, again and again.
#[derive(Args, Clone, Debug, Serialize)]
pub struct Workload {
    /// A checkpoint folder; it needs no tokenizer.
    #[arg(long, value_name = "DIR", required_unless_present = "random_init")]
    pub model: Option<PathBuf>,
    /// A folder with a config.json, whose model gets random weights.
    #[arg(long, value_name = "CONFIG_DIR", conflicts_with = "model")]
    pub random_init: Option<PathBuf>,
    /// Prompts per step.
    #[arg(long, default_value_t = 4, value_parser = at_least_one)]
    pub groups: usize,
    /// Responses per prompt.
    #[arg(long, default_value_t = 10, value_parser = at_least_one)]
    pub group_size: usize,
    /// Tokens of every response, exactly.
    #[arg(long, default_value_t = 64, value_parser = at_least_one)]
    pub new_tokens: usize,
    /// Text tokens of a prompt, besides those of its images.
    #[arg(long, default_value_t = 64, value_parser = at_least_one)]
    pub prompt_tokens: usize,
    #[arg(long, default_value_t = 1)]
    pub images_per_prompt: usize,
    /// Pixels of an image, rounded to a square of whole merged patches.
    #[arg(long, default_value_t = 224 * 224)]
    pub image_pixels: usize,
    /// Threads that compute; all cores without it.
    #[arg(long, value_parser = at_least_one)]
    pub threads: Option<usize>,
    /// Factor of the KL penalty; 0 saves the reference pass.
    #[arg(long, default_value_t = 0.01)]
    pub beta: f64,
    /// On all linear layers of the language model.
    #[arg(long, default_value_t = 16, value_parser = at_least_one)]
    pub lora_rank: usize,
    /// Packed tokens that go through the network together.
    #[arg(long, default_value_t = LearnerConfig::default().micro_batch_tokens)]
    pub micro_batch_tokens: usize,
    /// Half of each group is edited, as in EditGRPO: a copy of a response in which a run of 16 tokens, one of those that
    /// it divides into, is the reference's.
    #[arg(long)]
    pub edit: bool,
    /// Images go through the vision tower once, as in training, not in every step.
    #[arg(long)]
    pub vision_cache: bool,
    /// Prompts are sampled one after the other instead of together.
    #[arg(long)]
    pub one_study_at_a_time: bool,
    /// Every response carries its own copy of the prompt, in sampling and in training.
    #[arg(long)]
    pub no_shared_prefix: bool,
    /// Time learning steps on groups whose second half are edited copies, with and without sharing what responses begin
    /// with, in turns; for `step`.
    #[arg(long, conflicts_with_all = ["no_trie", "no_shared_prefix"])]
    pub trie: bool,
    /// Responses share nothing but their prompt in training.
    #[arg(long)]
    pub no_trie: bool,
    /// How weight matrices are stored; everything else is f32.
    #[arg(long, value_enum, default_value = "f32")]
    pub dtype: WeightType,
    /// cpu, or cuda:N in a build with the feature `cuda`.
    #[arg(long, default_value = "cpu")]
    pub device: String,
    /// Timed steps, after one that is not.
    #[arg(long, default_value_t = 5, value_parser = at_least_one)]
    pub repeat: usize,
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

impl Workload {
    pub fn lora(&self) -> LoraConfig {
        LoraConfig { rank: self.lora_rank, alpha: 2.0 * self.lora_rank as f64, ..LoraConfig::default() }
    }

    pub fn shared_prefix(&self) -> SharedPrefix {
        match (self.no_shared_prefix, self.no_trie) {
            (true, _) => SharedPrefix::None,
            (false, true) => SharedPrefix::Prompt,
            (false, false) => SharedPrefix::Trie,
        }
    }

    /// Responses of a group that are sampled.
    pub fn sampled(&self) -> usize {
        if self.edit { self.group_size.div_ceil(2) } else { self.group_size }
    }

    pub fn response_tokens(&self) -> usize {
        self.groups * self.group_size * self.new_tokens
    }
}
