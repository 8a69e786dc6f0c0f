//! The reward as stages of the chain: one for each back end, so that each has its own actors, and its own device where
//! [`Weights`](crate::train::reward_models::Weights) names one. Groups pass through them one after the other; while one back end
//! scores a group, another scores the next.
//!
//! Nothing here changes a reward: the stages add up, in a fixed order, to what one stage would give.

use std::{collections::BTreeMap, sync::Arc};

use addendum_actors::{Pipeline, stages::RewardStage};
use addendum_rewards::{Backend, Backends, RewardConfig, Scorer};
use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

/// On how many actors the reward is computed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RewardPools {
    /// Actors of each back end; one where not named. They share the model.
    pub workers: BTreeMap<Backend, usize>,
}

impl RewardPools {
    /// # Errors
    /// No actors, and actors of a back end that `reward` does not need.
    pub fn validate(&self, reward: &RewardConfig) -> Result<()> {
        let needed = reward.backends()?;
        for (backend, &workers) in &self.workers {
            if workers == 0 {
                bail!("workers of the reward's back end `{backend}` is 0; expected at least 1");
            }
            if !needed.contains(backend) {
                bail!("workers of a back end: the reward has no component of `{backend}`");
            }
        }
        Ok(())
    }

    /// Appends the stages of the reward, named by their back ends, in the order of its sum.
    ///
    /// # Errors
    /// As [`RewardPools::validate`] and [`Scorer::new`].
    pub fn append<S: Send + Sync + 'static>(
        &self,
        pipeline: Pipeline<S>,
        backends: Backends,
        reward: &RewardConfig,
    ) -> Result<Pipeline<S>> {
        self.validate(reward)?;
        let parts = Scorer::new(backends, reward)?.parts();
        Ok(parts.into_iter().fold(pipeline, |pipeline, (backend, scorer)| {
            let (scorer, workers) = (Arc::new(scorer), self.workers.get(&backend).copied().unwrap_or(1));
            pipeline.stage(backend.name(), workers, move || Ok(RewardStage::new(scorer.clone())))
        }))
    }
}
