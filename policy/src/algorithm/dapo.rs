//! DAPO (Q. Yu et al., "DAPO: An Open-Source LLM Reinforcement Learning System at Scale", arXiv 2503.14476). Its
//! advantages are GRPO's. Clip-higher (section 3.1) and the token-level loss (section 3.3) belong to the objective; the
//! rest is here, for any algorithm.

use std::sync::Arc;

use super::{
    grpo::Grpo,
    rule::{Algorithm, Member, rewards},
};
use crate::{Result, objective::without_advantage};

pub(super) const NAME: &str = "dapo";

/// DAPO's advantages: those of GRPO (arXiv 2503.14476, equation 9).
#[derive(Clone, Copy, Debug, Default)]
pub struct Dapo;

impl Algorithm for Dapo {
    fn advantages(&self, group: &[Member]) -> Result<Vec<f64>> {
        Grpo.advantages(group)
    }
}

/// Soft punishment of reports that are about to exceed the length limit (arXiv 2503.14476, equation 13).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OverlongPunishment {
    /// L_max, the longest response in tokens.
    pub limit: usize,
    /// L_cache: how many tokens before the limit the punishment sets in. At least 1.
    pub buffer: usize,
    /// What is taken from the reward at the limit and beyond; the paper takes 1.
    pub penalty: f64,
}

impl OverlongPunishment {
    /// What is added to the reward of a response of so many tokens; at most 0.
    pub fn of(&self, tokens: usize) -> f64 {
        let over = (tokens + self.buffer).saturating_sub(self.limit).min(self.buffer);
        // Not −0, which would show in logs.
        if over == 0 { 0.0 } else { -self.penalty * over as f64 / self.buffer as f64 }
    }
}

/// An algorithm with DAPO's techniques around it.
#[derive(Clone)]
pub struct Techniques {
    /// Makes the advantages, and what the techniques do not change.
    pub inner: Arc<dyn Algorithm>,
    /// Added to every reward before anything is made of it.
    pub overlong: Option<OverlongPunishment>,
    /// Overlong filtering (section 3.4): no token of a truncated response counts, though its reward still is in the
    /// baseline.
    pub mask_truncated: bool,
    /// Dynamic sampling (section 3.2): a group is worth a step only if its rewards differ.
    pub dynamic_sampling: bool,
}

impl Techniques {
    fn shaped(&self, group: &[Member]) -> Vec<Member> {
        let Some(overlong) = self.overlong else { return group.to_vec() };
        group.iter().map(|member| Member { reward: member.reward + overlong.of(member.tokens), ..*member }).collect()
    }

    fn masked(&self, member: &Member) -> bool {
        self.mask_truncated && member.truncated
    }
}

impl Algorithm for Techniques {
    fn advantages(&self, group: &[Member]) -> Result<Vec<f64>> {
        self.inner.advantages(&self.shaped(group))
    }

    fn mask(&self, member: &Member) -> Option<Vec<bool>> {
        if self.masked(member) { Some(vec![false; member.tokens]) } else { self.inner.mask(member) }
    }

    fn worthwhile(&self, group: &[Member]) -> bool {
        let group = self.shaped(group);
        let teaches = || !without_advantage(&rewards(&group)) && !group.iter().all(|member| self.masked(member));
        self.inner.worthwhile(&group) && (!self.dynamic_sampling || teaches())
    }
}
