//! The section of edits: what the editor did to the sampled reports, and what that earned.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    arms::Arm,
    curves::{Panel, Quantity, figures, one},
    detail::Detail,
    html::{Section, clip, escape, short, table},
    plot::Kind,
    series::Values,
};
use crate::report::run::Run;

/// The most operations that are told apart.
const MOST: usize = 6;

/// Nothing, if nothing was edited.
pub(super) fn section(arms: &[Arm<'_>], detail: Detail) -> Option<Section> {
    let operations = operations(arms);
    if operations.is_empty() {
        return None;
    }
    let mut body = String::from("<div class=\"plots\">\n");
    let shares = |operation: &'_ String| {
        let key = operation.clone();
        Quantity::new(name(operation), move |run: &Run| share(run, &key))
    };
    let kind = if arms.len() == 1 { Kind::Shares } else { Kind::Percent };
    let note = "Share of the copies; those without an edit needed none.";
    let by_operation = Panel {
        title: "Edits by operation".into(),
        note,
        kind,
        quantities: operations.iter().map(shares).collect(),
        smooth: true,
    };
    let gain = |operation: &'_ String| {
        let key = operation.clone();
        Quantity::new(name(operation), move |run: &Run| {
            (run.metrics.column("step"), run.metrics.columns("edit_gains").remove(&key).unwrap_or_default())
        })
    };
    let edited = operations.iter().filter(|operation| *operation != "none");
    let note = "Reward of an edited report minus that of its source.";
    let by_gain = Panel {
        title: "Gain by operation".into(),
        note,
        kind: Kind::Lines,
        quantities: edited.map(gain).collect(),
        smooth: true,
    };
    let all = one("Gain of all copies", "Copies without an edit gain nothing, and count.", "edit_gain");
    body += &figures(vec![by_operation, by_gain, all], arms, detail);
    body += "</div>\n";
    body += &totals(arms, &operations);
    let lead =
        "Each sampled report is corrected once from the reference. A copy that needs no correction stays as it is.";
    Some(Section { id: "edits", title: "Edits", lead: lead.into(), body })
}

/// Those of any run: known ones first, then by name, copies without an edit last.
fn operations(arms: &[Arm<'_>]) -> Vec<String> {
    let runs = arms.iter().flat_map(|arm| &arm.runs);
    let names: BTreeSet<String> = runs.flat_map(|run| run.metrics.columns("edits").into_keys()).collect();
    let rank = |name: &String| ["replace", "delete", "append"].iter().position(|known| known == name).unwrap_or(3);
    let mut names: Vec<String> = names.into_iter().collect();
    names.sort_by_key(|name| (name == "none", rank(name), name.clone()));
    if names.len() > MOST {
        names.truncate(MOST);
    }
    names
}

fn name(operation: &str) -> String {
    if operation == "none" { "no edit".into() } else { clip(operation, 60) }
}

/// The share of an operation among the copies of each step.
fn share(run: &Run, operation: &str) -> Values {
    let columns = run.metrics.columns("edits");
    let known = |value: f64| if value.is_finite() { value } else { 0.0 };
    let at = |step: usize| {
        let all: f64 = columns.values().map(|column| known(column[step])).sum();
        columns.get(operation).map_or(0.0, |column| known(column[step])) / all
    };
    (run.metrics.column("step"), (0..run.metrics.len()).map(at).collect())
}

/// What all edits of an arm came to.
fn totals(arms: &[Arm<'_>], operations: &[String]) -> String {
    let header = ["Arm", "Operation", "Edits", "Share of copies", "Mean gain"].map(str::to_owned);
    let mut rows = Vec::new();
    for arm in arms {
        let mut counts: BTreeMap<String, f64> = BTreeMap::new();
        let mut gains: BTreeMap<String, (f64, f64)> = BTreeMap::new();
        for run in &arm.runs {
            let mean = run.metrics.columns("edit_gains");
            for (operation, column) in run.metrics.columns("edits") {
                for (step, count) in column.iter().enumerate().filter(|(_, count)| count.is_finite()) {
                    *counts.entry(operation.clone()).or_default() += count;
                    let gain = mean.get(&operation).map_or(f64::NAN, |column| column[step]);
                    if gain.is_finite() {
                        let (sum, weight) = gains.entry(operation.clone()).or_default();
                        (*sum, *weight) = (*sum + gain * count, *weight + count);
                    }
                }
            }
        }
        let all: f64 = counts.values().sum();
        for operation in operations.iter().filter(|_| all > 0.0) {
            let count = counts.get(operation).copied().unwrap_or(0.0);
            let gain = gains.get(operation).map_or("–".into(), |(sum, weight)| short(sum / weight));
            let share = format!("{:.1} %", 100.0 * count / all);
            rows.push(vec![escape(&arm.name), escape(&name(operation)), format!("{count:.0}"), share, gain]);
        }
    }
    table("Edits of the whole training", &header, &rows)
}
