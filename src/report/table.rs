//! Tables of scores: for the terminal, as Markdown, CSV and JSON. Knows how to print numbers, not how to get them.
//!
//! The layout is ours: `comfy-table` rules off the header and then all rows or none, not the rows of differences alone.

use std::{collections::BTreeMap, fmt::Write};

use console::{Alignment, measure_text_width, pad_str};
use serde::{Deserialize, Serialize};

use super::terminal::Paint;

/// The columns of the paper's table and the names of their scores in an evaluation.
pub const CLINICAL: [(&str, &str); 7] = [
    ("Micro-F1-14", "micro_f1_14"),
    ("Macro-F1-14", "macro_f1_14"),
    ("Micro-F1-5", "micro_f1_5"),
    ("Macro-F1-5", "macro_f1_5"),
    ("RadGraph F1", "radgraph_f1"),
    ("RaTE", "rate"),
    ("Avg.", "average"),
];

/// A score over several seeds, not yet in percent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stat {
    /// Over the seeds.
    pub mean: f64,
    /// Sample standard deviation (divisor n − 1); zero for one value.
    pub spread: f64,
    /// How many seeds.
    pub n: usize,
}

impl Stat {
    /// Nothing if there is no value, or one that is not finite: a failed seed must not go unnoticed in a mean.
    pub fn of(values: &[f64]) -> Option<Self> {
        if values.is_empty() || values.iter().any(|value| !value.is_finite()) {
            return None;
        }
        let n = values.len();
        let mean = values.iter().sum::<f64>() / n as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let spread = if n > 1 { (squares / (n - 1) as f64).sqrt() } else { 0.0 };
        Some(Self { mean, spread, n })
    }
}

/// A named row, one value per column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Of the method or arm, as printed.
    pub name: String,
    /// One for each column of the table; `None` is printed as a dash.
    pub values: Vec<Option<Stat>>,
}

impl Row {
    /// The [`CLINICAL`] columns out of the scores of one evaluation per seed. A column that an evaluation lacks is empty.
    pub fn clinical(name: impl Into<String>, seeds: &[BTreeMap<String, f64>]) -> Self {
        let stat = |(_, score): &(&str, &str)| {
            let values = seeds.iter().map(|scores| scores.get(*score).copied());
            Stat::of(&values.collect::<Option<Vec<f64>>>()?)
        };
        Self { name: name.into(), values: CLINICAL.iter().map(stat).collect() }
    }
}

/// Rows of scores, of which the highest in each column are marked. Printed in points of 100 with one decimal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// Printed above the table.
    pub title: String,
    /// As printed above the values.
    pub columns: Vec<String>,
    /// In the order in which they are printed.
    pub rows: Vec<Row>,
    /// The row that the others are compared with, in additional rows of differences.
    pub baseline: Option<usize>,
    /// The middle 95 % of each difference's resamples by column, a line for each row of differences; none where they are
    /// not known.
    pub intervals: Vec<Vec<(f64, f64)>>,
}

impl Table {
    /// A table without rows.
    pub fn new<C: Into<String>>(title: impl Into<String>, columns: impl IntoIterator<Item = C>) -> Self {
        Self {
            title: title.into(),
            columns: columns.into_iter().map(C::into).collect(),
            rows: Vec::new(),
            baseline: None,
            intervals: Vec::new(),
        }
    }

    /// A table with the paper's columns.
    pub fn clinical(title: impl Into<String>) -> Self {
        Self::new(title, CLINICAL.map(|(column, _)| column))
    }

    /// Appends a row.
    pub fn row(mut self, row: Row) -> Self {
        self.rows.push(row);
        self
    }

    /// Compares all other rows with this one.
    pub fn baseline(mut self, row: usize) -> Self {
        self.baseline = Some(row);
        self
    }

    /// Says how sure the differences are.
    pub fn intervals(mut self, intervals: Vec<Vec<(f64, f64)>>) -> Self {
        self.intervals = intervals;
        self
    }

    /// Aligned columns for a terminal. The best are bold, and marked with a star, which is all there is of it without
    /// colours.
    pub fn text(&self, paint: Paint) -> String {
        let rows: Vec<Vec<String>> = self.cells(|cell, is_best| format!("{cell}{}", if is_best { "*" } else { " " }));
        let differences = self.differences();
        let header: Vec<String> = [self.title.clone()].into_iter().chain(self.columns.clone()).collect();
        // The space under a star belongs to numbers only.
        let header =
            header.iter().enumerate().map(|(column, name)| if column == 0 { name.clone() } else { format!("{name} ") });
        let lines: Vec<Vec<String>> = [header.collect()].into_iter().chain(rows).chain(differences.clone()).collect();
        let widths: Vec<usize> = (0..=self.columns.len())
            .map(|column| {
                lines.iter().filter_map(|line| line.get(column)).map(|cell| measure_text_width(cell)).max().unwrap_or(0)
            })
            .collect();
        let rule = paint.dim("─".repeat(widths.iter().sum::<usize>() + 2 * self.columns.len()));
        let mut text = String::new();
        for (index, line) in lines.iter().enumerate() {
            if index == 1 || (index == 1 + self.rows.len()) {
                text += &rule;
                text.push('\n');
            }
            let cells = line.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
                let side = if column == 0 { Alignment::Left } else { Alignment::Right };
                let cell = pad_str(cell, *width, side, None);
                let is_best = index > 0 && cell.contains('*') && column > 0;
                if is_best || index == 0 { paint.bold(cell) } else { cell.into_owned() }
            });
            text += cells.collect::<Vec<_>>().join("  ").trim_end();
            text.push('\n');
        }
        if let Some(seeds) =
            self.rows.iter().flat_map(|row| &row.values).flatten().map(|stat| stat.n).max().filter(|n| *n > 1)
        {
            text += &paint.dim(format!("± is the standard deviation over {seeds} seeds; * is the best of a column"));
            text.push('\n');
        }
        text
    }

    /// A Markdown table, the best in bold.
    pub fn markdown(&self) -> String {
        let escape = |text: &String| text.replace('|', "\\|");
        let rows = self.cells(|cell, is_best| if is_best { format!("**{cell}**") } else { cell });
        let header: Vec<String> = [&self.title].into_iter().chain(&self.columns).map(escape).collect();
        let lines = [header].into_iter().chain(rows).chain(self.differences());
        let mut text = String::new();
        for (index, line) in lines.enumerate() {
            let cells =
                line.iter().enumerate().map(|(column, cell)| if column == 0 { escape(cell) } else { cell.clone() });
            let _ =
                writeln!(text, "| {} |", cells.map(|cell| cell.trim_end().to_string()).collect::<Vec<_>>().join(" | "));
            if index == 0 {
                let _ = writeln!(text, "|:--|{}", "--:|".repeat(self.columns.len()));
            }
        }
        text
    }

    /// One line per row: its name, then mean, spread and number of seeds of every column, unrounded and not in percent.
    pub fn csv(&self) -> String {
        let header =
            self.columns.iter().flat_map(|name| ["mean", "spread", "n"].map(|part| quote(&format!("{name} {part}"))));
        let mut text = [quote(&self.title)].into_iter().chain(header).collect::<Vec<_>>().join(",");
        text.push('\n');
        for row in &self.rows {
            text += &quote(&row.name);
            for column in 0..self.columns.len() {
                let _ = match value(row, column) {
                    Some(Stat { mean, spread, n }) => write!(text, ",{mean},{spread},{n}"),
                    None => write!(text, ",,,"),
                };
            }
            text.push('\n');
        }
        text
    }

    /// The table as it is, for [`serde_json`].
    ///
    /// # Errors
    /// Never for a table of finite numbers.
    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }

    /// Names and printed values of all rows; `mark` is told which values are the best of their column.
    fn cells(&self, mark: impl Fn(String, bool) -> String) -> Vec<Vec<String>> {
        let best: Vec<Option<String>> = (0..self.columns.len())
            .map(|column| {
                let means = self.rows.iter().filter_map(|row| value(row, column)).map(|stat| stat.mean);
                means.max_by(f64::total_cmp).filter(|_| self.rows.len() > 1).map(points)
            })
            .collect();
        let cell = |row: &Row, column: usize| match value(row, column) {
            // Ties are broken by what a reader can see.
            Some(stat) => mark(print(stat), best[column].as_ref() == Some(&points(stat.mean))),
            None => mark("–".into(), false),
        };
        let line = |row: &Row| {
            let cells = (0..self.columns.len()).map(|column| cell(row, column));
            [row.name.clone()].into_iter().chain(cells).collect()
        };
        self.rows.iter().map(line).collect()
    }

    /// One line per row that is not the baseline.
    fn differences(&self) -> Vec<Vec<String>> {
        let Some((index, base)) = self.baseline.and_then(|index| Some((index, self.rows.get(index)?))) else {
            return Vec::new();
        };
        let difference = |row: &Row, column: usize| match (value(row, column), value(base, column)) {
            (Some(stat), Some(base)) => signed(stat.mean - base.mean),
            _ => "– ".into(),
        };
        let others = self.rows.iter().enumerate().filter(|(other, _)| *other != index);
        let line = |(place, (_, row)): (usize, (usize, &Row))| {
            let cells = (0..self.columns.len()).map(|column| difference(row, column));
            let difference = [format!("{} − {}", row.name, base.name)].into_iter().chain(cells).collect();
            let interval = self.intervals.get(place).map(|bounds| {
                let cells = bounds.iter().map(|(low, high)| format!("{} to {} ", minus(*low), minus(*high)));
                ["95 % of resamples".to_owned()].into_iter().chain(cells).collect()
            });
            [Some(difference), interval].into_iter().flatten()
        };
        others.enumerate().flat_map(line).collect()
    }
}

fn value(row: &Row, column: usize) -> Option<&Stat> {
    row.values.get(column)?.as_ref()
}

fn points(mean: f64) -> String {
    // The sum turns a negative zero into a positive one.
    format!("{:.1}", (1000.0 * mean).round() / 10.0 + 0.0)
}

fn print(stat: &Stat) -> String {
    match stat.n {
        ..=1 => points(stat.mean),
        _ => format!("{} ± {}", points(stat.mean), points(stat.spread)),
    }
}

/// A number in points with a minus sign that is as wide as a digit.
fn minus(value: f64) -> String {
    points(value).replace('-', "−")
}

fn signed(difference: f64) -> String {
    let text = points(difference);
    match text.strip_prefix('-') {
        Some(size) => format!("−{size} "),
        None if text == "0.0" => "0.0 ".into(),
        None => format!("+{text} "),
    }
}

fn quote(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, values: &[&[f64]]) -> Row {
        Row { name: name.into(), values: values.iter().map(|values| Stat::of(values)).collect() }
    }

    fn table() -> Table {
        Table::new("in-domain", ["Micro", "RaTE"])
            .row(row("SFT", &[&[0.5, 0.52], &[0.6]]))
            .row(row("EditGRPO β", &[&[0.55, 0.56], &[0.6001]]))
            .row(row("報告", &[&[], &[0.4]]))
            .baseline(0)
    }

    #[test]
    fn the_spread_is_that_of_a_sample() {
        let stat = Stat::of(&[1.0, 2.0, 3.0]).unwrap();
        assert_eq!(stat, Stat { mean: 2.0, spread: 1.0, n: 3 });
        assert_eq!(Stat::of(&[0.3]).unwrap().spread, 0.0);
        assert_eq!(Stat::of(&[0.3, f64::NAN]), None);
        assert_eq!(Stat::of(&[]), None);
    }

    #[test]
    fn text_is_aligned_by_what_is_seen_and_marks_the_best_as_printed() {
        let expected = "\
in-domain              Micro    RaTE
─────────────────────────────────────
SFT               51.0 ± 1.4    60.0*
EditGRPO β        55.5 ± 0.7*   60.0*
報告                       –    40.0
─────────────────────────────────────
EditGRPO β − SFT        +4.5     0.0
報告 − SFT                 –   −20.0
± is the standard deviation over 2 seeds; * is the best of a column
";
        let text = table().text(Paint::PLAIN);
        assert_eq!(text, expected, "\n{text}");
        let width = |line: &str| measure_text_width(line.trim_end_matches('*'));
        let cells = text.lines().filter(|line| !line.starts_with(['─', '±']));
        let ends: Vec<usize> = cells.map(width).collect();
        assert!(ends.iter().all(|end| *end == ends[0]), "{ends:?}");
    }

    #[test]
    fn one_row_alone_is_not_the_best_of_anything() {
        let table = Table::new("t", ["a"]).row(row("x", &[&[0.5]]));
        assert!(!table.text(Paint::PLAIN).contains('*'));
    }

    #[test]
    fn every_difference_is_followed_by_its_interval() {
        let table = table().intervals(vec![vec![(0.01, 0.08), (-0.0004, 0.003)], vec![(0.0, 0.0), (-0.25, -0.15)]]);
        let expected = "\
| EditGRPO β − SFT | +4.5 | 0.0 |
| 95 % of resamples | 1.0 to 8.0 | 0.0 to 0.3 |
| 報告 − SFT | – | −20.0 |
| 95 % of resamples | 0.0 to 0.0 | −25.0 to −15.0 |
";
        assert!(table.markdown().ends_with(expected), "{}", table.markdown());
    }

    #[test]
    fn markdown_puts_the_best_in_bold() {
        let expected = "\
| in-domain | Micro | RaTE |
|:--|--:|--:|
| SFT | 51.0 ± 1.4 | **60.0** |
| EditGRPO β | **55.5 ± 0.7** | **60.0** |
| 報告 | – | 40.0 |
| EditGRPO β − SFT | +4.5 | 0.0 |
| 報告 − SFT | – | −20.0 |
";
        assert_eq!(table().markdown(), expected);
    }

    #[test]
    fn csv_and_json_keep_every_digit() {
        let table = Table::new("a, \"b\"", ["x"]).row(row("r", &[&[0.125, 0.375]])).row(row("none", &[&[]]));
        assert_eq!(table.csv(), "\"a, \"\"b\"\"\",x mean,x spread,x n\nr,0.25,0.1767766952966369,2\nnone,,,\n");
        assert_eq!(serde_json::from_str::<Table>(&table.json().unwrap()).unwrap(), table);
    }

    #[test]
    fn clinical_rows_take_their_columns_by_name() {
        let seed = |average| BTreeMap::from([("average".to_string(), average), ("mean_words".to_string(), 40.0)]);
        let row = Row::clinical("SFT", &[seed(0.5), seed(0.6)]);
        assert_eq!(row.values.len(), CLINICAL.len());
        assert_eq!(row.values[6].unwrap().n, 2);
        assert!(row.values[..6].iter().all(Option::is_none));
    }
}
