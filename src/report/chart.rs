//! Line and share charts over training steps as SVG: a column of panels with one common horizontal axis.
//!
//! A series is drawn twice, thin as it was measured and thick as a moving average, and is named at its right end instead
//! of in a legend. The same data gives the same bytes. Knows nothing of training; see [`plots`](super::plots).

use super::{
    scale::{Scale, number, range, round_range},
    svg::{AXIS, GRID, Svg, Text, closed_path, open_path},
};

const WIDTH: f64 = 900.0;
const LEFT: f64 = 66.0;
const TOP: f64 = 78.0;
const PANEL: f64 = 210.0;
const BETWEEN: f64 = 40.0;
const BOTTOM: f64 = 52.0;
const LINE_HEIGHT: f64 = 17.0;

/// Colours that remain different for colour-blind eyes and legible as text on white (after Okabe and Ito).
pub const PALETTE: [&str; 7] = ["#0072b2", "#d55e00", "#00875f", "#b04f93", "#a87400", "#2f93c9", "#5c5c5c"];

/// For what is there but does not matter.
pub const GREY: &str = "#a3aab2";

/// A drawing: some panels one below the other.
#[derive(Clone, Debug)]
pub struct Figure {
    pub title: String,
    /// One sentence that says how to read the drawing.
    pub subtitle: String,
    /// What is on the horizontal axis.
    pub axis: String,
    /// Positions on the horizontal axis, ascending, one per value of every series.
    pub steps: Vec<f64>,
    pub panels: Vec<Panel>,
}

/// One pair of axes.
#[derive(Clone, Debug)]
pub struct Panel {
    /// What is on the vertical axis, with its unit.
    pub title: String,
    pub kind: Kind,
    pub series: Vec<Series>,
}

/// How the series of a panel relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Each is a line.
    Lines,
    /// Each is a line, without a moving average.
    Measured,
    /// Each is a line; the values are shares in [0, 1] and written as percentages.
    Percent,
    /// Together they are a whole; drawn as stacked areas. The first is at the bottom.
    Shares,
}

/// Named values, one per step. Where a value is not finite there is a gap.
#[derive(Clone, Debug)]
pub struct Series {
    pub name: String,
    pub colour: &'static str,
    pub values: Vec<f64>,
    /// How far the values of each step reach, lowest and highest; drawn lightly behind the line, where there are any.
    pub band: Vec<(f64, f64)>,
}

/// The mean over a window of `width` values around each one, fewer at the ends; gaps stay gaps and count for nothing.
pub fn moving_average(values: &[f64], width: usize) -> Vec<f64> {
    let reach = width / 2;
    let around = |index: usize| {
        let window = &values[index.saturating_sub(reach)..values.len().min(index + reach + 1)];
        let present = window.iter().filter(|value| value.is_finite());
        let (sum, count) = present.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
        sum / count
    };
    let smooth = |(index, value): (usize, &f64)| if value.is_finite() { around(index) } else { f64::NAN };
    values.iter().enumerate().map(smooth).collect()
}

/// The window for `steps` steps: short enough to follow, long enough to calm.
fn window(steps: usize) -> usize {
    (steps / 12) | 1
}

impl Figure {
    /// The drawing as an SVG document.
    pub fn svg(&self) -> String {
        let panels = self.panels.len() as f64;
        let height = TOP + panels * PANEL + (panels - 1.0).max(0.0) * BETWEEN + BOTTOM;
        let right = WIDTH - self.label_width();
        let (first, last) = range(self.steps.iter().copied());
        let x = Scale::new(if first <= last { (first, last) } else { (0.0, 1.0) }, (LEFT, right));
        let mut svg = Svg::new(WIDTH, height);
        svg.text(LEFT - 46.0, 30.0, &Text::new(&self.title).size(18.0).bold());
        svg.text(LEFT - 46.0, 50.0, &Text::new(&self.subtitle).size(12.5).faint());
        for (index, panel) in self.panels.iter().enumerate() {
            let top = TOP + index as f64 * (PANEL + BETWEEN);
            let is_last = index + 1 == self.panels.len();
            self.panel(&mut svg, panel, x, (top + 18.0, top + PANEL), is_last);
        }
        svg.finish()
    }

    /// Room for the longest name and its value.
    fn label_width(&self) -> f64 {
        let names = self.panels.iter().flat_map(|panel| &panel.series).map(|series| series.name.chars().count());
        f64::max(96.0, 74.0 + 7.4 * names.max().unwrap_or(0) as f64).min(WIDTH / 3.0)
    }

    fn panel(&self, svg: &mut Svg, panel: &Panel, x: Scale, (top, bottom): (f64, f64), is_last: bool) {
        let width = if panel.kind == Kind::Measured { 1 } else { window(self.steps.len()) };
        let smooth: Vec<Vec<f64>> = panel.series.iter().map(|series| moving_average(&series.values, width)).collect();
        let bands = panel.series.iter().flat_map(|series| &series.band).flat_map(|(low, high)| [*low, *high]);
        let values = panel.series.iter().flat_map(|series| &series.values).copied().chain(bands);
        let (limits, step) = match panel.kind {
            Kind::Lines | Kind::Measured => round_range(values, 4),
            Kind::Percent | Kind::Shares => ((0.0, 1.0), 0.25),
        };
        let y = Scale::new(limits, (bottom, top));
        let number = |value: f64, extra: i32| match panel.kind {
            Kind::Lines | Kind::Measured => number(value, step, extra),
            Kind::Percent | Kind::Shares => format!("{:.0} %", 100.0 * value),
        };
        svg.text(LEFT - 46.0, top - 18.0, &Text::new(&panel.title).size(13.0).bold());
        for tick in y.ticks(step) {
            let at = y.pixel(tick);
            svg.line((LEFT, at), (x.pixel(x.high), at), if tick == 0.0 { AXIS } else { GRID });
            svg.text(LEFT - 9.0, at + 4.0, &Text::new(&number(tick, 0)).size(11.5).faint().end());
        }
        self.horizontal_axis(svg, x, bottom, is_last);
        let curves = match panel.kind {
            Kind::Lines | Kind::Measured | Kind::Percent => self.lines(svg, panel, &smooth, x, y),
            Kind::Shares => self.areas(svg, panel, &smooth, x, y),
        };
        let named = panel.series.iter().zip(curves);
        let ends = named.filter_map(|(series, end)| {
            let (value, height) = end?;
            Some(End { series, number: number(value, 1), height })
        });
        labels(svg, ends.collect(), x.pixel(x.high) + 12.0, (top, bottom));
    }

    /// Ticks under every panel, numbers and name only under the last.
    fn horizontal_axis(&self, svg: &mut Svg, x: Scale, bottom: f64, is_last: bool) {
        let step = x.step(8).max(1.0);
        for tick in x.ticks(step) {
            let at = x.pixel(tick);
            svg.line((at, bottom), (at, bottom + 4.0), AXIS);
            if is_last {
                svg.text(at, bottom + 19.0, &Text::new(&number(tick, step, 0)).size(11.5).faint().middle());
            }
        }
        if is_last {
            let middle = (LEFT + x.pixel(x.high)) / 2.0;
            svg.text(middle, bottom + 40.0, &Text::new(&self.axis).size(12.0).faint().middle());
        }
    }

    /// Draws the lines; returns the last value of each and its height.
    fn lines(&self, svg: &mut Svg, panel: &Panel, smooth: &[Vec<f64>], x: Scale, y: Scale) -> Vec<Option<(f64, f64)>> {
        let points = |values: &[f64]| -> Vec<Option<(f64, f64)>> {
            let point = |(step, value): (&f64, &f64)| value.is_finite().then(|| (x.pixel(*step), y.pixel(*value)));
            self.steps.iter().zip(values).map(point).collect()
        };
        for series in panel.series.iter().filter(|series| !series.band.is_empty()) {
            let reach = |(step, (low, high)): (&f64, &(f64, f64))| {
                (low.is_finite() && high.is_finite()).then(|| [x.pixel(*step), y.pixel(*low), y.pixel(*high)])
            };
            let band: Vec<_> = self.steps.iter().zip(&series.band).map(reach).collect();
            svg.area(&closed_path(&band), series.colour, 0.13);
        }
        for (series, smooth) in panel.series.iter().zip(smooth) {
            if series.values != *smooth {
                svg.path(&open_path(&points(&series.values)), series.colour, 1.0, 0.28);
            }
        }
        for (series, smooth) in panel.series.iter().zip(smooth) {
            svg.path(&open_path(&points(smooth)), series.colour, 2.4, 1.0);
        }
        let last = |values: &Vec<f64>| values.iter().rev().copied().find(|value| value.is_finite());
        smooth.iter().map(|values| last(values).map(|value| (value, y.pixel(value)))).collect()
    }

    /// Draws the areas; returns the last share of each and the height of its middle.
    fn areas(&self, svg: &mut Svg, panel: &Panel, smooth: &[Vec<f64>], x: Scale, y: Scale) -> Vec<Option<(f64, f64)>> {
        let at = |values: &Vec<f64>, step: usize| values.get(step).copied().filter(|v| v.is_finite()).unwrap_or(0.0);
        let totals: Vec<f64> =
            (0..self.steps.len()).map(|step| smooth.iter().map(|values| at(values, step)).sum()).collect();
        let mut floor = vec![0.0; self.steps.len()];
        let mut ends = Vec::new();
        for (series, values) in panel.series.iter().zip(smooth) {
            let mut band = Vec::new();
            let mut end = None;
            for (step, position) in self.steps.iter().enumerate() {
                let share = at(values, step) / totals[step];
                let is_there = share.is_finite();
                band.push(is_there.then(|| [x.pixel(*position), y.pixel(floor[step]), y.pixel(floor[step] + share)]));
                if is_there {
                    end = Some((share, y.pixel(floor[step] + share / 2.0)));
                    floor[step] += share;
                }
            }
            svg.area(&closed_path(&band), series.colour, 0.82);
            ends.push(end);
        }
        ends
    }
}

/// Where a series ends, what it is called there, and its last value.
struct End<'a> {
    series: &'a Series,
    number: String,
    height: f64,
}

/// Names the series at their ends, moved apart where they would overlap.
fn labels(svg: &mut Svg, mut ends: Vec<End<'_>>, left: f64, (top, bottom): (f64, f64)) {
    ends.sort_by(|a, b| a.height.total_cmp(&b.height));
    let mut heights: Vec<f64> = ends.iter().map(|end| end.height.clamp(top, bottom)).collect();
    for index in 1..heights.len() {
        heights[index] = heights[index].max(heights[index - 1] + LINE_HEIGHT);
    }
    let mut limit = f64::max(bottom, top + LINE_HEIGHT * (heights.len() as f64 - 1.0));
    for height in heights.iter_mut().rev() {
        *height = height.min(limit);
        limit = *height - LINE_HEIGHT;
    }
    for (end, height) in ends.iter().zip(heights) {
        svg.line((left - 8.0, end.height), (left - 2.0, height), end.series.colour);
        svg.named_value(left + 2.0, height + 4.0, &end.series.name, end.series.colour, &end.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::svg::tests::assert_well_formed;

    fn series(name: &str, values: &[f64]) -> Series {
        Series { name: name.into(), colour: PALETTE[0], values: values.to_vec(), band: Vec::new() }
    }

    fn drawing(kind: Kind, series: Vec<Series>) -> String {
        let steps = series.iter().map(|series| series.values.len()).max().unwrap_or(0);
        let figure = Figure {
            title: "Reward <all & more>".into(),
            subtitle: String::new(),
            axis: "step".into(),
            steps: (0..steps).map(|step| step as f64).collect(),
            panels: vec![Panel { title: "score".into(), kind, series }],
        };
        figure.svg()
    }

    #[test]
    fn every_kind_of_chart_is_well_formed_and_names_its_series() {
        for kind in [Kind::Lines, Kind::Measured, Kind::Percent, Kind::Shares] {
            let svg = drawing(kind, vec![series("rate & co", &[0.1, 0.5, 0.3]), series("kl", &[0.3, 0.2, f64::NAN])]);
            assert_well_formed(&svg);
            assert!(svg.contains("rate &amp; co") && svg.contains(">kl<") && svg.contains("Reward &lt;all"));
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }

    #[test]
    fn shares_fill_the_whole_height_and_leave_out_steps_without_any() {
        let values = [series("a", &[1.0, 0.0, 3.0]), series("b", &[3.0, 0.0, 1.0])];
        let svg = drawing(Kind::Shares, values.to_vec());
        assert!(svg.contains("75 %") && svg.contains("25 %"), "{svg}");
        let path = svg.lines().find(|line| line.contains("fill-opacity")).unwrap();
        assert_eq!(path.matches('Z').count(), 2, "the empty step splits the area: {path}");
    }

    #[test]
    fn the_moving_average_keeps_gaps_and_ignores_them() {
        let smooth = moving_average(&[1.0, 3.0, f64::NAN, 5.0, 7.0], 3);
        assert_eq!(smooth[..2], [2.0, 2.0]);
        assert!(smooth[2].is_nan());
        assert_eq!(smooth[3..], [6.0, 6.0]);
        assert_eq!(moving_average(&[1.0, 9.0], 1), [1.0, 9.0]);
    }

    #[test]
    fn nothing_one_step_and_only_gaps_can_be_drawn() {
        for values in [&[][..], &[0.4], &[f64::NAN, f64::NAN]] {
            for kind in [Kind::Lines, Kind::Shares] {
                assert_well_formed(&drawing(kind, vec![series("a", values)]));
            }
        }
    }

    #[test]
    fn labels_of_equal_lines_do_not_overlap() {
        let mut svg = Svg(String::new());
        let named: Vec<Series> = ["a", "b", "c"].map(|name| series(name, &[])).into();
        let ends = named.iter().map(|series| End { series, number: String::new(), height: 99.0 }).collect();
        labels(&mut svg, ends, 0.0, (0.0, 100.0));
        let heights: Vec<f64> = svg
            .0
            .lines()
            .filter(|line| line.starts_with("<text"))
            .map(|line| line.split('"').nth(3).unwrap().parse().unwrap())
            .collect();
        assert_eq!(heights.len(), 3);
        assert!(heights.windows(2).all(|pair| pair[1] - pair[0] >= LINE_HEIGHT - 0.01), "{heights:?}");
        assert!(heights[2] <= 104.1, "{heights:?}");
    }
}
