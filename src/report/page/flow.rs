//! The section of the flow: how old the reports are that the learner sees, and who works and waits when.

use std::collections::BTreeMap;

use super::{
    arms::Arm,
    curves::{Panel, Quantity, figures, one},
    detail::Detail,
    html::{Section, clip, details, escape, table, time},
    plot::{Bar, Kind, bars, drawing, figure, legend, line, text},
    series::column,
};
use crate::report::{
    run::Run,
    scale::{Scale, number},
    timeline::{Span, Timeline},
};

/// Policy versions that a report may be behind and have a bar of their own; those behind by more share the last.
const LAGS: usize = 8;

/// Rows of a chart of actors, and the most spans that are drawn.
const ROWS: usize = 16;
const SPANS: usize = 1500;

/// Steps of the learner that a chart of actors shows.
const STEPS: usize = 4;

const CHART: f64 = 900.0;
const ROW: f64 = 22.0;

/// Activities by colour; waiting is drawn as nothing but a thin line. The last colour is for those that are not known.
const ACTIVITIES: [(&str, usize); 9] = [
    ("sampling", 0),
    ("step", 1),
    ("training", 1),
    ("processing", 2),
    ("publishing", 3),
    ("evaluating", 4),
    ("reading", 5),
    ("encoding", 5),
    ("foreseeing", 5),
];
const OTHER: usize = 6;

/// Nothing, if no run has made a step.
pub(super) fn section(arms: &[Arm<'_>], detail: Detail) -> Option<Section> {
    if arms.iter().flat_map(|arm| &arm.runs).all(|run| run.metrics.is_empty()) {
        return None;
    }
    let busy =
        vec![Quantity::new("samplers", column("sampler_busy")), Quantity::new("learner", column("learner_busy"))];
    let panels = vec![
        Panel {
            title: "Time spent computing".into(),
            note: "Share of the time.",
            kind: Kind::Percent,
            quantities: busy,
            smooth: true,
        },
        one("Sampled tokens per second", "Over all samplers.", "tokens_per_second"),
        one("Staleness", "Policy versions, mean over the groups of a step.", "staleness_mean"),
    ];
    let mut body = format!("<div class=\"plots\">\n{}{}</div>\n", staleness(arms), figures(panels, arms, detail));
    body += &actors(arms);
    body += &totals(arms);
    let lead = "Sampling, editing, rewarding and learning go on at the same time, so a report may come from an older policy \
                than the one that learns from it; the freshness gate bounds by how much.";
    Some(Section { id: "flow", title: "Flow", lead: lead.into(), body })
}

/// By how many versions the tokens of recorded samples lag behind the step that trained on them.
fn lags(run: &Run) -> [f64; LAGS] {
    let mut counts = [0.0; LAGS];
    for rollout in run.rollouts.iter().filter(|rollout| rollout.dropped.is_none()) {
        for (version, tokens) in &rollout.versions {
            let lag = rollout.step.saturating_sub(*version).min(LAGS as u64 - 1) as usize;
            counts[lag] += *tokens as f64;
        }
    }
    counts
}

fn staleness(arms: &[Arm<'_>]) -> String {
    let of_arm = |arm: &Arm<'_>| {
        let mut sum = [0.0; LAGS];
        arm.runs.iter().for_each(|run| sum.iter_mut().zip(lags(run)).for_each(|(sum, count)| *sum += count));
        let all: f64 = sum.iter().sum();
        sum.map(|count| if all > 0.0 { count / all } else { 0.0 })
    };
    let shares: Vec<[f64; LAGS]> = arms.iter().map(of_arm).collect();
    let Some(last) = (0..LAGS).rev().find(|lag| shares.iter().any(|shares| shares[*lag] > 0.0)) else {
        return String::new();
    };
    let name = |lag: usize| if lag + 1 == LAGS { format!("{lag} or more") } else { lag.to_string() };
    let list: Vec<Bar> = (0..=last.max(1))
        .map(|lag| Bar { name: name(lag), shares: shares.iter().map(|shares| shares[lag]).collect() })
        .collect();
    let names: Vec<String> = arms.iter().map(|arm| arm.name.clone()).collect();
    bars("Staleness of tokens", "Share of the tokens of recorded reports.", "policy versions behind", &names, &list)
}

/// A chart of the actors of each arm's first run that recorded them.
fn actors(arms: &[Arm<'_>]) -> String {
    let mut charts = String::new();
    for arm in arms {
        let recorded = arm.runs.iter().find_map(|run| Some((run, run.timeline.as_ref()?)));
        let Some((run, timeline)) = recorded else { continue };
        let title = if arms.len() == 1 { "Actors".into() } else { format!("Actors, {}", arm.name) };
        charts += &gantt(&title, run, timeline).unwrap_or_default();
    }
    if charts.is_empty() {
        return "<p class=\"aside\">These runs recorded no timeline of their actors. A run that <code>addendum train</code> \
                begins keeps that of its first steps; with <code>--trace FILE</code> it is the whole one.</p>\n"
            .into();
    }
    format!("<div class=\"wide\">\n{charts}</div>\n")
}

/// The moments between which a chart is drawn: whole steps of the learner in the middle of those that were recorded, as the
/// first fill the pipeline and the last empty it.
fn window(timeline: &Timeline) -> Option<(f64, f64)> {
    let steps: Vec<&Span> = timeline.spans.iter().filter(|span| span.name == "step").collect();
    let begin = steps.len().saturating_sub(STEPS) / 2;
    let chosen = &steps[begin..steps.len().min(begin + STEPS)];
    let (first, last) = match (chosen.first(), chosen.last()) {
        (Some(first), Some(last)) => (first.start, last.start + last.seconds),
        _ => {
            let ends = timeline.spans.iter().map(|span| span.start + span.seconds);
            (timeline.spans.first()?.start, ends.fold(0.0, f64::max))
        }
    };
    (last > first).then_some((first, last))
}

fn gantt(title: &str, run: &Run, timeline: &Timeline) -> Option<String> {
    let (first, last) = window(timeline)?;
    let mut tracks: Vec<usize> = (0..timeline.tracks.len()).collect();
    let within = |span: &&Span| span.start < last && span.start + span.seconds > first;
    tracks.retain(|track| timeline.spans.iter().filter(within).any(|span| span.track == *track));
    tracks.sort_by_key(|track| (rank(&timeline.tracks[*track]), timeline.tracks[*track].clone()));
    tracks.truncate(ROWS);
    let longest = tracks.iter().map(|track| timeline.tracks[*track].chars().count()).max()?.min(22);
    let left = 16.0 + 6.6 * longest as f64;
    let bottom = 10.0 + ROW * tracks.len() as f64;
    let x = Scale::new((0.0, last - first), (left, CHART - 14.0));
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut drawn = String::new();
    let step = x.step(8);
    for value in x.ticks(step) {
        let at = x.pixel(value);
        line(&mut drawn, (at, 6.0), (at, bottom), "grid");
        text(&mut drawn, (at, bottom + 15.0), "middle", &number(value, step, 0));
    }
    let mut used: BTreeMap<usize, String> = BTreeMap::new();
    for (row, track) in tracks.iter().enumerate() {
        let top = 8.0 + ROW * row as f64;
        let name: String = timeline.tracks[*track].chars().take(22).collect();
        text(&mut drawn, (left - 8.0, top + 13.0), "end", &name);
        line(&mut drawn, (left, top + 9.0), (CHART - 14.0, top + 9.0), "grid");
        let mut spent: BTreeMap<&str, f64> = BTreeMap::new();
        let spans = timeline.spans.iter().filter(|span| span.track == *track).filter(within);
        for span in spans.take(SPANS / tracks.len().max(1)) {
            let (start, end) = ((span.start - first).max(0.0), (span.start + span.seconds - first).min(last - first));
            *spent.entry(&span.name).or_default() += end - start;
            let width = x.pixel(end) - x.pixel(start);
            if span.name == "waiting" || width < 0.15 {
                continue;
            }
            let colour = ACTIVITIES.iter().find(|(name, _)| *name == span.name).map_or(OTHER, |(_, colour)| *colour);
            used.entry(colour).or_insert_with(|| if colour == OTHER { "other".into() } else { clip(&span.name, 40) });
            // What is within another span is drawn on it, and less high.
            let (top, height) = if span.name == "step" { (top + 3.0, 12.0) } else { (top + 1.0, 16.0) };
            let strength = if span.name == "step" { "half" } else { "bar" };
            drawn += &format!(
                "<rect class=\"{strength} c{colour}\" x=\"{:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{height:.0}\"/>\n",
                x.pixel(start),
                width.max(0.6)
            );
        }
        let spent: Vec<String> =
            spent.iter().map(|(name, seconds)| format!("{} {}", escape(&clip(name, 40)), precise(*seconds))).collect();
        rows.push(vec![escape(&clip(&timeline.tracks[*track], 60)), spent.join(", ")]);
    }
    text(&mut drawn, ((left + CHART) / 2.0, bottom + 32.0), "middle", "seconds");
    let said = format!(
        "{title}: who does what in {} of {}, one row per actor: {}.",
        precise(last - first),
        run.name,
        tracks.iter().map(|track| clip(&timeline.tracks[*track], 60)).collect::<Vec<_>>().join(", ")
    );
    let svg = drawing(CHART, bottom + 38.0, title, &said) + &drawn + "</svg>\n";
    let svg = format!(
        "<div class=\"scroll chart\" tabindex=\"0\" role=\"region\" aria-label=\"{}\">{svg}</div>",
        escape(title)
    );
    let keys = legend(used.iter().map(|(colour, name)| (*colour, name.as_str(), String::new())));
    let note = "Whole steps in the middle of those that were recorded. A row is an actor, or one of the things that it does at the same time; \
                where it is empty, the actor waits.";
    let header = ["Actor", "Time spent"].map(str::to_owned);
    Some(figure(title, note, &keys, &svg, &details("Table", &table(title, &header, &rows))))
}

/// Actors in the order in which a group passes them.
fn rank(track: &str) -> usize {
    let order =
        ["ahead", "sampler", "editor", "chexbert", "radgraph", "rate", "select", "learner", "evaluator", "recorder"];
    let unknown = order.len() - 3;
    order
        .iter()
        .position(|actor| track.starts_with(actor))
        .map_or(unknown, |place| if place >= unknown { place + 1 } else { place })
}

fn precise(seconds: f64) -> String {
    if seconds < 1.0 { format!("{:.0} ms", 1000.0 * seconds) } else { time(seconds) }
}

/// What a run did not do as it should: a row for each run.
fn totals(arms: &[Arm<'_>]) -> String {
    let header = ["Run", "Steps", "Time", "Tokens per second", "Given up", "Retried", "Restarts", "Skipped steps"];
    let mut rows = Vec::new();
    for run in arms.iter().flat_map(|arm| &arm.runs) {
        let last = |name: &str| run.metrics.column(name).last().copied().filter(|value| value.is_finite());
        let finite =
            |name: &str| run.metrics.column(name).into_iter().filter(|value| value.is_finite()).collect::<Vec<f64>>();
        let seconds = finite("seconds");
        let tokens: Vec<f64> = finite("tokens_per_second");
        let mean = tokens.iter().sum::<f64>() / tokens.len() as f64;
        let count = |name: &str| last(name).map_or("–".into(), |value| format!("{value:.0}"));
        let skipped = run.steps.iter().filter(|step| step.stats.skipped).count();
        let planned = run.planned_steps().map_or(String::new(), |steps| format!(" of {steps}"));
        rows.push(vec![
            escape(&run.name),
            format!("{}{planned}", run.metrics.len()),
            time(seconds.iter().sum()),
            if mean.is_finite() { format!("{mean:.0}") } else { "–".into() },
            count("dead_letters"),
            count("retries"),
            count("restarts"),
            skipped.to_string(),
        ]);
    }
    table("Runs", &header.map(str::to_owned), &rows)
}
