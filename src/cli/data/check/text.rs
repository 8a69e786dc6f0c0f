//! A check as text.

use std::fmt::{self, Display, Formatter};

use super::{
    finding::Finding,
    set::{Lengths, Set},
    summary::Summary,
};

/// Of the longest bar of a histogram.
const BAR: usize = 40;

impl Display for Summary {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.sets.iter().try_for_each(|set| fmt_set(f, set))?;
        self.fmt_labels(f)?;
        fmt_findings(f, "warning", &self.warnings)?;
        fmt_findings(f, "problem", &self.problems)?;
        if self.problems.is_empty() {
            writeln!(f, "nothing is wrong with {}", self.folder.display())?;
        }
        Ok(())
    }
}

impl Summary {
    /// Shares of the reports that say an observation is there, or may be.
    fn fmt_labels(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Some(first) = self.sets.first() else { return Ok(()) };
        write!(f, "{:<28}", "present or uncertain")?;
        self.sets.iter().try_for_each(|set| write!(f, "{:>10}", set.split.name()))?;
        writeln!(f)?;
        for name in first.labels.keys() {
            write!(f, "  {name:<26}")?;
            for set in &self.sets {
                let counts = set.labels.get(name).copied().unwrap_or_default();
                let share = (counts.positive + counts.uncertain) as f64 / set.studies.max(1) as f64;
                write!(f, "{:>8.1} %", 100.0 * share)?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

fn fmt_set(f: &mut Formatter<'_>, set: &Set) -> fmt::Result {
    writeln!(f, "{}", set.split)?;
    line(f, "file", &set.file)?;
    line(f, "studies", set.studies)?;
    if set.bad_entries > 0 {
        line(f, "entries that are none", set.bad_entries)?;
    }
    if set.patients > 0 {
        line(f, "patients", set.patients)?;
    }
    line(f, "images", set.images)?;
    let lengths = [
        ("words of reports", &set.report_words),
        ("tokens of reports", &set.report_tokens),
        ("tokens of prompts", &set.prompt_tokens),
    ];
    lengths.into_iter().filter_map(|(name, lengths)| Some((name, lengths.as_ref()?))).try_for_each(|(name, lengths)| {
        let Lengths { least, typical, longest, .. } = lengths;
        line(f, name, format!("{typical}, from {least} to {longest}"))?;
        fmt_histogram(f, lengths)
    })
}

fn fmt_histogram(f: &mut Formatter<'_>, lengths: &Lengths) -> fmt::Result {
    let most = lengths.histogram.iter().map(|bar| bar.count).max().unwrap_or_default().max(1);
    for bar in &lengths.histogram {
        let filled = "█".repeat((bar.count * BAR).div_ceil(most));
        writeln!(f, "  {:>20} to {:<6} {:>7} {filled}", bar.from, bar.to - 1, bar.count)?;
    }
    Ok(())
}

fn fmt_findings(f: &mut Formatter<'_>, what: &str, found: &[Finding]) -> fmt::Result {
    if !found.is_empty() {
        writeln!(f, "{} {what}{}", found.len(), if found.len() == 1 { "" } else { "s" })?;
    }
    found.iter().try_for_each(|one| writeln!(f, "  {one}"))
}

fn line(f: &mut Formatter<'_>, name: &str, value: impl Display) -> fmt::Result {
    writeln!(f, "  {name:<26} {value}")
}
