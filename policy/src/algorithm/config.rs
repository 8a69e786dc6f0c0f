use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    dapo::{self, Dapo, OverlongPunishment, Techniques},
    dr_grpo::{self, DrGrpo},
    grpo::{self, Grpo},
    rloo::{self, Rloo},
    rule::Algorithm,
};
use crate::{Error, Result};

/// The names that [`AlgorithmConfig::build`] knows.
pub const NAMES: [&str; 4] = [grpo::NAME, dr_grpo::NAME, rloo::NAME, dapo::NAME];

/// How the rewards of a group become advantages, and which groups and tokens are trained on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AlgorithmConfig {
    /// Which advantages: "dr-grpo" (reward minus group mean), "grpo" and "dapo" (the same divided by the group's standard
    /// deviation), "rloo" (reward minus the mean of the others), or an algorithm registered under a name of its own.
    pub name: String,
    /// Spend steps only on groups whose rewards differ; another group is sampled in the place of one whose do not.
    pub dynamic_sampling: bool,
    /// A report loses reward over this many tokens before the longest response, linearly up to `overlong_penalty`; at
    /// most the longest response. 0 turns this off.
    pub overlong_buffer: usize,
    /// Reward that a report of the longest length loses, at least 0.
    pub overlong_penalty: f64,
    /// Train on no token of a report that hit the length limit. Its reward still counts in the group's mean.
    pub mask_truncated: bool,
}

impl Default for AlgorithmConfig {
    fn default() -> Self {
        Self {
            name: dr_grpo::NAME.into(),
            dynamic_sampling: false,
            overlong_buffer: 0,
            overlong_penalty: 1.0,
            mask_truncated: false,
        }
    }
}

impl AlgorithmConfig {
    /// The algorithm with this name among [`NAMES`], with the techniques that the settings ask for.
    /// `max_response_tokens` is the longest response that is sampled.
    ///
    /// # Errors
    /// An unknown name; a setting out of its range.
    pub fn build(&self, max_response_tokens: usize) -> Result<Arc<dyn Algorithm>> {
        let inner: Arc<dyn Algorithm> = match self.name.as_str() {
            grpo::NAME => Arc::new(Grpo),
            dr_grpo::NAME => Arc::new(DrGrpo),
            rloo::NAME => Arc::new(Rloo),
            dapo::NAME => Arc::new(Dapo),
            unknown => {
                return Err(Error::invalid("name", format!("{unknown:?} is not one of {}", NAMES.join(", "))));
            }
        };
        self.around(inner, max_response_tokens)
    }

    /// `inner`, whatever its name, with the techniques that the settings ask for.
    ///
    /// # Errors
    /// A setting out of its range.
    pub fn around(&self, inner: Arc<dyn Algorithm>, max_response_tokens: usize) -> Result<Arc<dyn Algorithm>> {
        let (buffer, penalty) = (self.overlong_buffer, self.overlong_penalty);
        if buffer > max_response_tokens {
            let reason = format!("{buffer} is not at most the {max_response_tokens} tokens of the longest response");
            return Err(Error::invalid("overlong_buffer", reason));
        }
        if !(penalty.is_finite() && penalty >= 0.0) {
            return Err(Error::invalid("overlong_penalty", format!("{penalty} is not finite and not negative")));
        }
        let overlong = OverlongPunishment { limit: max_response_tokens, buffer, penalty };
        let overlong = (buffer > 0).then_some(overlong);
        let (mask_truncated, dynamic_sampling) = (self.mask_truncated, self.dynamic_sampling);
        Ok(Arc::new(Techniques { inner, overlong, mask_truncated, dynamic_sampling }))
    }
}
