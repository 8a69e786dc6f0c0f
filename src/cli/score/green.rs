//! GREEN in `addendum score`: the options that name the grader, and what is printed of its grades.

use std::path::{Path, PathBuf};

use addendum::{
    remote::{Green, ServiceConfig, green::GreenConfig},
    rewards::green::{Grade, Graded},
};
use anyhow::{Context, Result};
use clap::{ArgGroup, Args};
use serde_json::{Value, json};

/// Failures that the table shows; the others are counted.
const SHOWN_FAILURES: usize = 5;

#[derive(Args)]
#[command(next_help_heading = "GREEN", group(ArgGroup::new("grader").args(["green", "green_url"])))]
pub struct GreenArgs {
    /// The folder of a GREEN model, a Llama 2 that grades in this process (in a build with the feature `green`); without
    /// it or --green-url no grades.
    #[arg(long, value_name = "DIR")]
    green: Option<PathBuf>,
    /// Its device, cpu or cuda:N.
    #[arg(long, value_name = "DEVICE", default_value = "cpu", requires = "green")]
    green_device: String,
    /// Base of an OpenAI-compatible API that serves a GREEN model, as http://127.0.0.1:8000/v1.
    #[arg(long, value_name = "URL", requires = "green_model")]
    green_url: Option<String>,
    /// The name under which it serves the model.
    #[arg(long, value_name = "NAME", requires = "green_url")]
    green_model: Option<String>,
    /// File with the API's bearer token.
    #[arg(long, value_name = "FILE", requires = "green_url")]
    green_token_file: Option<PathBuf>,
    /// A prompt with {reference} and {candidate} instead of the built-in one.
    #[arg(long, value_name = "FILE", requires = "grader")]
    green_prompt: Option<PathBuf>,
}

/// What grades.
pub enum Grader {
    Service(Green),
    #[cfg(feature = "green")]
    Model(addendum::neural::Green),
}

impl GreenArgs {
    /// The grader, if one is named.
    pub fn grader(&self) -> Result<Option<Grader>> {
        if let Some(folder) = &self.green {
            return self.model(folder).map(Some);
        }
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
        Ok(Some(Grader::Service(Green::new(&config)?)))
    }

    #[cfg(feature = "green")]
    fn model(&self, folder: &Path) -> Result<Grader> {
        let name = &self.green_device;
        let device = addendum::policy::device::device(name).with_context(|| format!("--green-device {name}"))?;
        let prompt = addendum::rewards::green::Prompt::read(self.green_prompt.as_deref())?;
        Ok(Grader::Model(addendum::neural::Green::load(folder, prompt, &device)?))
    }

    #[cfg(not(feature = "green"))]
    fn model(&self, folder: &Path) -> Result<Grader> {
        anyhow::bail!("--green {}: this build lacks the feature `green`", folder.display())
    }
}

impl Grader {
    /// The grades, or the reasons where there is none, in the order of the pairs.
    fn grades(&self, pairs: &[(&str, &str)]) -> Graded<String> {
        match self {
            Self::Service(green) => told(green.grade_all(pairs)),
            #[cfg(feature = "green")]
            Self::Model(green) => told(green.grade_all(pairs)),
        }
    }
}

/// The grades with the reasons in words.
fn told<E: ToString>(graded: Graded<E>) -> Graded<String> {
    Graded { grades: graded.grades.into_iter().map(|grade| grade.map_err(|error| error.to_string())).collect() }
}

/// Grades of all reports, at least one; the reason where there is none.
pub struct Grades {
    /// Over the reports that have a grade.
    pub mean: f64,
    graded: Graded<String>,
}

/// Grades all reports.
///
/// # Errors
/// No report could be graded; the first one's reason.
pub fn grades(grader: &Grader, references: &[&str], hypotheses: &[&str]) -> Result<Grades> {
    let pairs: Vec<(&str, &str)> = references.iter().copied().zip(hypotheses.iter().copied()).collect();
    let graded = grader.grades(&pairs);
    let reason = || graded.grades.iter().find_map(|grade| grade.as_ref().err().cloned()).unwrap_or_default();
    let mean = graded.mean().with_context(|| format!("green: no report could be graded: {}", reason()))?;
    Ok(Grades { mean, graded })
}

/// The line of the table, and the failures.
pub fn lines(Grades { mean, graded }: &Grades, reports: usize) -> String {
    let failures = graded.failures();
    let mut out = format!("{:<18} {mean:>7.4}", "green");
    if failures > 0 {
        out += &format!("   over {} of {reports} reports", reports - failures);
    }
    out.push('\n');
    let reasons = graded.grades.iter().enumerate().filter_map(|(at, grade)| Some((at, grade.as_ref().err()?)));
    for (at, reason) in reasons.take(SHOWN_FAILURES) {
        out += &format!("  report {} has no grade: {reason}\n", at + 1);
    }
    if failures > SHOWN_FAILURES {
        out += &format!("  and {} more\n", failures - SHOWN_FAILURES);
    }
    out
}

/// The mean, and for each report its grade or the reason.
pub fn json(Grades { mean, graded }: &Grades) -> Value {
    let grade = |grade: &Result<Grade, String>| match grade {
        Ok(grade) => json!({"score": grade.score(), "grade": grade}),
        Err(reason) => json!({"error": reason}),
    };
    json!({"mean": mean, "reports": graded.grades.iter().map(grade).collect::<Vec<_>>()})
}
