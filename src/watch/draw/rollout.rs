//! A report, and what its edit changed.

use ratatui::{
    Frame,
    layout::Rect,
    style::Style,
    text::{Line, Span},
    widgets::{Paragraph, Wrap},
};

use super::{
    panel::{cut, difference, nothing, number, panel, title},
    theme::Theme,
};
use crate::watch::{
    change::{Change, changes},
    rollouts::Shown,
    ui::Ui,
    view::View,
};

pub fn draw(frame: &mut Frame, area: Rect, view: &View, ui: &Ui, theme: Theme) {
    let shown = view.rollouts.get(ui.rollout());
    let more = shown.map(|shown| {
        let age = match view.rollouts.age(shown.number) {
            age if ui.has_chosen() => format!("{age} before the newest "),
            _ => String::new(),
        };
        let text = format!("step {} · {} {age}", shown.report.step + 1, shown.report.study);
        Span::styled(cut(&text, usize::from(area.width).saturating_sub(14)), theme.dim())
    });
    let inner = panel(frame, area, title("Rollout", more, theme), theme);
    let Some(shown) = shown else {
        let why = if view.source.starts_with("http") {
            "an endpoint shows no texts; watch the run's folder"
        } else {
            "none is recorded yet"
        };
        return nothing(frame, inner, why, theme);
    };
    let lines = lines(shown, theme);
    // Wrapped lines count as often as they are broken, about.
    let count = lines.iter().map(|line| line.width().div_ceil(usize::from(inner.width.max(1))).max(1)).sum();
    let text = Paragraph::new(lines).wrap(Wrap { trim: true });
    frame.render_widget(text.scroll((ui.scrolled(count, inner.height), 0)), inner);
}

fn lines(shown: &Shown, theme: Theme) -> Vec<Line<'_>> {
    let Shown { before, report, .. } = shown;
    let mut lines = Vec::new();
    let mut first = vec![Span::styled(report.origin.as_str(), theme.bold())];
    for edit in &report.edits {
        first.push(Span::raw(format!(": {} ({})", edit.operation, edit.rule)));
    }
    first.extend(report.dropped.map(|reason| Span::styled(format!(", left out: {}", reason.name()), theme.warning())));
    lines.push(Line::from(first));
    lines.push(reward("reward", before.as_ref().map(|before| before.reward), report.reward, theme));
    for (name, value) in &report.components {
        let source = before.as_ref().and_then(|before| before.components.get(name)).copied();
        lines.push(reward(name, source, *value, theme));
    }
    lines.push(Line::default());
    lines.push(Line::from(match before {
        Some(before) => text(&before.text, &report.text, theme),
        None => vec![Span::raw(report.text.as_str())],
    }));
    lines
}

/// `reward  1.69 → 2.84  +1.15`.
fn reward(name: &str, before: Option<f64>, after: f64, theme: Theme) -> Line<'static> {
    let name = Span::styled(format!("{name:<10} "), theme.dim());
    let Some(before) = before else { return Line::from(vec![name, Span::raw(number(after))]) };
    let gain = after - before;
    let style = match gain {
        gain if gain > 0.0 => theme.good(),
        gain if gain < 0.0 => theme.bad(),
        _ => Style::new(),
    };
    let figures = format!("{} → {}  ", number(before), number(after));
    Line::from(vec![name, Span::raw(figures), Span::styled(difference(gain), style)])
}

/// Both reports in one, with what is told apart by colour marked as well: `[-…-]` is gone, `[+…+]` is new.
fn text<'a>(before: &'a str, after: &'a str, theme: Theme) -> Vec<Span<'a>> {
    let mut spans = Vec::new();
    for change in changes(before, after) {
        let (sentence, style, open, close) = match change {
            Change::Kept(sentence) => (sentence, Style::new(), "", ""),
            Change::Removed(sentence) => (sentence, theme.removed(), "[-", "-]"),
            Change::Added(sentence) => (sentence, theme.added(), "[+", "+]"),
        };
        if !spans.is_empty() {
            spans.push(Span::raw(" "));
        }
        spans.push(Span::styled(format!("{open}{sentence}{close}"), style));
    }
    spans
}
