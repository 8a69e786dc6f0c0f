//! What the keys do and what the words mean.

use ratatui::{
    Frame,
    layout::{Constraint, Rect},
    text::Line,
    widgets::{Clear, Paragraph},
};

use super::{
    panel::{panel, title},
    theme::Theme,
};

const TEXT: &str = "\
q Esc Ctrl-C   quit; the run goes on
1–5 Tab        pages
← →            rollouts before and after
↑ ↓ PgUp PgDn  scroll
p Space        pause the picture, not the run
?              this help

busy     at work
starved  waits for input: a study, groups, a batch
blocked  could work and must not: no ticket until
         training has caught up, or its workers
         are being restarted
● ○      a ticket at work, and one that waits
silent   the run has not told of itself";

pub fn draw(frame: &mut Frame, area: Rect, theme: Theme) {
    let height = u16::try_from(TEXT.lines().count()).unwrap_or(u16::MAX).saturating_add(2);
    let area = area.centered(Constraint::Length(54), Constraint::Length(height));
    frame.render_widget(Clear, area);
    let inner = panel(frame, area, title("Help", [], theme), theme);
    frame.render_widget(Paragraph::new(TEXT.lines().map(Line::raw).collect::<Vec<_>>()), inner);
}
