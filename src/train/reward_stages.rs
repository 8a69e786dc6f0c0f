//! The reward of a run as stages of the chain: those of its back ends, or the one of a service; then the registered
//! components, in the order of their names.

use std::sync::Arc;

use addendum_actors::Pipeline;
use addendum_rewards::{Backends, Components, Scorer};
use addendum_rewards_remote::ServiceConfig;
use anyhow::Result;

use super::{reward_pools::Named, settings::Settings};

/// The name of the stage that asks a service for rewards.
const SERVICE: &str = "reward_service";

impl Settings {
    /// Appends the reward: the stages of its back ends, or the one of a service, and those of registered components.
    ///
    /// # Errors
    /// As [`Services::validate`](super::reward_services::Services::validate).
    pub fn append_reward<S: Send + Sync + 'static>(
        &self,
        pipeline: Pipeline<S>,
        backends: Backends,
        components: &Components,
    ) -> Result<Pipeline<S>> {
        self.services.validate(&self.reward, components, &self.reward_pools, &self.edit)?;
        let mut pools = self.reward_pools.clone();
        let mut sources: Vec<Named> = match self.services.rewarding(&self.reward, components)? {
            Some(service) => {
                // Each waits for one server; none would be asked for more than one group at a time otherwise.
                pools.workers.insert(SERVICE.into(), self.services.reward.as_ref().map_or(1, ServiceConfig::servers));
                vec![(SERVICE.into(), Arc::new(service))]
            }
            None => {
                let parts = Scorer::built_in(backends, &self.reward, components)?.parts();
                parts.into_iter().map(|(backend, part)| (backend.name().to_owned(), Arc::new(part) as _)).collect()
            }
        };
        let registered = self.reward.registered(components)?;
        sources.extend(registered.into_iter().map(|one| (one.name().to_owned(), Arc::new(one) as _)));
        Ok(pools.append(pipeline, sources))
    }
}
