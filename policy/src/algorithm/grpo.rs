use super::rule::{Algorithm, Member, rewards};
use crate::{
    Result,
    objective::{Normalize, group_advantages},
};

pub(super) const NAME: &str = "grpo";

/// Rewards less their mean, divided by their standard deviation (Z. Shao et al., "DeepSeekMath", arXiv 2402.03300,
/// section 4.1.2).
#[derive(Clone, Copy, Debug, Default)]
pub struct Grpo;

impl Algorithm for Grpo {
    fn advantages(&self, group: &[Member]) -> Result<Vec<f64>> {
        group_advantages(&rewards(group), Normalize::Std)
    }
}
