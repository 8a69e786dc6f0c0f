//! The paper's job as command-line options: what the example `editgrpo_cxr` can be told.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::{EditOptions, RewardOptions};
use crate::train::{Settings, placement::Devices, reward_models::Weights, settings::Arm};

/// The options of `editgrpo_cxr`; what is not named is as the settings have it.
#[derive(Args, Clone, Debug)]
pub struct PaperOptions {
    /// Which method, edit-grpo without it.
    #[arg(long, value_enum)]
    pub arm: Option<Arm>,
    /// A smoke run of less than a minute.
    #[arg(long)]
    pub quick: bool,
    /// A dataset folder (docs/data.md) instead of the built-in phantoms.
    #[arg(long)]
    pub data: Option<PathBuf>,
    /// The supervised checkpoint to start from.
    #[arg(long)]
    pub policy: Option<PathBuf>,
    /// Where the policy samples and learns.
    #[command(flatten)]
    pub devices: Devices,
    /// The models behind rewards and edits.
    #[command(flatten)]
    pub weights: Weights,
    /// Seed of the order of studies and of every random choice.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Learner steps.
    #[arg(long)]
    pub steps: Option<u64>,
    /// Studies per learner step.
    #[arg(long)]
    pub studies: Option<u64>,
    /// Reports per study, half of them edited.
    #[arg(long)]
    pub group_size: Option<usize>,
    /// How many versions a rollout may lag behind the learner.
    #[arg(long, allow_negative_numbers = true)]
    pub staleness: Option<u64>,
    /// Samplers that work at the same time.
    #[arg(long)]
    pub samplers: Option<usize>,
    /// Highest learning rate of the schedule.
    #[arg(long, allow_negative_numbers = true)]
    pub learning_rate: Option<f64>,
    /// Weight of the KL divergence to the checkpoint.
    #[arg(long, allow_negative_numbers = true)]
    pub beta: Option<f64>,
    /// What reports are rewarded for.
    #[command(flatten)]
    pub reward: RewardOptions,
    /// How sampled reports are edited.
    #[command(flatten)]
    pub edit: EditOptions,
    /// Studies per test set.
    #[arg(long, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    pub test_studies: Option<usize>,
    /// Serve Prometheus metrics at this address, such as 127.0.0.1:9464.
    #[arg(long)]
    pub metrics_addr: Option<std::net::SocketAddr>,
}

impl PaperOptions {
    /// `settings` with what is named.
    ///
    /// # Errors
    /// Options that make no sense.
    pub fn apply(&self, mut settings: Settings) -> Result<Settings> {
        if let Some(folder) = &self.data {
            (settings.data.folder, settings.data.phantoms) = (Some(folder.clone()), None);
        }
        if let Some(path) = &self.policy {
            (settings.policy.path, settings.policy.name) = (path.clone(), None);
        }
        self.devices.apply(&mut settings.policy);
        if self.weights != Weights::default() {
            settings.reward_models = self.weights.clone();
        }
        let run = &mut settings.run;
        run.seed = self.seed.unwrap_or(run.seed);
        run.steps = self.steps.or(self.quick.then_some(6)).unwrap_or(run.steps);
        run.batch_groups = self.studies.or(self.quick.then_some(2)).unwrap_or(run.batch_groups);
        run.group_size = self.group_size.unwrap_or(run.group_size);
        run.staleness = self.staleness.unwrap_or(run.staleness);
        run.samplers = self.samplers.unwrap_or(run.samplers);
        let learner = &mut settings.learner;
        learner.memory_limit = self.devices.memory_limit().or(learner.memory_limit);
        learner.schedule.total_steps = settings.run.steps;
        learner.schedule.warmup_steps = learner.schedule.warmup_steps.min(settings.run.steps / 2);
        learner.schedule.learning_rate = self.learning_rate.unwrap_or(learner.schedule.learning_rate);
        learner.objective.kl_coefficient = self.beta.unwrap_or(learner.objective.kl_coefficient);
        self.edit.apply(&mut settings.edit);
        self.reward.apply(&mut settings)?;
        if let Some(phantoms) = &mut settings.data.phantoms {
            phantoms.held_out = self.test_studies.or(self.quick.then_some(32)).unwrap_or(phantoms.held_out);
        }
        if let Some(address) = self.metrics_addr {
            settings.telemetry.metrics_address = Some(address.to_string());
        }
        Ok(match self.arm {
            Some(arm) => arm.settings(&settings),
            None => settings,
        })
    }
}
