//! Who is busy, starved or blocked, as bars of the last second.

use addendum_actors::status::ActorStatus;
use ratatui::{
    Frame,
    layout::Rect,
    style::Style,
    text::{Line, Span},
    widgets::Paragraph,
};

use super::{
    panel::{cut, panel, percent, title},
    theme::Theme,
};
use crate::watch::view::View;

/// Characters for a name.
const NAME: usize = 14;
/// Characters for the words after a bar.
const WORDS: usize = 14;

/// Rows that there are to show, at least.
pub fn rows(view: &View) -> u16 {
    u16::try_from(view.actors().len()).unwrap_or(u16::MAX).max(2)
}

pub fn draw(frame: &mut Frame, area: Rect, view: &View, scroll: u16, theme: Theme) {
    let legend = [
        Span::styled("█ busy ", theme.good()),
        Span::styled("░ starved ", theme.dim()),
        Span::styled("▒ blocked ", theme.warning()),
    ];
    let inner = panel(frame, area, title("Actors", legend, theme), theme);
    let lines: Vec<Line> = match view.actors() {
        [] => quiet(view, theme),
        actors => actors.iter().map(|actor| row(actor, inner.width.into(), theme)).collect(),
    };
    frame.render_widget(Paragraph::new(lines).scroll((scroll, 0)), inner);
}

fn row(actor: &ActorStatus, width: usize, theme: Theme) -> Line<'static> {
    let name = match actor.workers {
        1 => actor.name.clone(),
        workers => format!("{} ×{workers}", actor.name),
    };
    let bar = width.saturating_sub(NAME + WORDS + 2);
    let full = |share: f64| (share * bar as f64).round() as usize;
    let busy = full(actor.busy).min(bar);
    let blocked = full(actor.blocked).min(bar - busy);
    let (word, share, style) = state(actor, theme);
    Line::from(vec![
        Span::raw(format!("{:<NAME$} ", cut(&name, NAME))),
        Span::styled("█".repeat(busy), theme.good()),
        Span::styled("▒".repeat(blocked), theme.warning()),
        Span::styled("░".repeat(bar - busy - blocked), theme.dim()),
        Span::styled(format!(" {word:<7} {:>3.0} %", 100.0 * share), style),
    ])
}

/// What it did for most of the time.
pub fn state(actor: &ActorStatus, theme: Theme) -> (&'static str, f64, Style) {
    let states = [
        ("busy", actor.busy, theme.good()),
        ("blocked", actor.blocked, theme.warning()),
        ("starved", actor.starved, theme.dim()),
    ];
    let most =
        |best: (&'static str, f64, Style), next: (&'static str, f64, Style)| if next.1 > best.1 { next } else { best };
    states.into_iter().reduce(most).unwrap_or(("", 0.0, Style::new()))
}

/// Of a run that does not tell of itself any more, or never did.
fn quiet(view: &View, theme: Theme) -> Vec<Line<'static>> {
    let Some(record) = &view.record else { return vec![Line::styled("nothing is known of them yet", theme.dim())] };
    let (samplers, learner) = (percent(record.sampler_busy), percent(record.learner_busy));
    let last = format!("last step: samplers {samplers}, learner {learner} busy");
    vec![Line::styled("nobody is at work, as far as the run tells", theme.dim()), Line::raw(last)]
}
