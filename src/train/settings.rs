//! The arms that the paper compares (EditGRPO, section 4), as settings.

use addendum_actors::{RunConfig, Variant};
use addendum_editor::EditConfig;
use addendum_policy::{
    LearnerConfig, LoraConfig, SamplingConfig,
    objective::{Aggregation, Normalize},
    schedule::Decay,
};
use addendum_rewards::{Components, RewardConfig};
use addendum_rewards_remote::Patience;
use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::{reward_pools::RewardPools, reward_services::Services};

/// A way to post-train by reinforcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Arm {
    /// Group-normalised advantages, mean over each response's tokens (Shao et al. 2024).
    Grpo,
    /// Advantages not normalised, sums over tokens divided by a constant (Liu et al. 2025).
    DrGrpo,
    /// Dr. GRPO over groups whose second half is edited.
    EditGrpo,
    /// The same with GRPO's normalised advantages and means.
    EditGrpoNorm,
    /// EditGRPO with one member of each group replaced by the whole reference report.
    EditGrpoPara,
}

impl Arm {
    pub fn name(self) -> &'static str {
        match self {
            Self::Grpo => "GRPO",
            Self::DrGrpo => "Dr. GRPO",
            Self::EditGrpo => "EditGRPO",
            Self::EditGrpoNorm => "EditGRPO(norm)",
            Self::EditGrpoPara => "EditGRPO(para)",
        }
    }

    /// `base` with what makes this arm.
    pub fn settings(self, base: &Settings) -> Settings {
        let mut settings = base.clone();
        settings.run.variant = match self {
            Self::Grpo | Self::DrGrpo => Variant::Grpo,
            Self::EditGrpo | Self::EditGrpoNorm => Variant::EditGrpo,
            Self::EditGrpoPara => Variant::EditGrpoPara,
        };
        (settings.learner.advantage, settings.learner.objective.aggregation) = match self {
            Self::Grpo | Self::EditGrpoNorm => (Normalize::Std, Aggregation::SeqMeanTokenMean),
            Self::DrGrpo | Self::EditGrpo | Self::EditGrpoPara => (Normalize::Mean, Aggregation::SeqMeanTokenSumNorm),
        };
        settings
    }
}

/// Everything that decides what a run computes, besides policy and data.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    pub run: RunConfig,
    pub lora: LoraConfig,
    pub learner: LearnerConfig,
    pub sampling: SamplingConfig,
    pub edit: EditConfig,
    pub reward: RewardConfig,
    pub reward_pools: RewardPools,
    /// In the place of local back ends.
    pub services: Services,
    /// With the back ends of rewards, edits and evaluations.
    pub patience: Patience,
}

impl Settings {
    /// What the phantom benchmark was tuned to, on validation studies.
    pub fn phantoms() -> Self {
        let mut settings = Self::default();
        settings.run.steps = 400;
        settings.run.batch_groups = 8;
        settings.run.group_size = 8;
        settings.sampling.max_new_tokens = 96;
        settings.learner.objective.norm_length = 96.0;
        settings.learner.objective.kl_coefficient = 0.01;
        settings.learner.schedule.learning_rate = 5e-4;
        settings.learner.schedule.decay = Decay::Linear;
        settings
    }

    /// Refuses what a run would refuse later, when time was already spent on it.
    ///
    /// # Errors
    /// The first setting out of its range, with its value.
    pub fn validate(&self) -> Result<()> {
        self.run.validate()?;
        self.lora.validate()?;
        self.learner.validate()?;
        self.sampling.validate()?;
        self.edit.validate()?;
        self.services.validate(&self.reward, &Components::default(), &self.reward_pools, &self.edit)?;
        Ok(self.patience.validate()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_of_any_part_that_is_out_of_range_is_named() {
        assert!(Settings::default().validate().is_ok());
        let message = |change: fn(&mut Settings)| {
            let mut settings = Settings::default();
            change(&mut settings);
            settings.validate().unwrap_err().to_string()
        };
        assert!(message(|s| s.run.group_size = 7).contains("`group_size` is 7"));
        assert!(message(|s| s.lora.rank = 0).contains("lora.rank"));
        assert!(message(|s| s.learner.schedule.learning_rate = f64::NAN).contains("learning_rate: NaN"));
        assert!(message(|s| s.sampling.top_p = 2.0).contains("sampling.top_p: 2"));
        assert!(message(|s| s.edit.tau = -1.0).contains("tau is -1"));
        assert!(message(|s| s.reward.negation_weight = 2.0).contains("negation_weight` is 2"));
    }

    #[test]
    fn settings_survive_a_round_trip() {
        let settings = Arm::EditGrpoPara.settings(&Settings::default());
        let json = serde_json::to_string(&settings).unwrap();
        let back: Settings = serde_json::from_str(&json).unwrap();
        assert_eq!(serde_json::to_string(&back).unwrap(), json);
    }
}
