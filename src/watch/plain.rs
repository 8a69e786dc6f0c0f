//! A run as plain text: for pipes, scripts and screen readers.

use std::fmt::Write;

use super::{
    change::{Change, changes},
    draw::{Theme, actor_state, age, alarm, difference, event_text, number, out, state, timing},
    view::View,
};
use crate::report::terminal::sparkline;

/// Events that are told.
const EVENTS: usize = 10;
/// Characters of a curve.
const CURVE: usize = 60;

/// What there is to say at the moment, one thing a line.
pub fn snapshot(view: &View) -> String {
    let mut text = String::new();
    let mut line = |name: &str, what: String| {
        if !what.is_empty() {
            // A string takes everything.
            let _ = writeln!(text, "{name:<10} {what}");
        }
    };
    let (_, words, _) = state(view, Theme { colours: false });
    line("run", view.source.clone());
    line("state", words);
    line("alarm", alarm(view).unwrap_or_default());
    line("method", view.method.clone().unwrap_or_default());
    let steps = view.steps.map_or_else(|| "?".into(), |steps| steps.to_string());
    line("step", [vec![format!("{} of {steps}", view.done)], timing(view)].concat().join(", "));
    for name in ["sampled", "edited"] {
        line(name, curve(view.curve(name)));
    }
    for (name, points) in &view.components {
        line(name, curve(points));
    }
    for (name, points) in view.averages() {
        line("held out", format!("{name} {}", curve(points)));
    }
    for name in ["KL", "entropy"] {
        line(name, curve(view.curve(name)));
    }
    for actor in view.actors() {
        let (word, share, _) = actor_state(actor, Theme { colours: false });
        line("actor", format!("{} {word} {:.0} %", actor.name, 100.0 * share));
    }
    let (tickets, most) = out(view);
    if !view.tickets().is_empty() {
        line("tickets", format!("{tickets} of {most} out"));
    }
    for at in view.tickets().iter().filter(|at| at.inside + at.waiting > 0) {
        line("place", format!("{} {} at work, {} waiting", at.place, at.inside, at.waiting));
    }
    if let Some(shown) = view.rollouts.get(None) {
        let report = &shown.report;
        line("rollout", format!("step {}, {}, {}", report.step + 1, report.study, report.origin));
        match &shown.before {
            Some(before) => {
                let gain = difference(report.reward - before.reward);
                line("reward", format!("{} to {} ({gain})", number(before.reward), number(report.reward)));
                for change in changes(&before.text, &report.text) {
                    match change {
                        Change::Kept(_) => {}
                        Change::Removed(sentence) => line("removed", sentence.into()),
                        Change::Added(sentence) => line("added", sentence.into()),
                    }
                }
            }
            None => line("reward", number(report.reward)),
        }
        line("report", report.text.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    for event in view.events.iter().rev().take(EVENTS) {
        let age =
            Some(age(event, view)).filter(|age| !age.is_empty()).map_or_else(String::new, |age| format!(", {age} ago"));
        line("event", format!("{} at step {}{age}: {}", event.kind, event.step, event_text(event, view)));
    }
    text
}

/// The first value, the last, and what was between.
fn curve(points: &[(f64, f64)]) -> String {
    let values: Vec<f64> = points.iter().map(|(_, value)| *value).collect();
    match (values.first(), values.last()) {
        (Some(first), Some(last)) if values.len() > 1 => {
            format!("{} to {}  {}", number(*first), number(*last), sparkline(&values, CURVE))
        }
        (Some(only), _) => number(*only),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::view::testing;

    #[test]
    fn a_snapshot_tells_everything_in_lines_without_escapes() {
        let text = snapshot(&testing::full());
        for line in [
            "run        runs/train-7\n",
            "state      running\n",
            "step       142 of 250, 3.10 s/step, 5m 35s left\n",
            "sampled    2.000 to 2.695  ▁",
            "held out   validation 0.500 to 0.700  ▁",
            "actor      editor starved 95 %\n",
            "tickets    19 of 24 out\n",
            "place      replay 0 at work, 3 waiting\n",
            "reward     1.500 to 2.500 (+1.000)\n",
            "removed    The heart is enlarged.\n",
            "added      Heart size is normal.\n",
            "event      restarted at step 77, 2m 04s ago: sampler-0: panicked: out of memory\n",
        ] {
            assert!(text.contains(line), "{line} is missing from\n{text}");
        }
        assert!(!text.contains('\x1b'), "{text:?}");
    }

    #[test]
    fn of_a_run_that_has_not_begun_little_is_told() {
        assert_eq!(
            snapshot(&View::new("a")),
            "run        a\nstate      nothing is known of it yet\nstep       0 of ?\n"
        );
    }
}
