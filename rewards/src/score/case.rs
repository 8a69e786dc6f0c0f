//! What a component of a reward sees, and the trait of what judges it. Knows neither metrics nor configuration.

use addendum_studies::Study;

/// Why a component has no values. Any error or string converts into it.
pub type ScoreError = Box<dyn std::error::Error + Send + Sync>;

/// A report to be judged.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// The findings alone, without the end token.
    pub text: &'a str,
    /// In the policy's vocabulary, with the end token where there is one. Empty where the report was not generated.
    pub tokens: &'a [u32],
    /// It reached the longest response before its end token.
    pub truncated: bool,
}

/// A study and the reports to be judged: all of its group, once the editor has added to them.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// With the reference, which rewards may read.
    pub study: &'a Study,
    /// One group, in its order.
    pub reports: &'a [Report<'a>],
}

impl<'a> Case<'a> {
    /// The radiologist's findings.
    pub fn reference(&self) -> &'a str {
        self.study.reference.text()
    }

    /// The text of each report.
    pub fn texts(&self) -> Vec<&'a str> {
        self.reports.iter().map(|report| report.text).collect()
    }
}

/// A component of a reward. Any function of that shape is one; [`Components`](crate::Components) gives it a name.
///
/// For a reproducible run a value must depend on the case alone. Calls come from several threads at a time.
///
/// ```
/// use addendum_rewards::{Case, Report, Score, ScoreError};
/// use addendum_studies::{Reference, Study};
///
/// /// One for a report of at most the reference's length, less for every word beyond.
/// struct Brevity;
///
/// impl Score for Brevity {
///     fn score(&self, case: &Case<'_>) -> Result<Vec<f64>, ScoreError> {
///         let words = |text: &str| text.split_whitespace().count();
///         let excess = |report: &Report<'_>| words(report.text).saturating_sub(words(case.reference()));
///         Ok(case.reports.iter().map(|report| 1.0 / (1 + excess(report)) as f64).collect())
///     }
/// }
///
/// let reference = Reference::new("No effusion.");
/// let study = Study { id: "1".into(), views: vec![], indication: None, technique: None, comparison: None, reference };
/// let report = |text| Report { text, tokens: &[], truncated: false };
/// let reports = [report("Clear."), report("There is no effusion.")];
/// assert_eq!(Brevity.score(&Case { study: &study, reports: &reports })?, [1.0, 1.0 / 3.0]);
/// # Ok::<(), ScoreError>(())
/// ```
pub trait Score: Send + Sync {
    /// One finite value per report, in order. It may be negative.
    ///
    /// # Errors
    /// Never a zero in the place of an error: a group that cannot be scored is tried again.
    fn score(&self, case: &Case<'_>) -> Result<Vec<f64>, ScoreError>;
}

impl<F> Score for F
where
    F: Fn(&Case<'_>) -> Result<Vec<f64>, ScoreError> + Send + Sync,
{
    fn score(&self, case: &Case<'_>) -> Result<Vec<f64>, ScoreError> {
        self(case)
    }
}
