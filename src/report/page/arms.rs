//! Which runs are one arm: those that differ by nothing but the seed.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use super::html::clip;
use crate::report::run::Run;

/// Settings that change what a run costs or where it is, not what it is.
const FREE: [&str; 13] = [
    "run.seed",
    "run.samplers",
    "run.prefetch",
    "run.checkpoint_every",
    "run.checkpoint_minutes",
    "run.keep_checkpoints",
    "run.recorded_groups",
    "policy.device",
    "policy.sampler_devices",
    "policy.learner_devices",
    "policy.kept_features_bytes",
    "sampler.max_sequences",
    "sampler.prefill_tokens",
];
const FREE_PARTS: [&str; 4] = ["run.threads.", "reward_pools.", "telemetry.", "patience."];

/// Settings whose differences are worth a place in an arm's name.
const NAMED: usize = 3;

/// Characters of a name.
const LONGEST: usize = 100;

/// Runs with the same settings.
pub(super) struct Arm<'a> {
    pub name: String,
    pub runs: Vec<&'a Run>,
}

type Identity = BTreeMap<String, String>;

/// The arms, in the order of their first runs.
pub(super) fn of(runs: &[Run]) -> Vec<Arm<'_>> {
    let mut arms: Vec<(Identity, Vec<&Run>)> = Vec::new();
    for run in runs {
        let identity = identity(run);
        match arms.iter_mut().find(|(other, _)| *other == identity && !identity.is_empty()) {
            Some((_, same)) => same.push(run),
            None => arms.push((identity, vec![run])),
        }
    }
    let names = names(&arms);
    arms.into_iter().zip(names).map(|((_, runs), name)| Arm { name: clip(&name, LONGEST), runs }).collect()
}

fn identity(run: &Run) -> Identity {
    let binds = |key: &str| !FREE.contains(&key) && !FREE_PARTS.iter().any(|part| key.starts_with(part));
    let settings = run.settings.0.iter().filter(|(key, _)| binds(key));
    settings.map(|(key, value)| (key.clone(), value.to_string())).collect()
}

fn names(arms: &[(Identity, Vec<&Run>)]) -> Vec<String> {
    let own: Vec<String> = arms.iter().filter_map(|(_, runs)| method(runs[0])).collect();
    if own.iter().collect::<BTreeSet<_>>().len() == arms.len() {
        return own;
    }
    let keys: BTreeSet<&String> = arms.iter().flat_map(|(identity, _)| identity.keys()).collect();
    let differ = |key: &&&String| arms.iter().any(|(identity, _)| identity.get(**key) != arms[0].0.get(**key));
    let differing: Vec<&String> = keys.iter().filter(differ).copied().collect();
    let named = arms.iter().map(|(identity, runs)| {
        let said: Vec<String> = differing.iter().filter_map(|key| Some(said(key, identity.get(*key)?))).collect();
        match said.len() {
            0 => runs[0].name.clone(),
            1..=NAMED => said.join(", "),
            _ => format!("{}, …", said[..NAMED].join(", ")),
        }
    });
    let named: Vec<String> = named.collect();
    let distinct = named.iter().collect::<BTreeSet<_>>().len() == named.len();
    let numbered = |(name, (_, runs)): (String, &(Identity, Vec<&Run>))| match distinct {
        true => name,
        false => format!("{name} ({})", runs[0].name),
    };
    named.into_iter().zip(arms).map(numbered).collect()
}

/// `keep improving`: the last part of a key, and of a value that is a path.
fn said(key: &str, value: &str) -> String {
    let value = value.trim_matches('"');
    let last = Path::new(value).file_name().filter(|_| value.starts_with('/'));
    let value = last.map_or(value.into(), |last| last.to_string_lossy());
    format!("{} {value}", key.rsplit('.').next().unwrap_or(key).replace('_', " "))
}

/// What the run's own results call it, or its settings.
fn method(run: &Run) -> Option<String> {
    let tested = run.tests.first().and_then(|study| study.reports.last()).map(|report| report.policy.clone());
    let summed = || run.summary.last().map(|(policy, _)| policy.clone());
    let set = || match (run.settings.text("run.variant")?, run.settings.text("algorithm.name")?) {
        ("edit_grpo", "dr-grpo") => Some("EditGRPO".into()),
        ("edit_grpo", "grpo") => Some("EditGRPO(norm)".into()),
        ("edit_grpo_para", "dr-grpo") => Some("EditGRPO(para)".into()),
        ("grpo", "dr-grpo") => Some("Dr. GRPO".into()),
        ("grpo", "grpo") => Some("GRPO".into()),
        (variant, algorithm) => Some(format!("{variant}, {algorithm}")),
    };
    tested.or_else(summed).or_else(set)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::run::Keys;

    fn run(name: &str, settings: &[(&str, &str)]) -> Run {
        let keys = settings.iter().map(|(key, value)| (key.to_string(), toml::Value::String(value.to_string())));
        Run { name: name.into(), settings: Keys(keys.collect()), ..Run::default() }
    }

    #[test]
    fn runs_that_differ_by_the_seed_and_by_where_they_ran_are_one_arm() {
        let runs = [
            run("a", &[("run.seed", "1"), ("edit.tau", "0.6"), ("policy.device", "cpu")]),
            run("b", &[("run.seed", "2"), ("edit.tau", "0.6"), ("policy.device", "cuda:0")]),
            run("c", &[("run.seed", "1"), ("edit.tau", "0.7")]),
        ];
        let arms = of(&runs);
        let found: Vec<(&str, usize)> = arms.iter().map(|arm| (arm.name.as_str(), arm.runs.len())).collect();
        assert_eq!(found, [("tau 0.6", 2), ("tau 0.7", 1)]);
    }

    #[test]
    fn an_arm_goes_by_what_tells_it_from_the_others() {
        let settings = |keep, path| {
            [
                ("run.variant", "edit_grpo"),
                ("algorithm.name", "dr-grpo"),
                ("run.select.keep", keep),
                ("policy.path", path),
            ]
        };
        let alone = [run("a", &settings("all", "/x/one"))];
        assert_eq!(of(&alone)[0].name, "EditGRPO");
        let two = [run("a", &settings("all", "/x/one")), run("b", &settings("improving", "/x/two"))];
        let names: Vec<String> = of(&two).into_iter().map(|arm| arm.name).collect();
        assert_eq!(names, ["path one, keep all", "path two, keep improving"]);
        let other =
            [run("a", &settings("all", "/x/one")), run("b", &[("run.variant", "grpo"), ("algorithm.name", "grpo")])];
        assert_eq!(of(&other)[1].name, "GRPO");
        // Runs without settings are nobody's seeds.
        assert_eq!(of(&[run("a", &[]), run("b", &[])]).len(), 2);
    }
}
