//! The results of a job: the paper's table per test set, on the terminal and in the run folder.

use std::sync::Arc;

use addendum_actors::Scores;
use addendum_studies::Dataset;
use anyhow::Result;

use super::{
    run_folder::RunFolder,
    table::{Row, Table},
    terminal::{Paint, print},
};

/// Writes `results.md` and `summary.json`, then prints a table per test set. A method comes with its scores by seed and
/// test set; the first one is what the others are compared with.
pub fn publish(
    tests: &[(String, Arc<dyn Dataset>)],
    methods: &[(&str, Vec<Vec<Scores>>)],
    folder: &RunFolder,
) -> Result<()> {
    let (mut markdown, mut text) = (String::new(), String::new());
    for (index, (name, dataset)) in tests.iter().enumerate() {
        let mut table = Table::clinical(format!("{name}, {} studies", dataset.len())).baseline(0);
        for (method, seeds) in methods {
            let scores: Vec<Scores> = seeds.iter().filter_map(|tests| tests.get(index).cloned()).collect();
            table = table.row(Row::clinical(*method, &scores));
        }
        text += &format!("\n{}\n", table.text(Paint::from_environment()));
        markdown += &table.markdown();
        markdown.push('\n');
    }
    folder.write("results.md", markdown.as_bytes())?;
    folder.summary(&methods)?;
    text += &format!("Everything about this run is in {}\n", folder.path().display());
    Ok(print(&text)?)
}
