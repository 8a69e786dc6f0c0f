use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How the rewards of a group become advantages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Normalize {
    /// Reward minus group mean (Dr. GRPO, arXiv 2503.20783).
    #[default]
    Mean,
    /// The same divided by the unbiased standard deviation of the group + 1e-6 (GRPO, arXiv 2402.03300, section 4.1.2).
    Std,
}

/// Keeps the advantages of a group with equal rewards finite.
const STD_FLOOR: f64 = 1e-6;

/// The advantages of one complete group of rewards, in the order of `rewards`.
///
/// A group with a single member has no baseline: it counts as mean 0 and standard deviation 1, so that its advantage
/// is its reward.
///
/// # Errors
/// A reward that is not finite, named by its position.
pub fn group_advantages(rewards: &[f64], normalize: Normalize) -> Result<Vec<f64>> {
    if let Some((index, reward)) = rewards.iter().enumerate().find(|(_, reward)| !reward.is_finite()) {
        return Err(Error::invalid(format!("reward {index} of a group"), format!("{reward} is not a finite number")));
    }
    let (mean, std) = if rewards.len() < 2 { (0.0, 1.0) } else { mean_and_std(rewards) };
    let divisor = match normalize {
        Normalize::Mean => 1.0,
        Normalize::Std => std + STD_FLOOR,
    };
    Ok(rewards.iter().map(|reward| (reward - mean) / divisor).collect())
}

/// Whether no member of the group has an advantage: all rewards are equal, or the only one is 0.
///
/// Not to be asked of the advantages, because a rounded mean differs from most rewards that it is the mean of.
pub fn without_advantage(rewards: &[f64]) -> bool {
    let baseline = if rewards.len() < 2 { 0.0 } else { rewards[0] };
    rewards.iter().all(|reward| *reward == baseline)
}

fn mean_and_std(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
    (mean, (squares / (count - 1.0)).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reward_that_is_not_finite_is_refused_by_position() {
        let error = group_advantages(&[0.5, f64::NAN], Normalize::Mean).unwrap_err().to_string();
        assert!(error.contains("reward 1") && error.contains("NaN"), "{error}");
    }

    #[test]
    fn an_empty_group_has_no_advantages() {
        assert!(group_advantages(&[], Normalize::Std).unwrap().is_empty());
    }

    #[test]
    fn equal_rewards_are_found_however_their_mean_is_rounded() {
        let mut rounded = 0;
        for size in 2..=12 {
            for hundredths in 0..=300 {
                let mut rewards = vec![f64::from(hundredths) / 100.0; size];
                let advantages = group_advantages(&rewards, Normalize::Mean).unwrap();
                rounded += usize::from(advantages.iter().any(|advantage| *advantage != 0.0));
                assert!(without_advantage(&rewards), "{rewards:?}");
                rewards[size - 1] = rewards[size - 1].next_up();
                assert!(!without_advantage(&rewards), "{rewards:?}");
            }
        }
        assert!(rounded > 0, "no mean was rounded: the test shows nothing");
        assert!(without_advantage(&[0.0]) && !without_advantage(&[0.7]), "a single reward has no baseline");
    }

    proptest::proptest! {
        #[test]
        fn advantages_sum_to_zero_and_ignore_a_common_offset(
            rewards in proptest::collection::vec(-3.0f64..3.0, 2..12),
            offset in -5.0f64..5.0,
        ) {
            for normalize in [Normalize::Mean, Normalize::Std] {
                let plain = group_advantages(&rewards, normalize).unwrap();
                let moved: Vec<f64> = rewards.iter().map(|reward| reward + offset).collect();
                let moved = group_advantages(&moved, normalize).unwrap();
                proptest::prop_assert!(plain.iter().sum::<f64>().abs() < 1e-6);
                for (a, b) in plain.iter().zip(&moved) {
                    proptest::prop_assert!((a - b).abs() < 1e-6);
                }
            }
        }
    }
}
