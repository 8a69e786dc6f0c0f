//! Which run it is, how it stands with it, and when it will be done.

use std::time::Duration;

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::Style,
    text::{Line, Span},
    widgets::Paragraph,
};

use super::theme::Theme;
use crate::{
    report::terminal::{duration, rough_duration},
    watch::view::{State, View},
};

/// From here on a run that does not move is told of.
const STILL: Duration = Duration::from_secs(30);

/// How it stands with a run: a mark, in words, in a colour.
pub fn state(view: &View, theme: Theme) -> (&'static str, String, Style) {
    let seconds = |seconds: f64| rough_duration(Duration::try_from_secs_f64(seconds).unwrap_or_default());
    match view.state() {
        State::Waiting => ("○", "nothing is known of it yet".into(), theme.dim()),
        State::Running => ("●", "running".into(), theme.good()),
        State::Silent(age) => ("○", format!("silent for {}", seconds(age)), theme.warning()),
        State::Finished => ("✓", "finished".into(), theme.good()),
        State::Stopped => ("■", "stopped; it can be resumed".into(), theme.warning()),
        State::Failed(_) => ("✗", "failed".into(), theme.bad()),
    }
}

/// What must not be overlooked, if there is something.
pub fn alarm(view: &View) -> Option<String> {
    if let Some(problem) = &view.problem {
        return Some(problem.clone());
    }
    match view.state() {
        State::Failed(reason) => Some(reason),
        State::Silent(_) if view.status.is_some() => Some(
            "the run does not move: it was killed, or its disk stands still; `addendum train --resume` goes on".into(),
        ),
        State::Running if view.still() >= STILL => {
            Some(format!("nothing has moved for {}", rough_duration(view.still())))
        }
        _ => None,
    }
}

/// `3.10 s/step`, `5m 33s left`: as far as they are known.
pub fn timing(view: &View) -> Vec<String> {
    let pace = view.pace().map(|pace| format!("{}/step", duration(pace)));
    let left = view.left().map(|left| format!("{} left", rough_duration(left)));
    pace.into_iter().chain(left).collect()
}

/// Lines that the header takes.
pub fn height(view: &View) -> u16 {
    2 + u16::from(alarm(view).is_some())
}

pub fn draw(frame: &mut Frame, area: Rect, view: &View, paused: bool, theme: Theme) {
    let [first, second, third] =
        Layout::vertical([Constraint::Length(1), Constraint::Length(1), Constraint::Min(0)]).areas(area);
    let (mark, words, style) = state(view, theme);
    let right = if paused { "paused " } else { "" };
    let mut spans = vec![
        Span::styled(format!(" {mark} "), style),
        Span::styled(view.source.as_str(), theme.bold()),
        Span::styled(format!("  {words}"), style),
    ];
    spans.extend(view.method.as_ref().map(|method| Span::styled(format!("  {method}"), theme.dim())));
    frame.render_widget(Paragraph::new(Line::from(spans)), first);
    frame.render_widget(Paragraph::new(Line::styled(right, theme.warning()).right_aligned()), first);
    frame.render_widget(Paragraph::new(progress(view, second.width.into(), theme)), second);
    if let Some(alarm) = alarm(view) {
        frame.render_widget(Paragraph::new(Line::styled(format!(" ! {alarm}"), theme.bad())), third);
    }
}

/// Steps, a bar as wide as there is room for, and the time.
fn progress(view: &View, width: usize, theme: Theme) -> Line<'static> {
    let steps = view.steps.map_or_else(|| "?".into(), |steps| steps.to_string());
    let share = view.steps.filter(|steps| *steps > 0).map(|steps| (view.done as f64 / steps as f64).min(1.0));
    let before = format!(" step {}/{steps} ", view.done);
    let percent = share.map_or_else(String::new, |share| format!(" {:.0} %", 100.0 * share));
    let after = timing(view).into_iter().fold(percent, |text, part| format!("{text}  {part}"));
    let bar = width.saturating_sub(before.chars().count() + after.chars().count() + 1);
    let full = (share.unwrap_or(0.0) * bar as f64).round() as usize;
    Line::from(vec![
        Span::raw(before),
        Span::styled("━".repeat(full), theme.accent()),
        Span::styled("─".repeat(bar - full), theme.dim()),
        Span::raw(after),
    ])
}
