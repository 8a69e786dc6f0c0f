//! Where the tickets are that are out.

use addendum_actors::status::PlaceStatus;
use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::Paragraph,
};

use super::{
    panel::{cut, nothing, panel, title},
    theme::Theme,
};
use crate::watch::view::View;

const NAME: usize = 12;
/// From here on there is room for a legend.
const LEGEND: u16 = 44;

/// Rows that there are to show, at least.
pub fn rows(view: &View) -> u16 {
    u16::try_from(view.tickets().len()).unwrap_or(u16::MAX).max(1)
}

/// Tickets that are out, and how many may be.
pub fn out(view: &View) -> (usize, u64) {
    let most = view.status.as_ref().map_or(0, |status| status.tickets_at_most);
    (view.tickets().iter().map(|at| at.waiting + at.inside).sum(), most)
}

pub fn draw(frame: &mut Frame, area: Rect, view: &View, scroll: u16, theme: Theme) {
    let (out, most) = out(view);
    let mut more = vec![Span::raw(if most > 0 { format!("{out} of {most} ") } else { String::new() })];
    if area.width >= LEGEND {
        more.push(Span::styled("● at work ○ waiting ", theme.dim()));
    }
    let inner = panel(frame, area, title("Tickets", more, theme), theme);
    if view.tickets().is_empty() {
        return nothing(frame, inner, "none is out", theme);
    }
    let lines: Vec<Line> = view.tickets().iter().map(|at| row(at, inner.width.into(), theme)).collect();
    frame.render_widget(Paragraph::new(lines).scroll((scroll, 0)), inner);
}

fn row(at: &PlaceStatus, width: usize, theme: Theme) -> Line<'static> {
    let count = at.inside + at.waiting;
    let number = if count > 0 { count.to_string() } else { "·".into() };
    let room = width.saturating_sub(NAME + 6);
    // Many are drawn in proportion.
    let scale = if count > room { room as f64 / count as f64 } else { 1.0 };
    let dots = |count: usize| (count as f64 * scale).round() as usize;
    let style = if count == 0 { theme.dim() } else { theme.bold() };
    Line::from(vec![
        Span::styled(
            format!("{:<NAME$} ", cut(&at.place, NAME)),
            if count == 0 { theme.dim() } else { Default::default() },
        ),
        Span::styled(format!("{number:>4} "), style),
        Span::styled("●".repeat(dots(at.inside)), theme.good()),
        Span::styled("○".repeat(dots(at.waiting)), theme.warning()),
    ])
}
