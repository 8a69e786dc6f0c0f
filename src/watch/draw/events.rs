//! What happened besides steps, newest first.

use ratatui::{
    Frame,
    layout::Rect,
    style::Style,
    text::{Line, Span},
    widgets::Paragraph,
};

use super::{
    panel::{cut, nothing, panel, title},
    theme::Theme,
};
use crate::{
    report::{events::Happening, terminal::rough_duration},
    watch::{ui::Ui, view::View},
};

const KIND: usize = 18;

pub fn draw(frame: &mut Frame, area: Rect, view: &View, ui: &Ui, theme: Theme) {
    let count = (!view.events.is_empty()).then(|| Span::styled(format!("{} ", view.events.len()), theme.dim()));
    let inner = panel(frame, area, title("Events", count, theme), theme);
    if view.events.is_empty() {
        return nothing(frame, inner, "none yet", theme);
    }
    let skipped = ui.scrolled(view.events.len(), inner.height);
    let events = view.events.iter().rev().skip(skipped.into()).take(inner.height.into());
    let lines: Vec<Line> = events.map(|event| row(event, view, inner.width.into(), theme)).collect();
    frame.render_widget(Paragraph::new(lines), inner);
}

fn row(event: &Happening, view: &View, width: usize, theme: Theme) -> Line<'static> {
    let age = age(event, view);
    let text = text(event, view);
    let room = width.saturating_sub(9 + 12 + KIND + 1);
    Line::from(vec![
        Span::styled(format!("{age:>8} "), theme.dim()),
        Span::styled(format!("step {:<6} ", event.step), theme.dim()),
        Span::styled(format!("{:<KIND$} ", cut(&event.kind, KIND)), style(&event.kind, theme)),
        Span::raw(cut(&text, room)),
    ])
}

/// How long ago it was, where that is known.
pub fn age(event: &Happening, view: &View) -> String {
    match std::time::Duration::try_from_secs_f64(view.now - event.unix) {
        Ok(age) if event.unix > 0.0 => rough_duration(age),
        _ => String::new(),
    }
}

/// What there is to say of it, on one line; files of the run by their place in its folder.
pub fn text(event: &Happening, view: &View) -> String {
    let folder = format!("{}/", view.source);
    let about = event.actor.iter().cloned().chain(event.version.map(|version| format!("version {version}")));
    let text = (!event.text.is_empty()).then(|| event.text.lines().collect::<Vec<_>>().join("; ").replace(&folder, ""));
    about.chain(text).collect::<Vec<_>>().join(": ")
}

fn style(kind: &str, theme: Theme) -> Style {
    match kind {
        "failed" | "stalled" | "diverging" | "gave up" => theme.bad(),
        "restarted" | "evaluation failed" | "trace stopped" | "set back" | "skipped" | "out of memory"
        | "failed group" | "retried" | "evicted" => theme.warning(),
        "evaluated" | "ended" => theme.good(),
        _ => Style::new(),
    }
}
