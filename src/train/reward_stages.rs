//! The reward of a run as stages of the chain: those of its back ends, or the one of a service.

use std::sync::Arc;

use addendum_actors::{
    Pipeline,
    stages::{RewardStage, scored},
};
use addendum_rewards::Backends;
use anyhow::Result;

use super::settings::Settings;

/// The name of the stage that asks a service for rewards.
const SERVICE: &str = "reward_service";

impl Settings {
    /// Appends the reward: the stages of its back ends, or the one of a service.
    ///
    /// # Errors
    /// As [`Settings::validate`].
    pub fn append_reward<S: Send + Sync + 'static>(
        &self,
        pipeline: Pipeline<S>,
        backends: Backends,
    ) -> Result<Pipeline<S>> {
        let Some(service) = self.services.rewarding(&self.reward)? else {
            return self.reward_pools.append(pipeline, backends, &self.reward);
        };
        let service = Arc::new(move |reference: &str, reports: &[&str]| Ok(scored(service.score(reference, reports)?)));
        Ok(pipeline.stage(SERVICE, 1, move || Ok(RewardStage::new(service.clone()))))
    }
}
