//! On how many actors the reward is computed. Each back end, and each registered component, is a stage of its own, so that
//! each has its own actors, and its own device where [`Weights`](crate::train::reward_models::Weights) names one. Groups
//! pass through them one after the other; while one stage scores a group, another scores the next.
//!
//! Nothing here changes a reward: the stages add up, in a fixed order, to what one stage would give.

use std::{collections::BTreeMap, sync::Arc};

use addendum_actors::{Pipeline, Pool, stages::RewardStage};
use addendum_rewards::{Error, Result, RewardSource};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A source of rewards with the name of its stage.
pub(super) type Named = (String, Arc<dyn RewardSource>);

/// On how many actors the reward is computed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RewardPools {
    /// Actors of each stage of the reward, at least 1: `chexbert`, `radgraph`, `rate`, and registered components by name;
    /// one where not named. They share the model.
    #[schemars(extend("x-resume" = "free"))]
    pub workers: BTreeMap<String, usize>,
}

impl RewardPools {
    /// # Errors
    /// No actors, and actors of a stage that is not among `stages`.
    pub fn validate(&self, stages: &[String]) -> Result<()> {
        for (name, &workers) in &self.workers {
            let refuse = |expected: String| Err(Error::setting(format!("workers.{name}"), workers, expected));
            if !stages.contains(name) {
                return refuse(format!("a stage of this reward; it has {}", stages.join(", ")));
            }
            if workers == 0 {
                return refuse("at least 1".into());
            }
        }
        Ok(())
    }

    /// Appends a stage for each source, in their order.
    pub(super) fn append<S: Send + Sync + 'static>(&self, pipeline: Pipeline<S>, sources: Vec<Named>) -> Pipeline<S> {
        sources.into_iter().fold(pipeline, |pipeline, (name, source)| {
            let workers = self.workers.get(&name).copied().unwrap_or(1);
            let ahead = source.clone();
            let stage = Pool::computing(name, workers, move || Ok(RewardStage::new(source.clone())));
            pipeline.append(stage.foresee(move |study| ahead.foresee(study)))
        })
    }
}
