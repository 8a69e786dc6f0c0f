//! The top of the page: what was run, how it went, in one glance.

use super::{
    arms::Arm,
    html::{Head, clip, escape, points, short, signed_points, time},
    results::{Scored, headline},
};
use crate::report::run::Run;

/// The most arms that have a line.
const MOST: usize = 8;

pub(super) fn of(title: Option<&str>, arms: &[Arm<'_>], tables: &[Scored]) -> Head {
    let runs: Vec<&Run> = arms.iter().flat_map(|arm| arm.runs.iter().copied()).collect();
    let own = || match (arms, runs.as_slice()) {
        ([arm], [run]) if arm.name == run.name => run.name.clone(),
        ([arm], [run]) => format!("{}: {}", arm.name, run.name),
        ([arm], _) => format!("{}, {} seeds", arm.name, arm.runs.len()),
        (arms, runs) => format!("{} arms in {} runs", arms.len(), runs.len()),
    };
    let title = clip(&title.map_or_else(own, str::to_owned), 200);
    let mut body = format!("<p class=\"summary\">{}</p>\n", escape(&summary(arms, &runs)));
    body += &format!("<ul class=\"tiles\">{}</ul>\n", tiles(&runs, tables, arms.len()).join(""));
    Head { title, body }
}

/// What was done, in a sentence or two.
fn summary(arms: &[Arm<'_>], runs: &[&Run]) -> String {
    let mut said = Vec::new();
    if let [run] = runs {
        let setting = |key: &str| run.settings.get(key).map(|value| value.to_string().trim_matches('"').to_owned());
        let of = |key: &str| setting(key).unwrap_or_else(|| "?".into());
        if run.settings.get("run.batch_groups").is_some() {
            said.push(format!(
                "{} steps of {} studies with {} reports each, from {}.",
                run.metrics.len(),
                of("run.batch_groups"),
                of("run.group_size"),
                clip(&setting("policy.name").unwrap_or_else(|| "a checkpoint".into()), 100)
            ));
        }
    } else {
        let names = arms.iter().take(MOST).map(|arm| match arm.runs.len() {
            1 => arm.name.clone(),
            seeds => format!("{} ({seeds} seeds)", arm.name),
        });
        said.push(format!("{}.", names.collect::<Vec<_>>().join("; ")));
    }
    said.extend(runs.iter().filter_map(|run| unfinished(run)));
    said.join(" ")
}

/// What is missing of a run.
fn unfinished(run: &Run) -> Option<String> {
    let done = run.metrics.len() as u64;
    match run.planned_steps() {
        _ if done == 0 => Some(format!("{} has made no step yet.", run.name)),
        Some(planned) if done < planned => Some(format!("{} has made {done} of {planned} steps.", run.name)),
        _ => None,
    }
}

fn tile(name: &str, value: &str, note: &str) -> String {
    format!("<li><span>{}</span><strong>{}</strong><small>{}</small></li>", escape(name), escape(value), escape(note))
}

fn tiles(runs: &[&Run], tables: &[Scored], arms: usize) -> Vec<String> {
    let mut tiles = Vec::new();
    for (name, before, after, gap) in headline(tables).into_iter().take(MOST) {
        let set = tables.first().map_or("", |scored| scored.set.as_str());
        let note = match gap {
            Some(gap) => format!("{} to {} (95 %)", points(gap.low), points(gap.high)),
            None => String::new(),
        };
        let name = if arms == 1 { "Average score".into() } else { name };
        let note = format!("{} → {}{}{note}", points(before), points(after), if note.is_empty() { "" } else { "; " });
        tiles.push(tile(&name, &signed_points(after - before), &format!("{note}. {set}")));
    }
    let finite = |run: &Run, name: &str| -> Vec<f64> {
        run.metrics.column(name).into_iter().filter(|value| value.is_finite()).collect()
    };
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    if let [run] = runs {
        let rewards = finite(run, "reward_sampled");
        let tenth = rewards.len().div_ceil(10);
        if tenth > 0 {
            let (first, last) = (mean(&rewards[..tenth]), mean(&rewards[rewards.len() - tenth..]));
            tiles.push(tile(
                "Reward of sampled reports",
                &short(last),
                &format!("from {}; means of a tenth of the steps", short(first)),
            ));
        }
        let tokens = finite(run, "tokens_per_second");
        if !tokens.is_empty() {
            tiles.push(tile("Sampled tokens per second", &format!("{:.0}", mean(&tokens)), "mean over the steps"));
        }
    }
    let seconds: f64 = runs.iter().flat_map(|run| finite(run, "seconds")).sum();
    let steps: usize = runs.iter().map(|run| run.metrics.len()).sum();
    if steps > 0 {
        let note = format!("{steps} steps, {} each", time(seconds / steps as f64));
        tiles.push(tile("Time of training", &time(seconds), &note));
    }
    let last = |name: &str| -> f64 { runs.iter().filter_map(|run| finite(run, name).last().copied()).sum() };
    let (restarts, given_up) = (last("restarts"), last("dead_letters"));
    let value = if restarts + given_up == 0.0 { "none".into() } else { format!("{:.0}", restarts + given_up) };
    tiles.push(tile("Faults", &value, &format!("{restarts:.0} restarts, {given_up:.0} studies given up")));
    tiles
}
