//! A box with a title, and numbers in few characters.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::{Block, BorderType, Padding, Paragraph},
};

use super::theme::Theme;

/// Draws a box; what is within it.
pub fn panel<'a>(frame: &mut Frame, area: Rect, title: impl Into<Line<'a>>, theme: Theme) -> Rect {
    let block = Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(theme.dim())
        .padding(Padding::horizontal(1))
        .title(title.into());
    let inner = block.inner(area);
    frame.render_widget(block, area);
    inner
}

/// ` Title `, and more after it.
pub fn title<'a>(name: &'a str, more: impl IntoIterator<Item = Span<'a>>, theme: Theme) -> Line<'a> {
    let mut spans = vec![Span::raw(" "), Span::styled(name, theme.bold()), Span::raw(" ")];
    spans.extend(more);
    Line::from(spans)
}

/// Something that is said where there is nothing to show.
pub fn nothing(frame: &mut Frame, area: Rect, what: &str, theme: Theme) {
    frame.render_widget(Paragraph::new(Line::styled(what, theme.dim())), area);
}

/// A number in about four characters: `0.0123`, `2.71`, `54.2`, `4300`, `12k`, `1.2e-7`.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        return "–".into();
    }
    match size {
        0.0 => "0".into(),
        ..1e-4 => format!("{value:.1e}"),
        ..0.1 => format!("{value:.4}"),
        ..10.0 => format!("{value:.3}"),
        ..100.0 => format!("{value:.1}"),
        ..10_000.0 => format!("{value:.0}"),
        ..1e6 => format!("{:.0}k", value / 1e3),
        ..1e9 => format!("{:.1}M", value / 1e6),
        _ => format!("{value:.1e}"),
    }
}

/// A share of the whole: `54 %`.
pub fn percent(share: f64) -> String {
    if share.is_finite() { format!("{:.0} %", 100.0 * share) } else { "–".into() }
}

/// The same with its sign: a difference.
pub fn difference(value: f64) -> String {
    if value > 0.0 { format!("+{}", number(value)) } else { number(value) }
}

/// Text cut to a width, with a mark where it was cut.
pub fn cut(text: &str, width: usize) -> String {
    let text = text.lines().next().unwrap_or_default();
    match console::measure_text_width(text) > width {
        true => console::truncate_str(text, width, "…").into_owned(),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_whatever_their_size() {
        let expected = [
            (0.0, "0"),
            (1.23e-7, "1.2e-7"),
            (0.01234, "0.0123"),
            (-2.7123, "-2.712"),
            (54.16, "54.2"),
            (4300.4, "4300"),
            (12_345.0, "12k"),
            (3.2e6, "3.2M"),
            (f64::NAN, "–"),
        ];
        for (value, text) in expected {
            assert_eq!(number(value), text);
        }
        assert_eq!((difference(0.5).as_str(), difference(-0.5).as_str()), ("+0.500", "-0.500"));
        assert_eq!((percent(0.546).as_str(), percent(f64::NAN).as_str()), ("55 %", "–"));
        assert_eq!(cut("radiologists", 6), "radio…");
        assert_eq!(cut("one\ntwo", 9), "one");
    }
}
