use super::rule::{Algorithm, Member, rewards};
use crate::{
    Result,
    objective::{Normalize, group_advantages},
};

pub(super) const NAME: &str = "rloo";

/// REINFORCE with the mean reward of the *other* members as the baseline, which keeps the estimate unbiased (A. Ahmadian
/// et al., "Back to Basics", arXiv 2402.14740, section 3.3). A single member has no others: its advantage is its reward.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rloo;

impl Algorithm for Rloo {
    fn advantages(&self, group: &[Member]) -> Result<Vec<f64>> {
        let mut advantages = group_advantages(&rewards(group), Normalize::Mean)?;
        let others = group.len().saturating_sub(1);
        if others > 0 {
            // R − (S − R) / (n − 1) = (R − S / n) · n / (n − 1)
            let factor = group.len() as f64 / others as f64;
            advantages.iter_mut().for_each(|advantage| *advantage *= factor);
        }
        Ok(advantages)
    }
}
