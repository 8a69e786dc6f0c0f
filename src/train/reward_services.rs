//! Services over HTTP in the place of local back ends: one that scores, and one whose entities the editor sees.
//!
//! Only the training of a run asks them. Evaluations stay with the local back ends, so that runs are compared by the same
//! measure whoever gave their rewards.

use std::sync::Arc;

use addendum_editor::{EditConfig, Extractor};
use addendum_rewards::{Backends, Components, RewardConfig};
use addendum_rewards_remote::{ExtractorService, RewardService, ServiceConfig};
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use super::reward_pools::RewardPools;

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

    /// The client of the reward service, if one is named.
    ///
    /// # Errors
    /// Impossible settings of the service, and components that services do not tell.
    pub fn rewarding(&self, reward: &RewardConfig, components: &Components) -> Result<Option<RewardService>> {
        let client = |config| RewardService::built_in(config, reward, components);
        Ok(self.reward.as_ref().map(client).transpose()?)
    }

    /// Refuses impossible settings of the reward and of services, and those that a service would leave unread.
    ///
    /// # Errors
    /// The first of them, with the service's address.
    pub fn validate(
        &self,
        reward: &RewardConfig,
        components: &Components,
        pools: &RewardPools,
        edit: &EditConfig,
    ) -> Result<()> {
        if let Some(config) = &self.edit {
            ensure!(
                edit.extractor == Extractor::Rate,
                "the edit service {} gives the entities of the extractor `rate`; expected no other one",
                config.url
            );
            ExtractorService::new(config)?;
        }
        let registered: Vec<String> =
            reward.registered(components)?.iter().map(|component| component.name().to_owned()).collect();
        let Some(config) = &self.reward else {
            reward.validate(components)?;
            let backends = reward.backends(components)?.into_iter().map(|backend| backend.name().to_owned());
            return Ok(pools.validate(&backends.chain(registered).collect::<Vec<_>>())?);
        };
        let url = &config.url;
        pools.validate(&registered)?;
        ensure!(reward.frequencies.is_empty(), "the reward service {url} has class frequencies of its own");
        self.rewarding(reward, components).map(drop)
    }
}
