//! What was found wrong with a plan so far.

use std::fmt::Display;

use crate::train::settings::Problem;

/// What was found wrong so far.
#[derive(Debug, Default)]
pub struct Findings {
    pub problems: Vec<Problem>,
    pub warnings: Vec<Problem>,
}

impl Findings {
    pub fn problem(&mut self, key: &str, reason: impl Display) {
        let problem = Problem::new(key, reason);
        // All sets of a folder may miss the same file.
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    pub fn warning(&mut self, key: &str, reason: impl Display) {
        self.warnings.push(Problem::new(key, reason));
    }

    /// The value, or its absence with a problem more.
    pub fn note<T, E: Display>(&mut self, key: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.problem(key, format!("{error:#}"))).ok()
    }
}
