//! What of the settings binds a run: which of them a resumed run must share with the one it goes on with.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::{
    Settings,
    error::{Problem, SettingsError},
    schema::{self, Node, Resume},
};
use addendum_policy::schedule::Decay;

/// Settings by key, as text.
pub type Flat = BTreeMap<String, String>;

/// How a setting that was not given reads.
const UNSET: &str = "not set";

impl Settings {
    /// The settings that decide about the result, by key.
    ///
    /// # Errors
    /// As [`Settings::table`].
    pub fn identity(&self) -> Result<Flat, SettingsError> {
        let mut identity = self.flat(|resume| resume == Resume::Binds)?;
        if self.learner.schedule.decay == Decay::Constant {
            // A constant rate never asks how many steps there are.
            identity.remove("learner.schedule.total_steps");
        }
        Ok(identity)
    }

    fn flat(&self, wanted: impl Fn(Resume) -> bool) -> Result<Flat, SettingsError> {
        let mut flat = Flat::new();
        flatten(&self.table()?, schema::root(), "", Resume::Binds, &mut |key, value, resume| {
            if wanted(resume) {
                flat.insert(key, value);
            }
        });
        Ok(flat)
    }

    /// Whether a run under `saved` may go on under these settings: every difference that would change its result, and
    /// those that change roundings only.
    ///
    /// # Errors
    /// As [`Settings::table`].
    pub fn differences(&self, saved: &Self) -> Result<Differences, SettingsError> {
        let mut binding = differing(&saved.identity()?, &self.identity()?);
        if self.run.steps < saved.run.steps {
            let reason = format!(
                "is {}, the run was started with {}: it may only become longer",
                self.run.steps, saved.run.steps
            );
            binding.push(Problem::new("run.steps", reason));
        } else if self.run.steps > saved.run.steps && self.learner.schedule.decay != Decay::Constant {
            let reason = format!(
                "is {}, the run was started with {}: its learning rate decays over them (`learner.schedule.decay`)",
                self.run.steps, saved.run.steps
            );
            binding.push(Problem::new("run.steps", reason));
        }
        let roundings = |settings: &Self| settings.flat(|resume| resume == Resume::Rounding);
        Ok(Differences { binding, rounding: differing(&roundings(saved)?, &roundings(self)?) })
    }
}

/// In what a resumed run's settings differ from those that it was started with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// They would change the result, so a resume refuses them.
    pub binding: Vec<Problem>,
    /// They change roundings, so a resume says so and goes on.
    pub rounding: Vec<Problem>,
}

fn differing(saved: &Flat, now: &Flat) -> Vec<Problem> {
    let unset = UNSET.to_string();
    let keys: std::collections::BTreeSet<&String> = saved.keys().chain(now.keys()).collect();
    let differs = |key: &String| {
        let (was, is) = (saved.get(key).unwrap_or(&unset), now.get(key).unwrap_or(&unset));
        (was != is).then(|| Problem::new(key.as_str(), format!("is {is}, the run was started with {was}")))
    };
    keys.into_iter().filter_map(differs).collect()
}

fn flatten(table: &Table, node: Node<'_>, above: &str, resume: Resume, visit: &mut impl FnMut(String, String, Resume)) {
    for (key, value) in table {
        let path = if above.is_empty() { key.clone() } else { format!("{above}.{key}") };
        let child = node.child(key);
        let resume = child.map_or(resume, |child| child.resume(resume));
        match (value, child) {
            (Value::Table(inner), Some(child)) => flatten(inner, child, &path, resume, visit),
            (value, _) => visit(path, value.to_string(), resume),
        }
    }
}
