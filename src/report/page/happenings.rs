//! The section of what happened besides steps: restarts, checkpoints, faults.

use super::{
    arms::Arm,
    detail::Detail,
    html::{Section, clip, details, escape, table, time},
};
use crate::report::{events::Happening, run::Run};

/// Events that a healthy run has too.
const USUAL: [&str; 5] = ["started", "checkpoint", "evaluated", "ended", "stopped"];

/// The most events of a run that are listed, and those of them that are unusual.
const MOST: usize = 60;

/// Nothing, if no run kept its events.
pub(super) fn section(arms: &[Arm<'_>], detail: Detail) -> Option<Section> {
    let runs: Vec<&Run> =
        arms.iter().flat_map(|arm| arm.runs.iter().copied()).filter(|run| !run.events.is_empty()).collect();
    if runs.is_empty() {
        return None;
    }
    let mut body = String::new();
    for run in &runs {
        let unusual: Vec<&Happening> = run.events.iter().filter(|one| !USUAL.contains(&one.kind.as_str())).collect();
        let name = match unusual.len() {
            0 => format!("{}: nothing unusual", run.name),
            count => format!("{}: {count} unusual", run.name),
        };
        if !unusual.is_empty() {
            body += &list(&name, &unusual, detail);
        }
        let all: Vec<&Happening> = run.events.iter().collect();
        body += &details(
            &format!("{name}, {} events in all", all.len()),
            &list(&format!("Events of {}", run.name), &all, detail),
        );
    }
    let lead = "Restarts, failed evaluations and signs of trouble, beside checkpoints and evaluations. Seconds count from the \
                start of the process, and begin anew when a run is resumed.";
    Some(Section { id: "events", title: "Events", lead: lead.into(), body })
}

fn list(caption: &str, events: &[&Happening], detail: Detail) -> String {
    let header = ["Step", "Time", "Event", "What"].map(str::to_owned);
    let most = MOST.min(detail.points);
    // The first ones say how it began, the last ones how it ended.
    let shown: Vec<&&Happening> = match events.len() {
        count if count <= most => events.iter().collect(),
        count => events[..most / 2].iter().chain(&events[count - most / 2..]).collect(),
    };
    let row = |one: &&&Happening| {
        let actor = one.actor.as_ref().map_or(String::new(), |actor| format!("{actor}: "));
        let version = one.version.map_or(String::new(), |version| format!("version {version}. "));
        let text = clip(&format!("{version}{actor}{}", one.text), 240);
        vec![one.step.to_string(), time(one.seconds), escape(&clip(&one.kind, 40)), escape(&text)]
    };
    let rows: Vec<Vec<String>> = shown.iter().map(row).collect();
    let caption = match events.len() - shown.len() {
        0 => caption.to_owned(),
        left => format!("{caption} ({left} of them left out)"),
    };
    table(&caption, &header, &rows)
}
