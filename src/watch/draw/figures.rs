//! The newest figures, for where there is no room for curves.

use ratatui::{
    Frame,
    layout::Rect,
    style::Style,
    text::{Line, Span},
    widgets::Paragraph,
};

use super::{
    panel::{difference, number, percent},
    theme::Theme,
};
use crate::{report::terminal::sparkline, watch::view::View};

/// Lines that they take.
pub const HEIGHT: u16 = 4;

pub fn draw(frame: &mut Frame, area: Rect, view: &View, theme: Theme) {
    frame.render_widget(Paragraph::new(lines(view, area.width.into(), theme)), area);
}

fn lines(view: &View, width: usize, theme: Theme) -> Vec<Line<'static>> {
    let row = |name: &str, figures: Vec<Span<'static>>| {
        let mut spans = vec![Span::styled(format!(" {name:<8} "), theme.dim())];
        for (index, figure) in figures.into_iter().enumerate() {
            spans.extend((index > 0).then(|| Span::styled(" · ", theme.dim())));
            spans.push(figure);
        }
        Line::from(spans)
    };
    let Some(record) = &view.record else {
        return vec![Line::styled(" No step is done yet.", theme.dim())];
    };
    let plain = |name: &str, value: f64| Span::raw(format!("{name} {}", number(value)));
    let sampled: Vec<f64> = view.curve("sampled").iter().map(|(_, value)| *value).collect();
    let curve = sparkline(&sampled, width.saturating_sub(46).clamp(8, 60));
    let mut reward =
        vec![Span::styled(number(record.reward_sampled), theme.bold()), Span::styled(curve, theme.accent())];
    if record.reward_edited.is_finite() {
        reward.push(plain("edited", record.reward_edited));
        let style = if record.edit_gain > 0.0 { theme.good() } else { Style::new() };
        reward.push(Span::styled(difference(record.edit_gain), style));
    }
    let parts = record.reward_components.iter().map(|(name, value)| plain(&name.replace('_', " "), *value));
    let policy = vec![
        plain("KL", record.stats.kl),
        plain("entropy", record.stats.entropy),
        plain("gradient", record.stats.gradient_norm),
        Span::raw(format!("{} tokens/report", number(record.response_length))),
    ];
    let newest = view.averages().into_iter().filter_map(|(name, points)| {
        let ((_, first), (_, last)) = (points.first()?, points.last()?);
        Some(Span::raw(format!("{name} {:.1} ({})", 100.0 * last, difference(100.0 * (last - first)))))
    });
    let flow = vec![
        Span::raw(format!("{} tokens/s", number(record.tokens_per_second))),
        Span::raw(format!("samplers {} busy", percent(record.sampler_busy))),
        Span::raw(format!("learner {} busy", percent(record.learner_busy))),
        plain("staleness", record.staleness_mean),
    ];
    let held_out: Vec<_> = newest.collect();
    let last = if held_out.is_empty() { row("flow", flow) } else { row("held out", held_out) };
    vec![row("reward", reward), row("", parts.collect()), row("policy", policy), last]
}
