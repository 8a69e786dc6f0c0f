//! The reward of a report, and where rewards come from.

use std::collections::BTreeMap;

use addendum_studies::Study;
use serde::{Deserialize, Serialize};

use super::{
    case::Case,
    component::{Backend, Component},
};
use crate::{Error, Result};

/// The reward of one report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reward {
    /// The weighted sum. That of built-in components alone is in [0, sum of weights].
    pub total: f64,
    /// Each named component, unweighted. A built-in one is in [0, 1].
    pub components: BTreeMap<String, f64>,
}

/// A component of one report, its weight and its value.
pub type Weighed = (Component, f64, f64);

impl Reward {
    /// The weighted sum of components: first within, then over the back ends, in their order. So a chain of
    /// [`Scorer::parts`](crate::Scorer::parts), of which each adds its total, ends in the same bits.
    ///
    /// # Errors
    /// A value that is not finite.
    pub fn of(values: impl IntoIterator<Item = Weighed>) -> Result<Self> {
        let (mut shares, mut components) = (BTreeMap::<Backend, f64>::new(), BTreeMap::new());
        for (component, weight, value) in values {
            if !value.is_finite() {
                return Err(Error::NotFinite { component: component.name(), value });
            }
            // What a service answers as RaTEScore may be negative.
            let value = value.clamp(0., 1.);
            *shares.entry(component.backend()).or_default() += weight * value;
            components.insert(component.name().to_owned(), value);
        }
        Ok(Self { total: shares.values().fold(0., |sum, share| sum + share), components })
    }
}

/// What gives rewards, or shares of them, to the reports of a group: a [`Scorer`](crate::Scorer), a
/// [`Registered`](crate::Registered) component, a service.
pub trait RewardSource: Send + Sync {
    /// One reward per report, in order.
    ///
    /// # Errors
    /// Never a zero reward instead.
    fn rewards(&self, case: &Case<'_>) -> Result<Vec<Reward>>;

    /// Gets ready for reports of this study, if there is something to be known of it beforehand. It changes no reward:
    /// what fails here fails again when reports are there.
    fn foresee(&self, _study: &Study) {}
}
