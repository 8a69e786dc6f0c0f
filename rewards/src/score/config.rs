//! What a reward is made of, as configuration, and its check.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    component::{Backend, Component, quoted},
    registered::{Components, Registered},
};
use crate::{Error, Observation, Result, metrics::rate};

/// What a share is.
const SHARE: &str = "a number from 0 to 1";

/// What the reward is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RewardConfig {
    /// Weight of each component in the reward's sum, 0 or more: `chexbert`, `chexbert_5`, `chexbert_weighted`, `radgraph`,
    /// `radgraph_simple`, `radgraph_complete`, `rate`, and what was registered. One that is not named is not computed, one
    /// of weight 0 is computed and recorded but does not count.
    ///
    /// | name | of one report and its reference |
    /// |:--|:--|
    /// | `chexbert` | micro F1 over CheXbert's 14 observations |
    /// | `chexbert_5` | the same over the five of the leaderboards |
    /// | `chexbert_weighted` | [inverse-frequency weighted accuracy](crate::metrics::chexbert::WeightedAccuracy), its mean over the 14: at most 0.5. Needs `frequencies` |
    /// | `radgraph`, `radgraph_simple`, `radgraph_complete` | RadGraph F1 at the partial, simple and complete level |
    /// | `rate` | RaTEScore |
    pub weights: BTreeMap<String, f64>,
    /// The share of training references that assert each of the 14 observations, by name, in [0, 1]. Only
    /// `chexbert_weighted` needs them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub frequencies: BTreeMap<Observation, f64>,
    /// The share of a RaTEScore match that remains when one report asserts what the other denies, in [0, 1].
    pub negation_weight: f64,
    /// How many references keep their annotations, per back end; one longer than 1 KiB counts as several, 0 keeps none.
    #[schemars(extend("x-resume" = "free"))]
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
    /// Names that are neither built in nor registered, negative or non-finite weights, a reward without any positive
    /// weight, a share or a negation weight outside [0, 1], and missing shares where a component needs them.
    pub fn validate(&self, components: &Components) -> Result<()> {
        let weights = self.built_in(components)?;
        if !(0. ..=1.).contains(&self.negation_weight) {
            return Err(Error::setting("negation_weight", self.negation_weight, SHARE));
        }
        if let Some((observation, &value)) = self.frequencies.iter().find(|(_, share)| !(0. ..=1.).contains(*share)) {
            return Err(Error::setting(format!("frequencies.{}", observation.name()), value, SHARE));
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
    pub fn backends(&self, components: &Components) -> Result<Vec<Backend>> {
        let mut backends: Vec<Backend> = self.built_in(components)?.into_keys().map(Component::backend).collect();
        backends.dedup();
        Ok(backends)
    }

    /// The weights of the built-in components.
    ///
    /// # Errors
    /// As [`RewardConfig::validate`], for the weights.
    pub fn built_in(&self, components: &Components) -> Result<BTreeMap<Component, f64>> {
        Ok(self.weighed(components)?.0)
    }

    /// The registered components that have a weight, in the order of their names.
    ///
    /// # Errors
    /// As [`RewardConfig::validate`], for the weights.
    pub fn registered(&self, components: &Components) -> Result<Vec<Registered>> {
        Ok(self.weighed(components)?.1)
    }

    fn weighed(&self, components: &Components) -> Result<(BTreeMap<Component, f64>, Vec<Registered>)> {
        let (mut built_in, mut registered) = (BTreeMap::new(), Vec::new());
        for (name, &weight) in &self.weights {
            if !weight.is_finite() || weight < 0. {
                return Err(Error::setting(format!("weights.{name}"), weight, "a finite number, 0 or more"));
            }
            match Component::find(name) {
                Some(component) => drop(built_in.insert(component, weight)),
                None => registered.push(components.weighed(name, weight)?),
            }
        }
        if !self.weights.values().any(|&weight| weight > 0.) {
            let names = Component::ALL.map(Component::name).into_iter().chain(components.names());
            return Err(Error::NoComponent { known: quoted(names) });
        }
        Ok((built_in, registered))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(weights: &[(&str, f64)], frequencies: &[(Observation, f64)]) -> String {
        let weights = weights.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        let frequencies = frequencies.iter().copied().collect();
        let config = RewardConfig { weights, frequencies, ..RewardConfig::default() };
        config.validate(&Components::default()).unwrap_err().to_string()
    }

    #[test]
    fn impossible_configurations_are_refused_by_name() {
        let unknown = refusal(&[("bleu", 1.)], &[]);
        assert!(unknown.contains("`bleu`") && unknown.contains("`radgraph_complete`"), "{unknown}");
        assert!(refusal(&[("rate", -1.)], &[]).contains("-1"));
        assert!(refusal(&[("rate", f64::NAN)], &[]).contains("NaN"));
        assert!(refusal(&[("rate", 0.)], &[]).contains("positive weight"));
        let negation = RewardConfig { negation_weight: 1.5, ..RewardConfig::default() };
        assert!(negation.validate(&Components::default()).unwrap_err().to_string().contains("1.5"));
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
        assert!(
            RewardConfig { weights, frequencies: all.into(), ..RewardConfig::default() }
                .validate(&Components::default())
                .is_ok()
        );
    }

    #[test]
    fn back_ends_come_once_and_in_the_order_of_the_sum() {
        let weights = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), 1.)).collect();
        let config = RewardConfig { weights: weights(&["rate", "chexbert", "chexbert_5"]), ..RewardConfig::default() };
        assert_eq!(config.backends(&Components::default()).unwrap(), [Backend::Chexbert, Backend::Rate]);
        assert_eq!(RewardConfig::default().backends(&Components::default()).unwrap(), Backend::ALL);
    }
}
