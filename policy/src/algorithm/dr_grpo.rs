use super::rule::{Algorithm, Member, rewards};
use crate::{
    Result,
    objective::{Normalize, group_advantages},
};

pub(super) const NAME: &str = "dr-grpo";

/// Rewards less their mean, so that easy and hard groups are not weighed up (Z. Liu et al., "Understanding R1-Zero-Like
/// Training", arXiv 2503.20783, section 3.2).
#[derive(Clone, Copy, Debug, Default)]
pub struct DrGrpo;

impl Algorithm for DrGrpo {
    fn advantages(&self, group: &[Member]) -> Result<Vec<f64>> {
        group_advantages(&rewards(group), Normalize::Mean)
    }
}
