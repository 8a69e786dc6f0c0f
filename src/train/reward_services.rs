//! Services over HTTP in the place of local back ends: one that scores, and one whose entities the editor sees.
//!
//! Only the training of a run asks them. Evaluations stay with the local back ends, so that runs are compared by the same
//! measure whoever gave their rewards.

use std::sync::Arc;

use addendum_editor::{EditConfig, Extractor};
use addendum_rewards::{Backends, Components, RewardConfig};
use addendum_rewards_remote::{ExtractorService, RewardService, ServiceConfig};
use anyhow::{Result, ensure};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{reward_pools::RewardPools, settings::Problem};

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

    /// Actors of the editor: as many as there are servers, because each of them waits for one study's entities.
    pub fn editors(&self) -> usize {
        self.edit.as_ref().map_or(1, ServiceConfig::servers)
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
                config.name()
            );
            ExtractorService::new(config).map_err(of_service("edit"))?;
        }
        let registered: Vec<String> =
            reward.registered(components)?.iter().map(|component| component.name().to_owned()).collect();
        let Some(config) = &self.reward else {
            reward.validate(components)?;
            let backends = reward.backends(components)?.into_iter().map(|backend| backend.name().to_owned());
            return Ok(pools.validate(&backends.chain(registered).collect::<Vec<_>>())?);
        };
        let name = config.name();
        pools.validate(&registered)?;
        ensure!(reward.frequencies.is_empty(), "the reward service {name} has class frequencies of its own");
        RewardService::built_in(config, reward, components).map(drop).map_err(of_service("reward"))
    }
}

/// A wrong setting of a service by its key; what is wrong with the reward itself stays as it is.
fn of_service(section: &str) -> impl Fn(addendum_rewards::Error) -> anyhow::Error {
    move |error| match error.field() {
        Some(field) if !field.starts_with("weights") => {
            Problem::new(format!("services.{section}.{field}"), error).into()
        }
        _ => error.into(),
    }
}
