//! The reward stage: judges every report of a group against its study.

use std::sync::Arc;

use addendum_replay::{RolloutGroup, Scored};
use addendum_rewards::{Case, Report, Reward, RewardSource};

use crate::{Stage, StageError};

/// Scores every rollout of a group, all from one call. A chain of reward stages adds up: each adds its total and its
/// components to what a rollout already has, in the order of the chain.
///
/// A failed attempt leaves nothing to add to: its group is given up, and the next attempt samples another.
pub struct RewardStage {
    source: Arc<dyn RewardSource>,
}

impl RewardStage {
    /// A stage that asks `source` for the rewards of a whole group at once.
    pub fn new(source: Arc<dyn RewardSource>) -> Self {
        Self { source }
    }
}

impl Stage for RewardStage {
    /// # Errors
    /// Those of the source, another number of rewards than of reports, and a component that an earlier stage has
    /// recorded.
    fn process(&mut self, group: &mut RolloutGroup) -> Result<(), StageError> {
        let reports: Vec<Report<'_>> = group
            .rollouts
            .iter()
            .map(|rollout| Report { text: &rollout.text, tokens: &rollout.tokens, truncated: rollout.truncated })
            .collect();
        let rewards = self.source.rewards(&Case { study: &group.study, reports: &reports })?;
        if rewards.len() != reports.len() {
            return Err(format!("the scorer gave {} rewards for {} reports", rewards.len(), reports.len()).into());
        }
        for (rollout, reward) in group.rollouts.iter_mut().zip(rewards) {
            rollout.reward = Some(match rollout.reward.take() {
                None => Scored { total: reward.total, components: reward.components },
                Some(earlier) => sum(earlier, reward)?,
            });
        }
        Ok(())
    }
}

fn sum(mut earlier: Scored, more: Reward) -> Result<Scored, StageError> {
    earlier.total += more.total;
    for (name, value) in more.components {
        if earlier.components.contains_key(&name) {
            return Err(format!("two reward stages give the component `{name}`").into());
        }
        earlier.components.insert(name, value);
    }
    Ok(earlier)
}
