//! Timing the policy (sampling, a learning step, or a whole GRPO iteration without actors) and the rewards.
//!
//! The policy works on token ids, so that a model needs no tokenizer: prompts are random images and random text,
//! responses have a forced length. What the model says is worthless; what it costs is not.

mod bed;
mod clock;
mod iteration;
mod rewards;
mod unigram;

use std::path::PathBuf;

use addendum_policy::{LearnerConfig, LoraConfig};
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{devices::WeightType, host};
use bed::Bed;
use clock::{Laps, median_and_shortest};
use iteration::Iteration;
use rewards::Rewards;

/// What is timed.
#[derive(Subcommand)]
pub enum Bench {
    /// Responses from prompts.
    Sample(Plan),
    /// One update from given responses.
    Step(Plan),
    /// Sampling, reward, update, and the new adapter in the sampler.
    Loop(Plan),
    /// Reports against references by the networks of CheXbert and RaTEScore, with random weights of the published sizes.
    Rewards(Rewards),
}

impl Bench {
    /// Runs the benchmark; returns its report, a JSON object.
    ///
    /// # Errors
    /// A model that cannot be read or written; settings that do not fit it; a failure while computing.
    pub fn run(&self) -> Result<Value> {
        match self {
            Self::Sample(plan) => plan.run(Stage::Sample),
            Self::Step(plan) => plan.run(Stage::Step),
            Self::Loop(plan) => plan.run(Stage::Loop),
            Self::Rewards(rewards) => rewards.run(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Stage {
    Sample,
    Step,
    Loop,
}

/// A benchmark of the policy.
#[derive(Args, Clone, Debug, Serialize)]
pub struct Plan {
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
    /// Every response carries its own copy of the prompt, in sampling and in training.
    #[arg(long)]
    pub no_shared_prefix: bool,
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

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("0 is not at least 1".into()),
        Ok(n) => Ok(n),
        Err(error) => Err(format!("{error}")),
    }
}

fn cores() -> Result<usize> {
    Ok(std::thread::available_parallelism().context("the number of cores")?.get())
}

impl Plan {
    fn run(&self, stage: Stage) -> Result<Value> {
        let threads = self.threads.map_or_else(cores, Ok)?;
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
        let (bed, steps) = pool.install(|| self.time(stage))?;
        self.report(stage, &bed, threads, &steps)
    }

    fn time(&self, stage: Stage) -> Result<(Bed, Vec<Laps>)> {
        let bed = Bed::new(self)?;
        let steps = Iteration::new(&bed, self)?.repeat(stage, self.repeat)?;
        Ok((bed, steps))
    }

    fn lora(&self) -> LoraConfig {
        LoraConfig { rank: self.lora_rank, alpha: 2.0 * self.lora_rank as f64, ..LoraConfig::default() }
    }

    fn response_tokens(&self) -> usize {
        self.groups * self.group_size * self.new_tokens
    }

    fn report(&self, stage: Stage, bed: &Bed, threads: usize, steps: &[Laps]) -> Result<Value> {
        let (median, shortest) = median_and_shortest(steps).context("no step was timed")?;
        Ok(json!({
            "bench": stage,
            "seconds_per_step": median.total(),
            "split": median,
            "tokens_per_second": self.response_tokens() as f64 / median.total(),
            "shortest_step_seconds": shortest.total(),
            "step_seconds": steps.iter().map(Laps::total).collect::<Vec<_>>(),
            "peak_rss_bytes": host::peak_resident(),
            "cpu": host::cpu_model(),
            "threads": threads,
            "parameters": bed.parameters(),
            "response_tokens": self.response_tokens(),
            "tokens_per_prompt": bed.prompt_tokens(),
            "config": self,
        }))
    }
}
