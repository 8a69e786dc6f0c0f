//! A study's tables: Markdown whose columns are aligned, so that it reads on a terminal too.

use std::fmt::Write;

use addendum_rewards::metrics::Prf;
use console::{Alignment, measure_text_width, pad_str};

use super::summary::{ArmSummary, Difference, LevelSummary, Summary, TestSummary};
use crate::report::{
    table::{CLINICAL, Stat},
    terminal::rough_duration,
};

/// Further columns and the names of their scores.
const FURTHER: [(&str, &str); 4] = [
    ("Precision", "micro_precision_14"),
    ("Recall", "micro_recall_14"),
    ("Normal", "normal_share"),
    ("Distinct", "distinct_share"),
];

/// What fits on a terminal.
const NARROW: [&str; 5] = ["micro_f1_14", "macro_f1_14", "radgraph_f1", "rate", "average"];

impl Summary {
    /// The whole of `results.md`.
    pub fn markdown(&self) -> String {
        let columns: Vec<_> = CLINICAL.into_iter().chain(FURTHER).collect();
        let scores = self.scores(&columns, pages);
        format!("# {}\n{scores}\n# Findings\n\nSums over the seeds.\n{}", self.name, self.findings())
    }

    /// The tables of the scores that matter most, for a terminal.
    pub fn text(&self) -> String {
        let columns: Vec<_> = CLINICAL.into_iter().filter(|(_, score)| NARROW.contains(score)).collect();
        self.scores(&columns, |_| String::new())
    }

    fn scores(&self, columns: &[(&str, &str)], more: impl Fn(&LevelSummary) -> String) -> String {
        let mut text = String::new();
        for level in &self.levels {
            if !level.name.is_empty() {
                let _ = write!(text, "\n## {}\n", level.name);
            }
            level.tests.iter().for_each(|test| text += &scores(test, columns));
            text += &notes(level);
            text += &more(level);
        }
        text
    }

    fn findings(&self) -> String {
        let mut text = String::new();
        for (level, test) in self.levels.iter().flat_map(|level| level.tests.iter().map(move |test| (level, test))) {
            let level = if level.name.is_empty() { String::new() } else { format!("{}, ", level.name) };
            let _ = writeln!(text, "\n### {level}{}, {}\n", test.set, decoding(test.temperature));
            let header = ["", "arm", "support", "precision", "recall", "F1"].map(str::to_owned).to_vec();
            let mut rows = vec![header];
            let names = test.arms.first().map(|arm| arm.findings.iter().map(|(name, _)| name)).into_iter().flatten();
            for (index, name) in names.enumerate() {
                for arm in &test.arms {
                    let Some((_, seeds)) = arm.findings.get(index) else { continue };
                    let sum = |count: fn(&super::results::Finding) -> usize| seeds.iter().map(count).sum();
                    let support: usize = sum(|finding| finding.support);
                    let prf = Prf::of_counts(sum(|finding| finding.hits), sum(|finding| finding.said), support);
                    let points = [prf.precision, prf.recall, prf.f1].map(points);
                    let row = [name.clone(), arm.arm.clone(), support.to_string()];
                    rows.push(row.into_iter().chain(points).collect());
                }
            }
            text += &aligned(&rows);
        }
        text
    }
}

fn decoding(temperature: f64) -> String {
    if temperature == 0.0 { "greedy".into() } else { format!("T = {temperature}") }
}

fn scores(test: &TestSummary, columns: &[(&str, &str)]) -> String {
    let title = format!("{}, {} studies, {}", test.set, test.studies, decoding(test.temperature));
    let header = [title].into_iter().chain(columns.iter().map(|(column, _)| (*column).to_owned()));
    let mut rows: Vec<Vec<String>> = vec![header.collect()];
    for arm in &test.arms {
        let cell = |(_, score): &(&str, &str)| {
            arm.scores.get(*score).and_then(|seeds| Stat::of(seeds)).map_or("–".into(), stat)
        };
        rows.push([arm.arm.clone()].into_iter().chain(columns.iter().map(cell)).collect());
    }
    for Difference { arm, baseline, gaps } in &test.differences {
        let cell = |(_, score): &(&str, &str)| match gaps.get(score) {
            Some(gap) => format!("{} [{}, {}]", signed(gap.difference), signed(gap.low), signed(gap.high)),
            None => String::new(),
        };
        rows.push([format!("{arm} − {baseline}")].into_iter().chain(columns.iter().map(cell)).collect());
    }
    format!("\n{}", aligned(&rows))
}

/// Mean, standard deviation, and in brackets the standard error.
fn stat(Stat { mean, spread, n }: Stat) -> String {
    match n {
        ..=1 => points(mean),
        _ => format!("{} ± {} ({})", points(mean), points(spread), points(spread / (n as f64).sqrt())),
    }
}

fn points(value: f64) -> String {
    // The sum turns a negative zero into a positive one.
    format!("{:.1}", (1000.0 * value).round() / 10.0 + 0.0)
}

fn signed(value: f64) -> String {
    let text = points(value);
    match text.strip_prefix('-') {
        Some(size) => format!("−{size}"),
        None if text == "0.0" => text,
        None => format!("+{text}"),
    }
}

fn notes(level: &LevelSummary) -> String {
    let mut text = String::from(
        "\nPoints of 100: mean over seeds ± standard deviation (standard error); differences with the middle 95 % of 1000 \
         paired resamples of studies and seeds.\n\n",
    );
    for ArmSummary { name, grid, seconds, timed, .. } in &level.arms {
        let mut parts = Vec::new();
        if let Some(time) = Stat::of(seconds) {
            parts.push(format!("{} a run, {} in all", time_of(time.mean), time_of(seconds.iter().sum())));
        }
        if *timed {
            parts.push("its length is a time, so its numbers cannot be reproduced exactly".into());
        }
        let point = |point: &super::summary::PointSummary| {
            let chosen = if point.chosen { " (chosen)" } else { "" };
            format!("{} gives {}{chosen}", point.point, points(point.validation))
        };
        if !grid.is_empty() {
            parts.push(format!("on validation, {}", grid.iter().map(point).collect::<Vec<_>>().join(", ")));
        }
        if !parts.is_empty() {
            let _ = writeln!(text, "- {name}: {}.", parts.join("; "));
        }
    }
    text
}

/// Where the runs are shown.
fn pages(level: &LevelSummary) -> String {
    let mut text = String::new();
    let mut put = |what: &str, links: String| {
        let _ = writeln!(text, "{}- {what}: {links}", if text.is_empty() { "\nPages:\n\n" } else { "" });
    };
    if let Some(page) = &level.page {
        put("All arms", format!("[{page}]({page})"));
    }
    for arm in level.arms.iter().filter(|arm| !arm.pages.is_empty()) {
        let links = arm.pages.iter().map(|(seed, page)| format!("[seed {seed}]({page})"));
        put(&arm.name, links.collect::<Vec<_>>().join(", "));
    }
    text
}

fn time_of(seconds: f64) -> String {
    rough_duration(std::time::Duration::from_secs_f64(seconds.max(0.0)))
}

/// A Markdown table, the first column to the left and all others to the right.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| measure_text_width(cell)).max().unwrap_or(0).max(3)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            let side = if column == 0 { Alignment::Left } else { Alignment::Right };
            pad_str(&cell.replace('|', "\\|"), *width, side, None).into_owned()
        });
        let _ = writeln!(text, "| {} |", cells.collect::<Vec<_>>().join(" | "));
        if index == 0 {
            let rule = |(column, width): (usize, &usize)| {
                if column == 0 { format!(":{}", "-".repeat(width + 1)) } else { format!("{}:", "-".repeat(width + 1)) }
            };
            let _ = writeln!(text, "|{}|", widths.iter().enumerate().map(rule).collect::<Vec<_>>().join("|"));
        }
    }
    text
}
