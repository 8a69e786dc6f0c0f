//! GREEN in `addendum score`: the options that name the grader, and what is printed of its grades.

use std::path::PathBuf;

use addendum::remote::{
    Green, ServiceConfig,
    green::{Grade, GreenConfig},
};
use anyhow::{Context, Result};
use clap::Args;
use serde_json::{Value, json};

/// Failures that the table shows; the others are counted.
const SHOWN_FAILURES: usize = 5;

#[derive(Args)]
#[command(next_help_heading = "GREEN")]
pub struct GreenArgs {
    /// Base of an OpenAI-compatible API that serves a GREEN model, as http://127.0.0.1:8000/v1; without it no grades.
    #[arg(long, value_name = "URL", requires = "green_model")]
    green_url: Option<String>,
    /// The name under which it serves the model.
    #[arg(long, value_name = "NAME", requires = "green_url")]
    green_model: Option<String>,
    /// File with the API's bearer token.
    #[arg(long, value_name = "FILE", requires = "green_url")]
    green_token_file: Option<PathBuf>,
    /// A prompt with {reference} and {candidate} instead of the built-in one.
    #[arg(long, value_name = "FILE", requires = "green_url")]
    green_prompt: Option<PathBuf>,
}

impl GreenArgs {
    /// The grader, if one is named.
    pub fn grader(&self) -> Result<Option<Green>> {
        let (Some(url), Some(model)) = (&self.green_url, &self.green_model) else { return Ok(None) };
        let config = GreenConfig {
            service: ServiceConfig {
                token_file: self.green_token_file.clone(),
                timeout_seconds: 300.,
                ..ServiceConfig::at(url)
            },
            model: model.clone(),
            prompt: self.green_prompt.clone(),
            longest_answer_tokens: None,
        };
        Ok(Some(Green::new(&config)?))
    }
}

/// At least one grade; the reason where there is none.
pub struct Graded {
    /// Over the reports that have a grade.
    pub mean: f64,
    grades: Vec<Result<Grade, String>>,
}

/// Grades all reports.
///
/// # Errors
/// No report could be graded; the first one's reason.
pub fn graded(green: &Green, references: &[&str], hypotheses: &[&str]) -> Result<Graded> {
    let pairs: Vec<(&str, &str)> = references.iter().copied().zip(hypotheses.iter().copied()).collect();
    let graded = green.grade_all(&pairs);
    let mean = graded.mean();
    let grades: Vec<Result<Grade, String>> =
        graded.grades.into_iter().map(|grade| grade.map_err(|error| error.to_string())).collect();
    let reason = || grades.iter().find_map(|grade| grade.as_ref().err().cloned()).unwrap_or_default();
    let mean = mean.with_context(|| format!("green: no report could be graded: {}", reason()))?;
    Ok(Graded { mean, grades })
}

impl Graded {
    /// Numbers from 1 of the reports without a grade, and the reasons.
    fn failures(&self) -> impl Iterator<Item = (usize, &str)> {
        self.grades.iter().enumerate().filter_map(|(at, grade)| Some((at + 1, grade.as_ref().err()?.as_str())))
    }
}

/// The line of the table, and the failures.
pub fn lines(graded: &Graded, reports: usize) -> String {
    let failures = graded.failures().count();
    let mut out = format!("{:<18} {:>7.4}", "green", graded.mean);
    if failures > 0 {
        out += &format!("   over {} of {reports} reports", reports - failures);
    }
    out.push('\n');
    for (at, reason) in graded.failures().take(SHOWN_FAILURES) {
        out += &format!("  report {at} has no grade: {reason}\n");
    }
    if failures > SHOWN_FAILURES {
        out += &format!("  and {} more\n", failures - SHOWN_FAILURES);
    }
    out
}

/// The mean, and for each report its grade or the reason.
pub fn json(graded: &Graded) -> Value {
    let grade = |grade: &Result<Grade, String>| match grade {
        Ok(grade) => json!({"score": grade.score(), "grade": grade}),
        Err(reason) => json!({"error": reason}),
    };
    json!({"mean": graded.mean, "reports": graded.grades.iter().map(grade).collect::<Vec<_>>()})
}
