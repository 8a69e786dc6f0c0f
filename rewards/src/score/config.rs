//! What a reward is made of, as configuration, and its check.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::component::{Backend, Component, quoted};
use crate::{Error, Observation, Result, metrics::rate};

/// What the reward is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RewardConfig {
    /// Weight of each component. A component that is not named is not computed, one of weight 0 is computed and
    /// recorded but does not count.
    ///
    /// | name | of one report and its reference |
    /// |:--|:--|
    /// | `chexbert` | micro F1 over CheXbert's 14 observations |
    /// | `chexbert_5` | the same over the five of the leaderboards |
    /// | `chexbert_weighted` | [inverse-frequency weighted accuracy](crate::metrics::chexbert::WeightedAccuracy), its mean over the 14: at most 0.5. Needs `frequencies` |
    /// | `radgraph`, `radgraph_simple`, `radgraph_complete` | RadGraph F1 at the partial, simple and complete level |
    /// | `rate` | RaTEScore |
    pub weights: BTreeMap<String, f64>,
    /// The share of training references that assert each of the 14 observations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub frequencies: BTreeMap<Observation, f64>,
    /// What an opposite presence leaves of a RaTEScore match.
    pub negation_weight: f64,
    /// How many references keep their annotations, per back end; one longer than 1 KiB counts as several.
    pub cached_references: usize,
}

impl Default for RewardConfig {
    /// The paper's reward: the plain sum of the three.
    fn default() -> Self {
        Self {
            weights: Component::PAPER.map(|component| (component.name().to_owned(), 1.)).into(),
            frequencies: BTreeMap::new(),
            negation_weight: rate::Weights::default().negation,
            cached_references: 4096,
        }
    }
}

impl RewardConfig {
    /// # Errors
    /// Unknown component names, negative or non-finite weights, a reward without any positive weight, a share or a
    /// negation weight outside [0, 1], and missing shares where a component needs them.
    pub fn validate(&self) -> Result<()> {
        let weights = self.checked_weights()?;
        if !(0. ..=1.).contains(&self.negation_weight) {
            return Err(Error::Weight { name: "negation_weight".into(), value: self.negation_weight });
        }
        if let Some((observation, &value)) = self.frequencies.iter().find(|(_, share)| !(0. ..=1.).contains(*share)) {
            return Err(Error::Frequency { observation: observation.name(), value });
        }
        let missing = || Observation::ALL.into_iter().filter(|class| !self.frequencies.contains_key(class));
        if weights.contains_key(&Component::ChexbertWeighted) && missing().next().is_some() {
            let component = Component::ChexbertWeighted.name();
            return Err(Error::MissingFrequencies { component, missing: quoted(missing().map(Observation::name)) });
        }
        Ok(())
    }

    /// The back ends that the reward needs, in the order of its sum.
    ///
    /// # Errors
    /// As [`RewardConfig::validate`], for the weights.
    pub fn backends(&self) -> Result<Vec<Backend>> {
        let mut backends: Vec<Backend> = self.checked_weights()?.into_keys().map(Component::backend).collect();
        backends.dedup();
        Ok(backends)
    }

    /// The weights by component.
    ///
    /// # Errors
    /// As [`RewardConfig::validate`], for the weights.
    pub fn checked_weights(&self) -> Result<BTreeMap<Component, f64>> {
        let mut weights = BTreeMap::new();
        for (name, &value) in &self.weights {
            if !value.is_finite() || value < 0. {
                return Err(Error::Weight { name: name.clone(), value });
            }
            weights.insert(Component::named(name)?, value);
        }
        if !weights.values().any(|&weight| weight > 0.) {
            return Err(Error::NoComponent { known: Component::known() });
        }
        Ok(weights)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(weights: &[(&str, f64)], frequencies: &[(Observation, f64)]) -> String {
        let weights = weights.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        let frequencies = frequencies.iter().copied().collect();
        let config = RewardConfig { weights, frequencies, ..RewardConfig::default() };
        config.validate().unwrap_err().to_string()
    }

    #[test]
    fn impossible_configurations_are_refused_by_name() {
        let unknown = refusal(&[("bleu", 1.)], &[]);
        assert!(unknown.contains("`bleu`") && unknown.contains("`radgraph_complete`"), "{unknown}");
        assert!(refusal(&[("rate", -1.)], &[]).contains("-1"));
        assert!(refusal(&[("rate", f64::NAN)], &[]).contains("NaN"));
        assert!(refusal(&[("rate", 0.)], &[]).contains("positive weight"));
        let negation = RewardConfig { negation_weight: 1.5, ..RewardConfig::default() };
        assert!(negation.validate().unwrap_err().to_string().contains("1.5"));
    }

    #[test]
    fn the_weighted_accuracy_wants_a_share_of_every_observation() {
        let weighted = [("chexbert_weighted", 1.)];
        let all = Observation::ALL.map(|observation| (observation, 0.25));
        let missing = refusal(&weighted, &all[1..]);
        assert!(missing.contains("`chexbert_weighted`") && missing.contains("Enlarged Cardiomediastinum"), "{missing}");
        assert!(!missing.contains("Edema"), "{missing}");
        let out = refusal(&[("rate", 1.)], &[(Observation::Edema, 1.5)]);
        assert!(out.contains("Edema") && out.contains("1.5"), "{out}");
        let weights = [("chexbert_weighted".to_owned(), 1.)].into();
        assert!(RewardConfig { weights, frequencies: all.into(), ..RewardConfig::default() }.validate().is_ok());
    }

    #[test]
    fn back_ends_come_once_and_in_the_order_of_the_sum() {
        let weights = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), 1.)).collect();
        let config = RewardConfig { weights: weights(&["rate", "chexbert", "chexbert_5"]), ..RewardConfig::default() };
        assert_eq!(config.backends().unwrap(), [Backend::Chexbert, Backend::Rate]);
        assert_eq!(RewardConfig::default().backends().unwrap(), Backend::ALL);
    }
}
