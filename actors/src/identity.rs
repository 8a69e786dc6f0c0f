//! What binds a run: a checkpoint made under another identity is one of another run.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// Everything that decides what a run computes, by name.
pub type Identity = BTreeMap<String, String>;

/// A name under which a run and the checkpoint that it is to resume say different things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// As in the manifest of the checkpoint.
    pub name: String,
    /// What this run says; `None` if it does not know the name.
    pub now: Option<String>,
    /// What the run that wrote the checkpoint said; `None` if it did not know the name.
    pub then: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, now, then } = self;
        match now {
            Some(now) => write!(f, "{name} is {now}, ")?,
            None => write!(f, "{name} is not given, ")?,
        }
        match then {
            Some(then) => write!(f, "the run was started with {then}"),
            None => write!(f, "the run was started without it"),
        }
    }
}

/// Every difference, sorted by name.
pub(crate) fn differences(now: &Identity, then: &Identity) -> Vec<Difference> {
    let names: BTreeSet<_> = now.keys().chain(then.keys()).collect();
    let difference = |name: &String| {
        let (now, then) = (now.get(name).cloned(), then.get(name).cloned());
        (now != then).then(|| Difference { name: name.clone(), now, then })
    };
    names.into_iter().filter_map(difference).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_that_differs_or_stands_on_one_side_only_is_listed_with_both_values() {
        let identity = |pairs: &[(&str, &str)]| -> Identity {
            pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
        };
        let now = identity(&[("beta", "0.01"), ("data", "b"), ("rate", "0.001")]);
        let then = identity(&[("beta", "0.01"), ("policy", "a"), ("rate", "0.0005")]);
        let said: Vec<String> = differences(&now, &then).iter().map(Difference::to_string).collect();
        assert_eq!(
            said,
            [
                "data is b, the run was started without it",
                "policy is not given, the run was started with a",
                "rate is 0.001, the run was started with 0.0005",
            ]
        );
        assert_eq!(differences(&then, &then), []);
    }
}
