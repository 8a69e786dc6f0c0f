//! Which candidates become a group.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::RunError;

/// What becomes of a copy that is no correction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unedited {
    /// It equals its source, which thus counts twice (EditGRPO, section 2).
    #[default]
    Duplicate,
    /// A further sample of the policy takes its place.
    Fresh,
}

/// Which edits are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// All that the editor makes (EditGRPO, section 2).
    #[default]
    All,
    /// Those that earn more than their source.
    Improving,
}

/// In which groups edits are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// In all (EditGRPO, section 2).
    #[default]
    Always,
    /// In those whose samples earn much the same.
    LowVariance,
}

/// Selection after reward: variants of EditGRPO that go beyond the paper, whose way is the default. The variant "grpo" has
/// no edits to select from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SelectConfig {
    /// What becomes of a copy that needs no edit: "duplicate" leaves it, so that its source counts twice; "fresh" puts one
    /// more sampled report in its place.
    pub unedited: Unedited,
    /// Which edits are kept: "all", or "improving", only those that earn more than their source. What becomes of a copy
    /// whose edit is not kept is for `unedited` to say: a duplicate of its source, or a further sample.
    pub keep: Keep,
    /// Which groups use edits: "always" all, "low_variance" those whose `group_size` sampled reports earn rewards with a
    /// standard deviation below `std_below`; the other groups are those sampled reports.
    pub when: When,
    /// The standard deviation (of the population) of a group's rewards below which `when = "low_variance"` uses edits, in
    /// units of the reward; above 0 there.
    pub std_below: f64,
}

impl SelectConfig {
    /// Whether it asks for anything but the paper's way.
    pub fn is_on(&self) -> bool {
        self.keep == Keep::Improving || self.needs_spares()
    }

    /// Whether a copy's place may go to a further sample.
    pub fn needs_spares(&self) -> bool {
        self.unedited == Unedited::Fresh || self.when == When::LowVariance
    }

    /// # Errors
    /// A threshold that can select nothing.
    pub(super) fn validate(&self) -> Result<(), RunError> {
        let threshold = self.std_below;
        let possible = threshold.is_finite() && (threshold > 0.0 || threshold == 0.0 && self.when == When::Always);
        match possible {
            true => Ok(()),
            false => Err(RunError::config("select.std_below", threshold, "a finite number above 0")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_that_selects_nothing_is_refused_where_it_counts() {
        let varied = SelectConfig { when: When::LowVariance, ..SelectConfig::default() };
        let error = varied.validate().unwrap_err().to_string();
        assert_eq!(error, "config: `select.std_below` is 0, expected a finite number above 0");
        assert!(SelectConfig { std_below: f64::NAN, ..varied }.validate().is_err());
        assert!(SelectConfig { std_below: 0.1, ..varied }.validate().is_ok());
        assert!(SelectConfig::default().validate().is_ok() && !SelectConfig::default().is_on());
    }
}
