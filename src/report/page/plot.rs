//! Figures of the page: a drawing that a screen reader can describe, a legend of text, and a table with the same values.
//!
//! Drawings are about as wide as a phone and take their colours from the page's style, so that they suit light, dark and
//! paper. A series is told by its dashes as well as by its colour.

use std::fmt::Write;

use super::{
    html::{details, escape, short, table},
    series::Point,
};
use crate::report::{
    scale::{Scale, number, range, round_range},
    svg::{closed_path, open_path},
};

pub(super) const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 208.0;
const RIGHT: f64 = 8.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 36.0;

/// Colours of the style, then they come again with other dashes.
const COLOURS: usize = 7;

/// Rows of the table under a plot.
const ROWS: usize = 12;

/// How the lines of a plot relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Lines,
    /// Values are shares in [0, 1].
    Percent,
    /// Together they are a whole, drawn as stacked areas, the first at the bottom.
    Shares,
}

/// A named curve.
pub(super) struct Line {
    pub name: String,
    /// Which colour and dashes.
    pub look: usize,
    pub points: Vec<Point>,
    /// As measured, drawn thinly behind; may be empty.
    pub raw: Vec<Point>,
    /// Whether every point is worth a dot.
    pub dots: bool,
}

/// Curves over one horizontal axis.
pub(super) struct Plot {
    pub title: String,
    /// What the values are, with their unit.
    pub note: String,
    pub axis: &'static str,
    pub kind: Kind,
    pub lines: Vec<Line>,
}

/// The classes of a series: its colour, and its dashes.
pub(super) fn look(index: usize) -> String {
    format!("c{} d{}", index % COLOURS, (index / COLOURS + index % COLOURS) % 4)
}

impl Plot {
    /// The figure; nothing if no line has a value.
    pub fn html(&self) -> Option<String> {
        let has_values = |line: &Line| line.points.iter().any(|point| point.y.is_finite());
        if !self.lines.iter().any(has_values) {
            return None;
        }
        let drawn = self.drawing();
        let legend = legend(self.lines.iter().map(|line| (line.look, line.name.as_str(), self.last(line))));
        let table = details("Table", &self.table());
        Some(figure(&self.title, &self.note, &legend, &drawn, &table))
    }

    fn last(&self, line: &Line) -> String {
        line.points.iter().rev().find(|point| point.y.is_finite()).map_or("–".into(), |point| self.value(point.y))
    }

    fn value(&self, value: f64) -> String {
        match self.kind {
            Kind::Lines => short(value),
            Kind::Percent | Kind::Shares if !value.is_finite() => "–".into(),
            Kind::Percent | Kind::Shares => format!("{:.0} %", 100.0 * value),
        }
    }

    /// What is to be seen, for those who do not see it.
    fn description(&self) -> String {
        let said = self.lines.iter().map(|line| {
            let known: Vec<f64> = line.points.iter().map(|point| point.y).filter(|value| value.is_finite()).collect();
            let (low, high) = range(known.iter().copied());
            match (known.first(), known.last()) {
                (Some(first), Some(last)) => format!(
                    "{} goes from {} to {}, between {} and {}.",
                    line.name,
                    self.value(*first),
                    self.value(*last),
                    self.value(low),
                    self.value(high)
                ),
                _ => format!("{} has no values.", line.name),
            }
        });
        format!("{}, over {}. {}", self.title, self.axis, said.collect::<Vec<_>>().join(" "))
    }

    fn drawing(&self) -> String {
        let points = || self.lines.iter().flat_map(|line| line.points.iter().chain(&line.raw));
        let (limits, step) = match self.kind {
            Kind::Lines => round_range(points().flat_map(|point| [point.y, point.low, point.high]), 4),
            Kind::Percent | Kind::Shares => ((0.0, 1.0), 0.25),
        };
        let tick = |value: f64| match self.kind {
            Kind::Lines => number(value, step, 0),
            Kind::Percent | Kind::Shares => self.value(value),
        };
        let y = Scale::new(limits, (HEIGHT - BOTTOM, TOP));
        let ticks = y.ticks(step);
        let longest = ticks.iter().map(|value| tick(*value).chars().count()).max().unwrap_or(0);
        let left = 14.0 + 7.0 * longest as f64;
        let (first, last) = range(points().map(|point| point.x));
        let x = Scale::new(if first <= last { (first, last) } else { (0.0, 1.0) }, (left, WIDTH - RIGHT));
        let mut svg = drawing(WIDTH, HEIGHT, &self.title, &self.description());
        for value in ticks {
            let (at, class) = (y.pixel(value), if value == 0.0 { "axis" } else { "grid" });
            line(&mut svg, (left, at), (WIDTH - RIGHT, at), class);
            text(&mut svg, (left - 6.0, at + 4.0), "end", &tick(value));
        }
        let step = x.step(5).max(1.0);
        for value in x.ticks(step) {
            let at = x.pixel(value);
            line(&mut svg, (at, HEIGHT - BOTTOM), (at, HEIGHT - BOTTOM + 4.0), "axis");
            text(&mut svg, (at.min(WIDTH - 14.0), HEIGHT - BOTTOM + 16.0), "middle", &number(value, step, 0));
        }
        text(&mut svg, ((left + WIDTH - RIGHT) / 2.0, HEIGHT - 4.0), "middle", self.axis);
        match self.kind {
            Kind::Shares => self.areas(&mut svg, x, y),
            Kind::Lines | Kind::Percent => self.curves(&mut svg, x, y),
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn curves(&self, svg: &mut String, x: Scale, y: Scale) {
        let path = |points: &[Point]| {
            let at = |point: &Point| point.y.is_finite().then(|| (x.pixel(point.x), y.pixel(point.y)));
            open_path(&points.iter().map(at).collect::<Vec<_>>())
        };
        for line in &self.lines {
            let band: Vec<_> = line
                .points
                .iter()
                .map(|point| point.y.is_finite().then(|| [x.pixel(point.x), y.pixel(point.low), y.pixel(point.high)]))
                .collect();
            if line.points.iter().any(|point| point.high > point.low) {
                let _ = writeln!(svg, "<path class=\"band {}\" d=\"{}\"/>", look(line.look), closed_path(&band));
            }
            if !line.raw.is_empty() {
                let _ = writeln!(svg, "<path class=\"raw {}\" d=\"{}\"/>", look(line.look), path(&line.raw));
            }
        }
        for line in &self.lines {
            let class = look(line.look);
            let _ = writeln!(svg, "<path class=\"line {class}\" d=\"{}\"/>", path(&line.points));
            let dots = line.points.iter().filter(|point| line.dots && point.y.is_finite());
            for point in dots {
                let (x, y) = (x.pixel(point.x), y.pixel(point.y));
                let _ = writeln!(svg, "<circle class=\"dot {class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.6\"/>");
            }
        }
    }

    fn areas(&self, svg: &mut String, x: Scale, y: Scale) {
        let count = self.lines.iter().map(|line| line.points.len()).min().unwrap_or(0);
        let mut floor = vec![0.0; count];
        for line in &self.lines {
            let mut band = Vec::new();
            for (floor, point) in floor.iter_mut().zip(&line.points) {
                let top = *floor + point.y;
                band.push(top.is_finite().then(|| [x.pixel(point.x), y.pixel(*floor), y.pixel(top)]));
                *floor = if top.is_finite() { top } else { *floor };
            }
            let _ = writeln!(svg, "<path class=\"area {}\" d=\"{}\"/>", look(line.look), closed_path(&band));
        }
    }

    fn table(&self) -> String {
        let longest = self.lines.iter().max_by_key(|line| line.points.len());
        let Some(longest) = longest else { return String::new() };
        let size = longest.points.len().div_ceil(ROWS).max(1);
        let header = [self.axis.to_owned()].into_iter().chain(self.lines.iter().map(|line| escape(&line.name)));
        let cell = |line: &Line, part: &[Point]| {
            let within = |point: &&Point| part.first().is_some_and(|first| first.x <= point.x);
            let end = part.last().map_or(0.0, |last| last.x);
            let values: Vec<&Point> =
                line.points.iter().filter(within).filter(|point| point.x <= end && point.y.is_finite()).collect();
            let mean = |value: fn(&Point) -> f64| values.iter().map(|p| value(p)).sum::<f64>() / values.len() as f64;
            let (low, high) = (mean(|point| point.low), mean(|point| point.high));
            match low < high {
                true => {
                    let (low, high) = (self.value(low), self.value(high));
                    format!("{} <small>{low} to {high}</small>", self.value(mean(|point| point.y)))
                }
                false => self.value(mean(|point| point.y)),
            }
        };
        let row = |part: &[Point]| {
            let (first, last) = (part[0].x, part[part.len() - 1].x);
            let name = if first < last { format!("{first:.0} to {last:.0}") } else { format!("{first:.0}") };
            [name].into_iter().chain(self.lines.iter().map(|line| cell(line, part))).collect()
        };
        let rows: Vec<Vec<String>> = longest.points.chunks(size).map(row).collect();
        table(&self.title, &header.collect::<Vec<_>>(), &rows)
    }
}

/// A figure: what it is called, a legend, the drawing, and what stands in for it.
pub(super) fn figure(title: &str, note: &str, legend: &str, drawing: &str, table: &str) -> String {
    let (title, note) = (escape(title), escape(note));
    format!(
        "<figure><figcaption><h3>{title}</h3><p class=\"note\">{note}</p>{legend}</figcaption>\n{drawing}{table}</figure>\n"
    )
}

/// Names with their looks and, where there is one, a value.
pub(super) fn legend<'a>(entries: impl IntoIterator<Item = (usize, &'a str, String)>) -> String {
    let entry = |(index, name, value): (usize, &str, String)| {
        let value = if value.is_empty() { String::new() } else { format!(" <b>{}</b>", escape(&value)) };
        let class = look(index);
        format!(
            "<li><svg class=\"key\" viewBox=\"0 0 22 8\" aria-hidden=\"true\"><path class=\"line {class}\" d=\"M1 4H21\"/></svg>{}{value}</li>",
            escape(name)
        )
    };
    format!("<ul class=\"legend\">{}</ul>", entries.into_iter().map(entry).collect::<String>())
}

/// The beginning of a drawing.
pub(super) fn drawing(width: f64, height: f64, title: &str, description: &str) -> String {
    let (title, description) = (escape(title), escape(description));
    format!(
        "<svg class=\"plot\" role=\"img\" viewBox=\"0 0 {width:.0} {height:.0}\" aria-label=\"{description}\">\
         <title>{title}</title><desc>{description}</desc>\n"
    )
}

pub(super) fn line(svg: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64), class: &str) {
    let _ = writeln!(svg, "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>");
}

pub(super) fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, content: &str) {
    let content = escape(content);
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{content}</text>");
}

/// A bar of a histogram: its name, and one value per series.
pub(super) struct Bar {
    pub name: String,
    /// In [0, 1].
    pub shares: Vec<f64>,
}

/// Bars side by side, in groups by name; `series` are their names.
pub(super) fn bars(title: &str, note: &str, axis: &str, series: &[String], bars: &[Bar]) -> String {
    let most = bars.iter().flat_map(|bar| &bar.shares).copied().fold(0.0, f64::max);
    let step = if most > 0.5 { 0.25 } else { 0.1 };
    let y = Scale::new((0.0, ((most / step).ceil() * step).clamp(step, 1.0)), (HEIGHT - BOTTOM, TOP));
    let left = 50.0;
    let percent = |share: f64| format!("{:.0} %", 100.0 * share);
    let said = bars.iter().map(|bar| {
        let shares = bar.shares.iter().map(|share| percent(*share)).collect::<Vec<_>>().join(" and ");
        format!("{} {axis}: {shares}.", bar.name)
    });
    let description = format!("{title}. {}", said.collect::<Vec<_>>().join(" "));
    let mut svg = drawing(WIDTH, HEIGHT, title, &description);
    for value in y.ticks(step) {
        let at = y.pixel(value);
        line(&mut svg, (left, at), (WIDTH - RIGHT, at), if value == 0.0 { "axis" } else { "grid" });
        text(&mut svg, (left - 6.0, at + 4.0), "end", &percent(value));
    }
    let room = (WIDTH - RIGHT - left) / bars.len().max(1) as f64;
    for (place, bar) in bars.iter().enumerate() {
        let start = left + room * (place as f64 + 0.14);
        let width = (0.72 * room / bar.shares.len().max(1) as f64).min(72.0);
        let start = start + (0.72 * room - width * bar.shares.len() as f64) / 2.0;
        for (index, share) in bar.shares.iter().enumerate() {
            let (x, top) = (start + width * index as f64, y.pixel(*share));
            let (wide, high) = ((width - 1.5).max(1.0), (HEIGHT - BOTTOM - top).max(0.0));
            let _ = writeln!(
                svg,
                "<rect class=\"bar {}\" x=\"{x:.1}\" y=\"{top:.1}\" width=\"{wide:.1}\" height=\"{high:.1}\" rx=\"2\"/>",
                look(index)
            );
        }
        text(&mut svg, (left + room * (place as f64 + 0.5), HEIGHT - BOTTOM + 16.0), "middle", &bar.name);
    }
    text(&mut svg, ((left + WIDTH - RIGHT) / 2.0, HEIGHT - 4.0), "middle", axis);
    svg.push_str("</svg>\n");
    let keys = match series {
        [_, _, ..] => legend(series.iter().enumerate().map(|(index, name)| (index, name.as_str(), String::new()))),
        _ => String::new(),
    };
    let header: Vec<String> = [axis.to_owned()].into_iter().chain(series.iter().map(|name| escape(name))).collect();
    let row = |bar: &Bar| {
        let shares = bar.shares.iter().map(|share| format!("{:.1} %", 100.0 * share));
        [escape(&bar.name)].into_iter().chain(shares).collect()
    };
    let rows: Vec<Vec<String>> = bars.iter().map(row).collect();
    figure(title, note, &keys, &svg, &details("Table", &table(title, &header, &rows)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::svg::tests::assert_well_formed;

    fn line(name: &str, values: &[f64]) -> Line {
        let point = |(x, y): (usize, &f64)| Point { x: x as f64, y: *y, low: y - 0.1, high: y + 0.1 };
        let points: Vec<Point> = values.iter().enumerate().map(point).collect();
        Line { name: name.into(), look: 0, raw: points.clone(), points, dots: true }
    }

    fn plot(kind: Kind, lines: Vec<Line>) -> Plot {
        Plot { title: "Reward <all & more>".into(), note: "in \"points\"".into(), axis: "training step", kind, lines }
    }

    #[test]
    fn every_kind_of_plot_is_well_formed_described_and_has_a_table() {
        for kind in [Kind::Lines, Kind::Percent, Kind::Shares] {
            let html =
                plot(kind, vec![line("rate & co", &[0.1, 0.5, 0.3]), line("b", &[0.3, f64::NAN])]).html().unwrap();
            assert_well_formed(&html);
            for part in
                ["role=\"img\"", "rate &amp; co goes from", "<th scope=\"row\">2</th>", "&lt;all &amp; more&gt;"]
            {
                assert!(html.contains(part), "{part} in {html}");
            }
            assert!(!html.contains("NaN"), "{html}");
        }
    }

    #[test]
    fn a_plot_without_values_is_none_and_one_value_is_enough() {
        assert!(plot(Kind::Lines, Vec::new()).html().is_none());
        assert!(plot(Kind::Lines, vec![line("a", &[f64::NAN, f64::INFINITY])]).html().is_none());
        assert_well_formed(&plot(Kind::Lines, vec![line("a", &[3.0])]).html().unwrap());
    }

    #[test]
    fn bars_of_nothing_and_of_everything_are_well_formed() {
        let bar = |name: &str, shares: &[f64]| Bar { name: name.into(), shares: shares.to_vec() };
        for list in [vec![], vec![bar("0", &[0.0, 1.0]), bar("<1>", &[1.0, 0.0])]] {
            let html = bars("Lag", "note", "versions", &["a".into(), "b".into()], &list);
            assert_well_formed(&html);
        }
    }
}
