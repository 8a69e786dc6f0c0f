//! An SVG document as text, element by element. Coordinates are pixels from the upper left corner.
//!
//! Ours, as the charts take a handful of elements, and a plotting crate would add its size and its looks.

use std::fmt::Write;

pub(super) const INK: &str = "#24292f";
pub(super) const FAINT_INK: &str = "#6a737d";
pub(super) const GRID: &str = "#e7eaee";
pub(super) const AXIS: &str = "#c4cad1";

/// A piece of text and how it looks.
pub(super) struct Text<'a> {
    content: &'a str,
    size: f64,
    weight: u32,
    colour: &'static str,
    anchor: &'static str,
}

impl<'a> Text<'a> {
    pub fn new(content: &'a str) -> Self {
        Self { content, size: 12.0, weight: 400, colour: INK, anchor: "start" }
    }

    pub fn size(self, size: f64) -> Self {
        Self { size, ..self }
    }

    pub fn bold(self) -> Self {
        Self { weight: 600, ..self }
    }

    pub fn faint(self) -> Self {
        Self { colour: FAINT_INK, ..self }
    }

    pub fn middle(self) -> Self {
        Self { anchor: "middle", ..self }
    }

    pub fn end(self) -> Self {
        Self { anchor: "end", ..self }
    }
}

/// The document as it grows.
pub(super) struct Svg(pub String);

impl Svg {
    pub fn new(width: f64, height: f64) -> Self {
        let fonts = "Inter, 'Helvetica Neue', Helvetica, Arial, 'DejaVu Sans', sans-serif";
        Self(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" font-family=\"{fonts}\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
        ))
    }

    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        let _ = self.0.write_fmt(element);
        self.0.push('\n');
    }

    pub fn text(&mut self, x: f64, y: f64, text: &Text<'_>) {
        let Text { size, weight, colour, anchor, .. } = text;
        let content = escape(text.content);
        self.push(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" font-weight=\"{weight}\" fill=\"{colour}\" \
             text-anchor=\"{anchor}\">{content}</text>"
        ));
    }

    pub fn named_value(&mut self, x: f64, y: f64, name: &str, colour: &str, value: &str) {
        let name = escape(name);
        self.push(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"12\"><tspan font-weight=\"600\" fill=\"{colour}\">{name}</tspan>\
             <tspan dx=\"6\" fill=\"{FAINT_INK}\">{value}</tspan></text>"
        ));
    }

    pub fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), colour: &str) {
        self.push(format_args!(
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\"/>"
        ));
    }

    pub fn path(&mut self, path: &str, colour: &str, width: f64, opacity: f64) {
        self.push(format_args!(
            "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\" stroke-opacity=\"{opacity}\" \
             stroke-linecap=\"round\" stroke-linejoin=\"round\"/>"
        ));
    }

    pub fn area(&mut self, path: &str, colour: &str, opacity: f64) {
        self.push(format_args!(
            "<path d=\"{path}\" fill=\"{colour}\" fill-opacity=\"{opacity}\" stroke=\"#ffffff\" stroke-width=\"1\" \
             stroke-linejoin=\"round\"/>"
        ));
    }

    pub fn finish(mut self) -> String {
        self.0.push_str("</svg>\n");
        self.0
    }
}

/// Text as it may stand in an element or a quoted attribute. What a terminal would obey becomes a replacement character.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(character),
            control if control.is_control() => escaped.push('\u{fffd}'),
            plain => escaped.push(plain),
        }
    }
    escaped
}

/// Straight lines between neighbouring points; a point without neighbours becomes a dot.
pub(super) fn open_path(points: &[Option<(f64, f64)>]) -> String {
    let mut path = String::new();
    for run in points.split(Option::is_none).filter(|run| !run.is_empty()) {
        for (index, (x, y)) in run.iter().flatten().enumerate() {
            let _ = write!(path, "{}{x:.1} {y:.1}", if index == 0 { 'M' } else { 'L' });
        }
        if run.len() == 1 {
            path.push_str("h0");
        }
    }
    path
}

/// The areas between two lines, given as `[x, lower y, upper y]`.
pub(super) fn closed_path(band: &[Option<[f64; 3]>]) -> String {
    let mut path = String::new();
    for run in band.split(Option::is_none).filter(|run| !run.is_empty()) {
        let there = run.iter().flatten().map(|[x, below, _]| (x, below));
        let back = run.iter().rev().flatten().map(|[x, _, above]| (x, above));
        for (index, (x, y)) in there.chain(back).enumerate() {
            let _ = write!(path, "{}{x:.1} {y:.1}", if index == 0 { 'M' } else { 'L' });
        }
        path.push('Z');
    }
    path
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Every opened element is closed, in order; text holds no markup.
    pub(crate) fn assert_well_formed(svg: &str) {
        let mut open = Vec::new();
        for part in svg.split('<').skip(1) {
            let (tag, text) = part.split_once('>').expect("a tag ends");
            assert!(!text.contains('>'), "stray > in {text}");
            assert_eq!(tag.matches('"').count() % 2, 0, "unbalanced quotes in {tag}");
            match tag.strip_prefix('/') {
                Some(name) => assert_eq!(open.pop(), Some(name), "in {svg}"),
                None if tag.ends_with('/') => {}
                None => open.push(tag.split(' ').next().unwrap()),
            }
        }
        assert!(open.is_empty(), "never closed: {open:?}");
    }

    #[test]
    fn a_gap_interrupts_the_line_and_a_lonely_point_is_a_dot() {
        let gap =
            [Some((0.0, 1.0)), Some((1.0, 1.0)), None, Some((3.0, 2.0)), None, Some((5.0, 3.0)), Some((6.0, 3.0))];
        assert_eq!(open_path(&gap), "M0.0 1.0L1.0 1.0M3.0 2.0h0M5.0 3.0L6.0 3.0");
        assert_eq!(open_path(&[None, None]), "");
    }
}
