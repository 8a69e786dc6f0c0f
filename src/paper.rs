//! The arms that the paper compares (EditGRPO, section 4), as settings.

use addendum_actors::{RunConfig, Variant};
use addendum_editor::EditConfig;
use addendum_policy::{
    LearnerConfig, LoraConfig, SamplingConfig,
    objective::{Aggregation, Normalize},
};
use addendum_rewards::RewardConfig;
use serde::{Deserialize, Serialize};

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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_a_round_trip() {
        let settings = Arm::EditGrpoPara.settings(&Settings::default());
        let json = serde_json::to_string(&settings).unwrap();
        let back: Settings = serde_json::from_str(&json).unwrap();
        assert_eq!(serde_json::to_string(&back).unwrap(), json);
    }
}
