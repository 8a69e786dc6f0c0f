//! The outcomes of a sweep as a Markdown table.

use super::trial::Outcome;

/// A column's name, and how an outcome fills it.
type Column = (&'static str, fn(&Outcome) -> String);

const COLUMNS: [Column; 15] = [
    ("samplers", |outcome| outcome.samplers.to_string()),
    ("groups", |outcome| outcome.groups.to_string()),
    ("η", |outcome| outcome.staleness.to_string()),
    ("reward", |outcome| outcome.reward_latency.to_string()),
    ("groups/s", |outcome| format!("{:.1}", outcome.groups_per_second)),
    ("steps/h", |outcome| format!("{:.0}", outcome.steps_per_hour)),
    ("of ideal", |outcome| outcome.share_of_ideal.map(percent).unwrap_or_default()),
    ("bottleneck", |outcome| outcome.bottleneck.unwrap_or_default().to_string()),
    ("speed", |outcome| outcome.speed.map(|speed| format!("{speed:.2}")).unwrap_or_default()),
    ("samplers busy", |outcome| percent(outcome.busy.samplers)),
    ("learner busy", |outcome| percent(outcome.busy.learner)),
    ("mean age", |outcome| format!("{:.2}", outcome.staleness_mean)),
    ("in flight", |outcome| outcome.in_flight_max.to_string()),
    ("overhead, µs", |outcome| format!("{:.0}", outcome.wall_overhead)),
    ("CPU, µs", |outcome| outcome.processor_overhead.map(|time| format!("{time:.0}")).unwrap_or_default()),
];

fn percent(share: f64) -> String {
    format!("{:.1} %", 100. * share)
}

/// The table, a line for each outcome.
pub fn markdown(outcomes: &[Outcome]) -> String {
    let head = COLUMNS.map(|(name, _)| name.to_string());
    let rows: Vec<_> = outcomes.iter().map(|outcome| COLUMNS.map(|(_, cell)| cell(outcome))).collect();
    let width = |column: usize| {
        let cells = rows.iter().chain([&head]).map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths: [usize; COLUMNS.len()] = std::array::from_fn(width);
    let line = |row: &[String; COLUMNS.len()]| {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| format!(" {cell:>width$} |"));
        format!("|{}\n", cells.collect::<String>())
    };
    let rule: String = widths.iter().map(|width| format!("{}:|", "-".repeat(width + 1))).collect();
    format!("{}|{rule}\n{}", line(&head), rows.iter().map(line).collect::<String>())
}
