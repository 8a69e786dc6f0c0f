//! GREEN (Ostmeier et al. 2024, arXiv 2405.03595): a language model counts the errors of a report, for evaluation.
//!
//! What it is asked and how its answer is read, whoever runs the model: a service (`addendum-rewards-remote`) or this
//! process (`addendum-rewards-neural`). An answer that does not hold the counts is an error of that report and counts in
//! no mean. Too slow and too costly for a reward, so not one of its components.

mod answer;
mod layout;
mod prompt;

pub use answer::{AnswerError, Grade};
pub use prompt::Prompt;

/// The grades of a set of reports.
#[derive(Debug)]
pub struct Graded<E> {
    /// One per pair of reference and candidate, in order.
    pub grades: Vec<Result<Grade, E>>,
}

impl<E> Graded<E> {
    /// Mean GREEN score of the reports that were graded; `None` without any.
    pub fn mean(&self) -> Option<f64> {
        let scores: Vec<f64> = self.grades.iter().flatten().map(Grade::score).collect();
        (!scores.is_empty()).then(|| scores.iter().sum::<f64>() / scores.len() as f64)
    }

    /// Reports without a grade. A mean is not worth much when there are many.
    pub fn failures(&self) -> usize {
        self.grades.iter().filter(|grade| grade.is_err()).count()
    }
}
