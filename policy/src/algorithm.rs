//! What sets GRPO and its relatives apart before the loss: the advantages of a group, which of its tokens count, and
//! whether it is worth a step.
//!
//! What else belongs to an algorithm, the clip range, the aggregation and the KL penalty, is in
//! [`ObjectiveConfig`]; [`usual_objective`] has what the papers use.

mod config;
mod dapo;
mod dr_grpo;
mod grpo;
mod rloo;
mod rule;

pub use config::{AlgorithmConfig, NAMES};
pub use dapo::{Dapo, OverlongPunishment, Techniques};
pub use dr_grpo::DrGrpo;
pub use grpo::Grpo;
pub use rloo::Rloo;
pub use rule::{Algorithm, Member};

use crate::objective::{Aggregation, ClipRange, ObjectiveConfig};

/// The objective that the paper of the algorithm with this name uses, with everything it leaves open at its default;
/// `None` for a name that is not one of [`NAMES`]. The divisor of a constant normalisation is the user's to choose.
pub fn usual_objective(name: &str) -> Option<ObjectiveConfig> {
    let with = |aggregation| ObjectiveConfig { aggregation, ..ObjectiveConfig::default() };
    match name {
        grpo::NAME => Some(with(Aggregation::SeqMeanTokenMean)),
        dr_grpo::NAME => Some(with(Aggregation::SeqMeanTokenSumNorm)),
        rloo::NAME => Some(with(Aggregation::SeqMeanTokenSum)),
        dapo::NAME => Some(ObjectiveConfig {
            clip: ClipRange { low: 0.2, high: 0.28 },
            kl_coefficient: 0.0,
            ..with(Aggregation::TokenMean)
        }),
        _ => None,
    }
}

/// The settings that the paper of the algorithm with this name uses besides its [`usual_objective`]; `None` for a name
/// that is not one of [`NAMES`].
pub fn usual_config(name: &str) -> Option<AlgorithmConfig> {
    let dynamic_sampling = name == dapo::NAME;
    NAMES.contains(&name).then(|| AlgorithmConfig { name: name.into(), dynamic_sampling, ..AlgorithmConfig::default() })
}

#[cfg(test)]
mod tests;
