//! The outcomes of a sweep as a Markdown table.

use super::trial::Outcome;

const COLUMNS: [&str; 14] = [
    "samplers",
    "groups",
    "η",
    "reward",
    "groups/s",
    "steps/h",
    "of ideal",
    "bottleneck",
    "speed",
    "samplers busy",
    "learner busy",
    "mean age",
    "in flight",
    "µs, CPU µs",
];

/// The table, a line for each outcome.
pub fn markdown(outcomes: &[Outcome]) -> String {
    let rows: Vec<[String; COLUMNS.len()]> = outcomes.iter().map(cells).collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].as_str()).chain([COLUMNS[column]]);
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..COLUMNS.len()).map(width).collect();
    let line = |cells: &[String]| {
        let padded = cells.iter().zip(&widths).map(|(cell, &width)| format!(" {cell:>width$} |"));
        format!("|{}\n", padded.collect::<String>())
    };
    let rule: String = widths.iter().map(|width| format!("{}:|", "-".repeat(width + 1))).collect();
    let head = line(&COLUMNS.map(str::to_string));
    format!("{head}|{rule}\n{}", rows.iter().map(|row| line(row)).collect::<String>())
}

fn cells(outcome: &Outcome) -> [String; COLUMNS.len()] {
    let percent = |share: f64| format!("{:.1} %", 100. * share);
    [
        outcome.samplers.to_string(),
        outcome.groups.to_string(),
        outcome.staleness.to_string(),
        outcome.reward_latency.to_string(),
        format!("{:.1}", outcome.groups_per_second),
        format!("{:.0}", outcome.steps_per_hour),
        outcome.share_of_ideal.map(percent).unwrap_or_default(),
        outcome.bottleneck.unwrap_or_default().to_string(),
        outcome.speed.map(|speed| format!("{speed:.2}")).unwrap_or_default(),
        percent(outcome.busy.samplers),
        percent(outcome.busy.learner),
        format!("{:.2}", outcome.staleness_mean),
        outcome.in_flight_max.to_string(),
        match outcome.processor_overhead {
            Some(processor) => format!("{:.0}, {processor:.0}", outcome.wall_overhead),
            None => format!("{:.0}", outcome.wall_overhead),
        },
    ]
}
