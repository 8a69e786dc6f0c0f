//! Services over HTTP in the place of local back ends: one that scores, and one whose entities the editor sees.
//!
//! Only the training of a run asks them. Evaluations stay with the local back ends, so that runs are compared by the same
//! measure whoever gave their rewards.

use std::sync::Arc;

use addendum_actors::{
    Pipeline,
    stages::{RewardStage, scored},
};
use addendum_editor::Extractor;
use addendum_rewards::{Backends, RewardConfig};
use addendum_rewards_remote::{ExtractorService, RewardService, ServiceConfig};
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use crate::paper::Settings;

/// The name of the stage that asks for rewards.
const STAGE: &str = "reward_service";

/// Where the services are; local back ends where none is named.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Services {
    /// Gives the reward's components, by `/predict`.
    pub reward: Option<ServiceConfig>,
    /// Gives the entities of edits, by `/analyze`.
    pub edit: Option<ServiceConfig>,
}

impl Services {
    /// `backends` with the entities of the service, if one is named.
    ///
    /// # Errors
    /// Impossible settings of the service.
    pub fn editing(&self, backends: &Backends) -> Result<Backends> {
        let mut backends = backends.clone();
        if let Some(config) = &self.edit {
            backends.entities = Arc::new(ExtractorService::new(config)?);
        }
        Ok(backends)
    }

    fn rewarding(&self, reward: &RewardConfig) -> Result<Option<RewardService>> {
        Ok(self.reward.as_ref().map(|config| RewardService::new(config, reward)).transpose()?)
    }
}

impl Settings {
    /// Refuses impossible settings of the reward and of services, and those that a service would leave unread.
    pub(crate) fn validate_reward(&self) -> Result<()> {
        if let Some(config) = &self.services.edit {
            ensure!(
                self.edit.extractor == Extractor::Rate,
                "the edit service {} gives the entities of the extractor `rate`; expected no other one",
                config.url
            );
            ExtractorService::new(config)?;
        }
        let Some(config) = &self.services.reward else {
            self.reward.validate()?;
            return self.reward_pools.validate(&self.reward);
        };
        let url = &config.url;
        ensure!(self.reward_pools.workers.is_empty(), "the reward service {url} has one stage; expected no workers");
        ensure!(self.reward.frequencies.is_empty(), "the reward service {url} has class frequencies of its own");
        self.services.rewarding(&self.reward).map(drop)
    }

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
        Ok(pipeline.stage(STAGE, 1, move || RewardStage::new(service.clone())))
    }
}
