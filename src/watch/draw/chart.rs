//! Curves in braille.

use ratatui::{
    Frame,
    layout::Rect,
    symbols::Marker,
    text::{Line, Span},
    widgets::{Axis, Chart, Dataset, GraphType},
};

use super::{
    panel::{nothing, number, panel, title},
    theme::Theme,
};

/// A curve with its name.
pub struct Curve<'a> {
    pub name: &'a str,
    pub points: &'a [(f64, f64)],
}

/// A box with curves; each is called by its colour and newest value, in the title.
pub fn chart(frame: &mut Frame, area: Rect, name: &str, curves: &[Curve], theme: Theme) {
    let drawn: Vec<_> = curves.iter().enumerate().filter(|(_, curve)| !curve.points.is_empty()).collect();
    let mut legend = Vec::new();
    for (index, Curve { name, points }) in &drawn {
        let newest = points.last().map_or(f64::NAN, |(_, value)| *value);
        let style = theme.curve(*index);
        if drawn.len() > 1 {
            legend.push(Span::styled(format!("━ {name} "), style));
        }
        legend.push(Span::styled(format!("{} ", number(newest)), style.patch(theme.bold())));
    }
    let inner = panel(frame, area, title(name, legend, theme), theme);
    if inner.width < 12 || inner.height < 3 {
        return;
    }
    if drawn.is_empty() {
        return nothing(frame, inner, "nothing yet", theme);
    }
    // A point for every two characters, so that the mean smooths what jumps.
    let thinned: Vec<_> =
        drawn.iter().map(|(index, curve)| (*index, thin(curve.points, usize::from(inner.width / 2)))).collect();
    let (left, right) = range(drawn.iter().flat_map(|(_, curve)| curve.points).map(|(x, _)| *x));
    let (low, high) = padded(range(thinned.iter().flat_map(|(_, points)| points).map(|(_, y)| *y)));
    let datasets = thinned.iter().map(|(index, points)| {
        Dataset::default()
            .marker(Marker::Braille)
            .graph_type(if points.len() > 1 { GraphType::Line } else { GraphType::Scatter })
            .style(theme.curve(*index))
            .data(points)
    });
    let label = |value: f64| Span::styled(number(value), theme.dim());
    let levels = if inner.height >= 9 { vec![low, f64::midpoint(low, high), high] } else { vec![low, high] };
    let mut x = Axis::default().bounds([left, right.max(left + 1.0)]).style(theme.dim());
    if inner.height >= 5 {
        x = x.labels([Line::styled(format!("{left}"), theme.dim()), Line::styled(format!("{right}"), theme.dim())]);
    }
    let y = Axis::default().bounds([low, high]).style(theme.dim()).labels(levels.into_iter().map(label));
    frame.render_widget(Chart::new(datasets.collect()).x_axis(x).y_axis(y).legend_position(None), inner);
}

/// At most so many points, each the mean of those in its place.
fn thin(points: &[(f64, f64)], most: usize) -> Vec<(f64, f64)> {
    let bins = most.min(points.len());
    let mean = |bin: usize| {
        let part = &points[bin * points.len() / bins..(bin + 1) * points.len() / bins];
        let (x, y) = part.iter().fold((0.0, 0.0), |(a, b), (x, y)| (a + x, b + y));
        (x / part.len() as f64, y / part.len() as f64)
    };
    (0..bins).map(mean).collect()
}

fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
}

/// With some room above and below, and never empty.
fn padded((low, high): (f64, f64)) -> (f64, f64) {
    let room = match high - low {
        room if room > 0.0 => 0.05 * room,
        _ if low == 0.0 => 1.0,
        _ => 0.1 * low.abs(),
    };
    // What cannot be negative is not drawn as if it could.
    (if low >= 0.0 { (low - room).max(0.0) } else { low - room }, high + room)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_curve_is_drawn_by_means_and_a_short_one_as_it_is() {
        let points: Vec<(f64, f64)> = (0..10).map(|x| (f64::from(x), f64::from(2 * x))).collect();
        assert_eq!(thin(&points, 5), [(0.5, 1.0), (2.5, 5.0), (4.5, 9.0), (6.5, 13.0), (8.5, 17.0)]);
        assert_eq!(thin(&points, 99), points);
        assert_eq!(thin(&[], 9), []);
    }

    #[test]
    fn a_range_is_never_empty_and_not_below_zero_without_need() {
        assert_eq!(padded((1.0, 3.0)), (0.9, 3.1));
        assert_eq!(padded((0.0, 1.0)).0, 0.0);
        assert!(padded((-1.0, 1.0)).0 < -1.0);
        for value in [0.0, 5.0, -5.0] {
            let (low, high) = padded((value, value));
            assert!(low <= value && value < high, "{value}: {low}, {high}");
        }
    }
}
