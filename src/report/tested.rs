//! What each policy wrote for each test study, and what that is worth: one line of `tests.jsonl` per study.

use addendum_rewards::{Labels, evaluate::Judged};
use serde::{Deserialize, Serialize};

/// The file of a run folder that holds them.
pub const TESTS: &str = "tests.jsonl";

/// A test study and the reports on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tested {
    /// The test set's name.
    pub set: String,
    /// The study's id.
    pub study: String,
    /// What of the reference report speaks.
    pub reference: String,
    /// What the reference says of each observation, in the order of [`Observation::ALL`](addendum_rewards::Observation::ALL).
    pub truth: Labels,
    /// The words of the entities that the reference asserts.
    pub meant: Vec<String>,
    /// In the order of the results' rows: the checkpoint before training first.
    pub reports: Vec<Written>,
}

/// A greedy report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Written {
    /// Who wrote it, as the results' rows are called.
    pub policy: String,
    /// Its text.
    pub report: String,
    /// The length limit came before its end.
    pub truncated: bool,
    /// What it says of each observation.
    pub labels: Labels,
    /// RadGraph F1, partial level.
    pub radgraph: f64,
    /// RaTEScore.
    pub rate: f64,
    /// The words of the entities that the report asserts.
    pub said: Vec<String>,
}

impl Tested {
    /// The study with as yet no report on it.
    pub fn new(set: &str, study: &str, judged: &Judged) -> Self {
        let Judged { reference, truth, meant, .. } = judged.clone();
        Self { set: set.into(), study: study.into(), reference, truth, meant, reports: Vec::new() }
    }

    /// Adds what a policy wrote.
    pub fn add(&mut self, policy: &str, truncated: bool, judged: &Judged) {
        let Judged { report, labels, radgraph, rate, said, .. } = judged.clone();
        self.reports.push(Written { policy: policy.into(), report, truncated, labels, radgraph, rate, said });
    }

    /// The report of that place, judged as it was.
    pub fn judged(&self, place: usize) -> Option<Judged> {
        let Written { report, labels, radgraph, rate, said, .. } = self.reports.get(place)?.clone();
        let (reference, truth, meant) = (self.reference.clone(), self.truth, self.meant.clone());
        Some(Judged { report, reference, labels, truth, radgraph, rate, said, meant })
    }
}

/// The text of the file.
///
/// # Errors
/// A score that is not finite.
pub fn lines(tests: &[Tested]) -> serde_json::Result<String> {
    let mut text = String::new();
    for tested in tests {
        text += &serde_json::to_string(tested)?;
        text.push('\n');
    }
    Ok(text)
}
