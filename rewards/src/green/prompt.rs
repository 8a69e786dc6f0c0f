//! What the model is asked.

use std::path::Path;

use crate::{Error, Result};

const REFERENCE: &str = "{reference}";
const CANDIDATE: &str = "{candidate}";

/// Our wording of the task; section names, error types and the form of the counts are the published model's.
const BUILT_IN: &str = "\
You are an expert radiologist. Judge how accurate a candidate radiology report is, compared with a reference report \
written by experts.

Count the errors of the candidate report and the findings it shares with the reference report. Sort each error into \
exactly one of these types:
(a) False report of a finding in the candidate
(b) Missing a finding present in the reference
(c) Misidentification of a finding's anatomic location/position
(d) Misassessment of the severity of a finding
(e) Mentioning a comparison that isn't in the reference
(f) Omitting a comparison detailing a change from a prior study

An error is clinically significant if it could change how the patient is treated, and clinically insignificant \
otherwise. Judge the findings, not the style.

Reference report:
{reference}

Candidate report:
{candidate}

Answer in exactly this form, with all six types in both lists even if a count is 0:

[Explanation]:
<Explanation>

[Clinically Significant Errors]:
(a) <Error Type>: <The number of errors>. <Error 1>; <Error 2>; ...; <Error n>
....
(f) <Error Type>: <The number of errors>. <Error 1>; <Error 2>; ...; <Error n>

[Clinically Insignificant Errors]:
(a) <Error Type>: <The number of errors>. <Error 1>; <Error 2>; ...; <Error n>
....
(f) <Error Type>: <The number of errors>. <Error 1>; <Error 2>; ...; <Error n>

[Matched Findings]:
<The number of matched findings>. <Finding 1>; <Finding 2>; ...; <Finding n>
";

/// A text around the two reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    before: String,
    between: String,
    after: String,
    reference_first: bool,
}

impl Default for Prompt {
    fn default() -> Self {
        Self::new(BUILT_IN).expect("the built-in text holds both places once")
    }
}

impl Prompt {
    /// `None` unless the text holds `{reference}` and `{candidate}` once each.
    pub fn new(text: &str) -> Option<Self> {
        if [REFERENCE, CANDIDATE].iter().any(|place| text.matches(place).count() != 1) {
            return None;
        }
        let reference_first = text.find(REFERENCE) < text.find(CANDIDATE);
        let [first, second] = if reference_first { [REFERENCE, CANDIDATE] } else { [CANDIDATE, REFERENCE] };
        let (before, rest) = text.split_once(first)?;
        let (between, after) = rest.split_once(second)?;
        Some(Self { before: before.into(), between: between.into(), after: after.into(), reference_first })
    }

    /// The text of a file; the built-in one without a file. Published figures belong to the wording in the package of the
    /// authors.
    ///
    /// # Errors
    /// An unreadable file, or one that does not hold `{reference}` and `{candidate}` once each.
    pub fn read(file: Option<&Path>) -> Result<Self> {
        let Some(file) = file else { return Ok(Self::default()) };
        let refuse = |reason: String| Error::Model { file: file.to_owned(), reason };
        let text = std::fs::read_to_string(file).map_err(|error| refuse(error.to_string()))?;
        Self::new(&text).ok_or_else(|| refuse(format!("expected `{REFERENCE}` and `{CANDIDATE}` once each")))
    }

    /// The question. Nothing in a report is taken for a place of the text.
    pub fn ask(&self, reference: &str, candidate: &str) -> String {
        let [first, second] = if self.reference_first { [reference, candidate] } else { [candidate, reference] };
        [&self.before, first, &self.between, second, &self.after].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_stand_where_the_text_wants_them_whatever_they_hold() {
        let prompt = Prompt::new("C: {candidate} R: {reference}.").unwrap();
        assert_eq!(prompt.ask("{candidate}", "{reference}"), "C: {reference} R: {candidate}.");
        for bad in ["", "{reference}", "{reference} {candidate} {candidate}"] {
            assert_eq!(Prompt::new(bad), None);
        }
    }

    #[test]
    fn the_built_in_prompt_shows_every_section_and_type() {
        let question = Prompt::default().ask("REF", "CAND");
        let sections = ["[Explanation]", "[Clinically Significant Errors]", "[Clinically Insignificant Errors]"];
        for part in sections.into_iter().chain(["[Matched Findings]", "(c) Misidentification", "REF", "CAND"]) {
            assert!(question.contains(part), "{part}");
        }
    }
}
