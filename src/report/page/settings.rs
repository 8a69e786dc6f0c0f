//! The section of settings: how the arms differ, and everything that each was run with.

use std::collections::BTreeSet;

use super::{
    arms::Arm,
    detail::Detail,
    html::{Section, clip, details, escape, table},
};
use crate::report::run::Run;

/// Nothing, if no run has settings.
pub(super) fn section(arms: &[Arm<'_>], detail: Detail) -> Option<Section> {
    let runs = || arms.iter().flat_map(|arm| &arm.runs);
    let keys: BTreeSet<&String> = runs().flat_map(|run| run.settings.0.keys()).collect();
    if keys.is_empty() {
        return None;
    }
    let value = |arm: &Arm<'_>, key: &str| {
        let mut values: Vec<String> =
            arm.runs.iter().map(|run| run.settings.get(key).map_or("–".into(), |value| value.to_string())).collect();
        values.dedup();
        escape(&clip(&values.join(", "), detail.text.min(400)))
    };
    let row = |key: &str| {
        [escape(&clip(key, 120))].into_iter().chain(arms.iter().map(|arm| value(arm, key))).collect::<Vec<String>>()
    };
    let header: Vec<String> =
        ["Setting".to_owned()].into_iter().chain(arms.iter().map(|arm| escape(&arm.name))).collect();
    let differ = |key: &&&String| arms.iter().any(|arm| value(arm, key) != value(&arms[0], key));
    let mut body = String::new();
    if arms.len() > 1 {
        let rows: Vec<Vec<String>> = keys.iter().filter(differ).map(|key| row(key)).collect();
        body += &table("What the arms differ by", &header, &rows);
    }
    let members = |arm: &Arm<'_>| {
        let seed = |run: &Run| match run.settings.get("run.seed") {
            Some(seed) => format!("{} (seed {seed})", run.name),
            None => run.name.clone(),
        };
        vec![escape(&arm.name), escape(&arm.runs.iter().map(|run| seed(run)).collect::<Vec<_>>().join(", "))]
    };
    let rows: Vec<Vec<String>> = arms.iter().map(members).collect();
    body += &table("Which runs are which arm", &["Arm".into(), "Runs".into()], &rows);
    let rows: Vec<Vec<String>> = keys.iter().map(|key| row(key)).collect();
    body += &details("All settings", &table("All settings", &header, &rows));
    let lead = "Runs are one arm where nothing but the seed, and what cannot change a result, is different.";
    Some(Section { id: "settings", title: "Settings", lead: lead.into(), body })
}
