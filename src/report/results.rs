//! The results of a job: the paper's table per test set, on the terminal and in the run folder.

use std::sync::Arc;

use addendum_actors::Scores;
use addendum_rewards::{
    assess::{Pair, Resampling, Seeds, gaps},
    evaluate::{Judged, pool},
};
use addendum_studies::Dataset;
use anyhow::Result;

use super::{
    run_folder::RunFolder,
    table::{CLINICAL, Row, Table},
    terminal::{Paint, print},
};

/// Writes `results.md` and `summary.json`, then prints a table per test set. A policy comes with its judged reports on each
/// test set; the first policy is what the others are compared with, by the paired bootstrap over studies.
pub fn publish(
    tests: &[(String, Arc<dyn Dataset>)],
    policies: &[(&str, Vec<Vec<Judged>>)],
    folder: &RunFolder,
) -> Result<()> {
    let (mut markdown, mut text) = (String::new(), String::new());
    for (index, (name, dataset)) in tests.iter().enumerate() {
        let mut table = Table::clinical(format!("{name}, {} studies", dataset.len())).baseline(0);
        let mut arms: Vec<Seeds> = Vec::new();
        for (policy, judged) in policies {
            table = table.row(Row::clinical(*policy, &[scores(&judged[index])]));
            arms.push(vec![judged[index].iter().map(Pair::from).collect()]);
        }
        let others: Vec<(usize, usize)> = (1..arms.len()).map(|other| (other, 0)).collect();
        let gaps = gaps(&arms, &others, &Resampling::default())?;
        // The table's columns are the first qualities.
        let bounds = gaps.iter().map(|gaps| gaps[..CLINICAL.len()].iter().map(|gap| (gap.low, gap.high)).collect());
        table = table.intervals(bounds.collect());
        text += &format!("\n{}\n", table.text(Paint::from_environment()));
        markdown += &table.markdown();
        markdown.push('\n');
    }
    folder.write("results.md", markdown.as_bytes())?;
    let named = |(name, judged): &(&str, Vec<Vec<Judged>>)| {
        (name.to_string(), judged.iter().map(|judged| scores(judged)).collect())
    };
    folder.summary(&policies.iter().map(named).collect::<Vec<(String, Vec<Scores>)>>())?;
    Ok(print(&text)?)
}

fn scores(judged: &[Judged]) -> Scores {
    pool(&judged.iter().collect::<Vec<_>>()).by_name()
}
