//! Components that users register by name, to be weighed like the built-in ones.

use std::{collections::BTreeMap, fmt, sync::Arc};

use super::{
    case::{Case, Score},
    component::{Component, quoted},
    reward::{Reward, RewardSource},
};
use crate::{Error, Result};

/// What a name may consist of.
const NAME: &str = "ASCII letters, digits, `_` and `-`, at least one";

/// Components by name. Registering one does not compute it: [`RewardConfig::weights`](crate::RewardConfig::weights)
/// chooses.
///
/// ```
/// use addendum_rewards::{Case, Components, RewardConfig};
///
/// let whole = |case: &Case<'_>| Ok(case.reports.iter().map(|report| f64::from(!report.truncated)).collect());
/// let mut components = Components::default();
/// components.register("whole", whole)?;
///
/// let mut reward = RewardConfig::default();
/// reward.weights.insert("whole".into(), 0.5);
/// assert_eq!(reward.registered(&components)?[0].name(), "whole");
///
/// reward.weights.insert("hole".into(), 0.5);
/// assert!(reward.validate(&components).unwrap_err().to_string().contains("nearest is `whole`"));
/// # Ok::<(), addendum_rewards::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Components(BTreeMap<String, Arc<dyn Score>>);

impl Components {
    /// Makes `score` known as `name`, in settings, records and metrics.
    ///
    /// # Errors
    /// A name with other characters than ASCII letters, digits, `_` and `-`, of a built-in component, or taken.
    pub fn register(&mut self, name: impl Into<String>, score: impl Score + 'static) -> Result<()> {
        let name = name.into();
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let refuse = |expected: &str| Err(Error::setting("name of a reward component", &name, expected));
        if name.is_empty() || !name.chars().all(plain) {
            return refuse(NAME);
        }
        if Component::find(&name).is_some() {
            return refuse("a name that no built-in component has");
        }
        if self.0.contains_key(&name) {
            return refuse("a name that was not registered before");
        }
        self.0.insert(name, Arc::new(score));
        Ok(())
    }

    /// In alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(super) fn weighed(&self, name: &str, weight: f64) -> Result<Registered> {
        match self.0.get(name) {
            Some(score) => Ok(Registered { name: name.into(), weight, score: score.clone() }),
            None => Err(self.unknown(name)),
        }
    }

    fn unknown(&self, name: &str) -> Error {
        let known: Vec<&str> = Component::ALL.map(Component::name).into_iter().chain(self.names()).collect();
        let nearest = known.iter().min_by_key(|other| distance(name, other)).map_or("", |other| other);
        Error::UnknownComponent { name: name.into(), nearest: nearest.into(), known: quoted(known) }
    }
}

impl fmt::Debug for Components {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

/// A registered component with its weight.
#[derive(Clone)]
pub struct Registered {
    name: String,
    weight: f64,
    score: Arc<dyn Score>,
}

impl Registered {
    /// As it was registered.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl RewardSource for Registered {
    /// Weight times value, and the value as component.
    ///
    /// # Errors
    /// Those of the component, another number of values than of reports, and values that are not finite; all with the
    /// component's name.
    fn rewards(&self, case: &Case<'_>) -> Result<Vec<Reward>> {
        let failed = |reason: String| Error::Registered { component: self.name.clone(), reason };
        let values = self.score.score(case).map_err(|error| failed(error.to_string()))?;
        if values.len() != case.reports.len() {
            return Err(failed(format!("{} values for {} reports", values.len(), case.reports.len())));
        }
        if let Some((index, value)) = values.iter().enumerate().find(|(_, value)| !value.is_finite()) {
            return Err(failed(format!("the value of report {index} is {value}; expected a finite number")));
        }
        let reward = |value| Reward { total: self.weight * value, components: [(self.name.clone(), value)].into() };
        Ok(values.into_iter().map(reward).collect())
    }
}

/// Insertions, deletions and substitutions between two names.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use addendum_studies::{Reference, Study};

    use super::*;
    use crate::{Report, RewardConfig, ScoreError};

    /// Less for every token, and less still for a report without an end.
    fn brevity(case: &Case<'_>) -> Result<Vec<f64>, ScoreError> {
        let value = |report: &Report<'_>| -(report.tokens.len() as f64) - f64::from(u8::from(report.truncated));
        Ok(case.reports.iter().map(value).collect())
    }

    fn components() -> Components {
        let mut components = Components::default();
        components.register("brevity", brevity).unwrap();
        components
    }

    fn score(score: impl Score + 'static, weight: f64) -> Result<Vec<Reward>> {
        let mut components = Components::default();
        components.register("own", score)?;
        let reference = Reference::new("No effusion.");
        let study =
            Study { id: "s".into(), views: vec![], indication: None, technique: None, comparison: None, reference };
        let report = |tokens, truncated| Report { text: "Edema.", tokens, truncated };
        let reports = [report(&[1, 2], false), report(&[1], true)];
        components.weighed("own", weight)?.rewards(&Case { study: &study, reports: &reports })
    }

    #[test]
    fn a_component_is_weighed_and_recorded_as_it_is_even_below_zero() {
        let rewards = score(brevity, 0.5).unwrap();
        assert_eq!(rewards.iter().map(|reward| reward.total).collect::<Vec<_>>(), [-1., -1.]);
        assert_eq!(rewards[1].components, [("own".to_owned(), -2.)].into());
        assert_eq!(score(brevity, 0.).unwrap()[0].total, 0.);
    }

    #[test]
    fn what_is_not_one_finite_value_per_report_is_an_error_with_the_name() {
        let message = |values: Result<Vec<f64>, &'static str>| {
            let own = move |_: &Case<'_>| values.clone().map_err(ScoreError::from);
            score(own, 1.).unwrap_err().to_string()
        };
        assert_eq!(message(Ok(vec![1.])), "reward component `own`: 1 values for 2 reports");
        assert!(message(Ok(vec![1., f64::NAN])).contains("`own`: the value of report 1 is NaN"));
        assert_eq!(message(Err("no network")), "reward component `own`: no network");
    }

    #[test]
    fn names_are_plain_and_nobody_elses() {
        let refused = |name: &str| components().register(name, brevity).unwrap_err().to_string();
        assert!(refused("").contains("ASCII letters"));
        assert!(refused("a.b").contains("`a.b`") || refused("a.b").contains("a.b;"));
        assert!(refused("rate").contains("built-in"));
        assert!(refused("brevity").contains("not registered before"));
    }

    #[test]
    fn an_unknown_name_is_told_all_names_and_the_nearest() {
        let weights = [("brevty".to_owned(), 1.)].into();
        let error = RewardConfig { weights, ..RewardConfig::default() }.validate(&components()).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("nearest is `brevity`") && message.contains("`radgraph_simple`"), "{message}");
        assert_eq!(error.field().as_deref(), Some("weights.brevty"));
    }

    #[test]
    fn only_what_is_weighed_is_computed() {
        let config = RewardConfig::default();
        assert!(config.registered(&components()).unwrap().is_empty());
        let weights = [("rate".to_owned(), 0.), ("brevity".to_owned(), 1.)].into();
        let config = RewardConfig { weights, ..RewardConfig::default() };
        assert_eq!(config.registered(&components()).unwrap()[0].name(), "brevity");
        assert!(config.validate(&components()).is_ok());
    }
}
