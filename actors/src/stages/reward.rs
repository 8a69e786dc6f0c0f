//! The reward stage: scores every report of a group against the reference.

use std::sync::Arc;

use addendum_replay::{RolloutGroup, Scored};

use crate::{Stage, StageError};

/// Scores reports. Any function of that shape is one.
pub trait Score: Send + Sync {
    /// One reward per hypothesis, in order.
    ///
    /// # Errors
    /// Never a zero reward instead: a group that cannot be scored is tried again.
    fn score(&self, reference: &str, hypotheses: &[&str]) -> Result<Vec<Scored>, StageError>;
}

impl<F> Score for F
where
    F: Fn(&str, &[&str]) -> Result<Vec<Scored>, StageError> + Send + Sync,
{
    fn score(&self, reference: &str, hypotheses: &[&str]) -> Result<Vec<Scored>, StageError> {
        self(reference, hypotheses)
    }
}

impl Score for addendum_rewards::Scorer {
    fn score(&self, reference: &str, hypotheses: &[&str]) -> Result<Vec<Scored>, StageError> {
        Ok(scored(addendum_rewards::Scorer::score(self, reference, hypotheses)?))
    }
}

/// Rewards as a group records them.
pub fn scored(rewards: Vec<addendum_rewards::Reward>) -> Vec<Scored> {
    let scored = |reward: addendum_rewards::Reward| Scored { total: reward.total, components: reward.components };
    rewards.into_iter().map(scored).collect()
}

/// Scores every rollout of a group, all from one call. A chain of reward stages adds up: each adds its total and its
/// components to what a rollout already has, in the order of the chain.
///
/// A failed attempt leaves nothing to add to: its group is given up, and the next attempt samples another.
pub struct RewardStage {
    scorer: Arc<dyn Score>,
}

impl RewardStage {
    pub fn new(scorer: Arc<dyn Score>) -> Self {
        Self { scorer }
    }
}

impl Stage for RewardStage {
    /// # Errors
    /// Those of the scorer, another number of rewards than of reports, and a component that an earlier stage has
    /// recorded.
    fn process(&mut self, group: &mut RolloutGroup) -> Result<(), StageError> {
        let texts: Vec<&str> = group.rollouts.iter().map(|rollout| rollout.text.as_str()).collect();
        let rewards = self.scorer.score(group.study.reference.text(), &texts)?;
        if rewards.len() != group.rollouts.len() {
            return Err(format!("the scorer gave {} rewards for {} reports", rewards.len(), texts.len()).into());
        }
        for (rollout, reward) in group.rollouts.iter_mut().zip(rewards) {
            rollout.reward = Some(match rollout.reward.take() {
                None => reward,
                Some(earlier) => sum(earlier, reward)?,
            });
        }
        Ok(())
    }
}

fn sum(mut earlier: Scored, more: Scored) -> Result<Scored, StageError> {
    earlier.total += more.total;
    for (name, value) in more.components {
        if earlier.components.contains_key(&name) {
            return Err(format!("two reward stages give the component `{name}`").into());
        }
        earlier.components.insert(name, value);
    }
    Ok(earlier)
}
