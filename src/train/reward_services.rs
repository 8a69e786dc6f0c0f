//! Services over HTTP in the place of local back ends: one that scores, and one whose entities the editor sees.
//!
//! Only the training of a run asks them. Evaluations stay with the local back ends, so that runs are compared by the same
//! measure whoever gave their rewards.

use std::sync::Arc;

use addendum_editor::{EditConfig, Extractor};
use addendum_rewards::{Backends, RewardConfig};
use addendum_rewards_remote::{ExtractorService, RewardService, ServiceConfig};
use anyhow::{Result, ensure};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::reward_pools::RewardPools;

/// Where the services are; local back ends where none is named.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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

    /// The client of the reward service, if one is named.
    ///
    /// # Errors
    /// Impossible settings of the service, and components that services do not tell.
    pub fn rewarding(&self, reward: &RewardConfig) -> Result<Option<RewardService>> {
        Ok(self.reward.as_ref().map(|config| RewardService::new(config, reward)).transpose()?)
    }

    /// Refuses impossible settings of the reward and of services, and those that a service would leave unread.
    ///
    /// # Errors
    /// The first of them, with the service's address.
    pub fn validate(&self, reward: &RewardConfig, pools: &RewardPools, edit: &EditConfig) -> Result<()> {
        if let Some(config) = &self.edit {
            ensure!(
                edit.extractor == Extractor::Rate,
                "the edit service {} gives the entities of the extractor `rate`; expected no other one",
                config.url
            );
            ExtractorService::new(config)?;
        }
        let Some(config) = &self.reward else {
            reward.validate()?;
            return pools.validate(reward);
        };
        let url = &config.url;
        ensure!(pools.workers.is_empty(), "the reward service {url} has one stage; expected no workers");
        ensure!(reward.frequencies.is_empty(), "the reward service {url} has class frequencies of its own");
        self.rewarding(reward).map(drop)
    }
}
