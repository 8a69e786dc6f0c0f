//! The text of reports, made fit for a prompt or a reference.

use std::{fs, path::Path};

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    options::{Placeholders, Section},
    record::Report,
};
use crate::{
    error::{Error, Result},
    json,
    sections::spoken,
};

/// A cell of a table, without blanks around it; none if it is empty or says that it is.
pub fn cell(text: &str) -> Option<String> {
    let text = text.trim();
    let empty = text.is_empty() || ["nan", "none", "null"].iter().any(|word| text.eq_ignore_ascii_case(word));
    (!empty).then(|| text.to_owned())
}

/// As [`cell`], of JSON: text or a number.
pub fn value(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => cell(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The value in a file of JSON as Python writes it.
///
/// # Errors
/// The file cannot be read, or is no such JSON.
pub fn json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = fs::read(path).map_err(Error::io(path))?;
    // Only what Python adds to JSON needs the detour.
    let read = serde_json::from_slice(&bytes).or_else(|_| json::parse(&bytes).and_then(serde_json::from_value));
    read.map_err(|reason| Error::Source {
        path: path.to_owned(),
        reason: format!("not the JSON that is expected: {reason}"),
    })
}

/// On one line, with or without the marks for what was taken out; none if nothing remains.
pub fn tidy(text: &str, placeholders: Placeholders) -> Option<String> {
    let line = match placeholders {
        Placeholders::Keep => one_line(text),
        Placeholders::Remove => one_line(&without_placeholders(text)).replace(" .", ".").replace(" ,", ","),
    };
    line.contains(|c: char| c.is_alphanumeric() || c == '_').then_some(line)
}

/// The reference, or why there is none.
pub fn reference(report: &Report, section: Section, placeholders: Placeholders) -> Result<String, &'static str> {
    let part = |text: &Option<String>, missing| {
        let text = text.as_deref().and_then(|text| tidy(text, placeholders)).ok_or(missing)?;
        let said = settled(text);
        if said.contains(char::is_alphanumeric) { Ok(said) } else { Err(missing) }
    };
    let findings = || part(&report.findings, "no findings in the report");
    let impression = || part(&report.impression, "no impression in the report");
    match section {
        Section::Findings => findings(),
        Section::Impression => impression(),
        Section::Both => Ok(format!("FINDINGS: {}\nIMPRESSION: {}", findings()?, impression()?)),
    }
}

/// Whether a text holds marks for what was taken out.
pub fn has_placeholders(text: &str) -> bool {
    text.contains("___") || text.contains("XXXX")
}

/// What speaks of a text, so that a reader who asks again gets the same.
fn settled(mut text: String) -> String {
    loop {
        let said = one_line(&spoken(&text));
        // Each further round leaves something out.
        if said.len() >= text.len() {
            return said;
        }
        text = said;
    }
}

/// Without runs of underscores, or of capital X, as long as those that stand for something.
fn without_placeholders(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let run = rest.len() - rest.trim_start_matches(first).len();
        let stands_for_something = first == '_' && run >= 3 || first == 'X' && run >= 4;
        if !stands_for_something {
            kept.push_str(&rest[..run]);
        }
        rest = &rest[run..];
    }
    kept
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn placeholders_are_kept_or_removed_with_the_blanks_around_them() {
        let text = "Compared to ___,  no change.\nXXXX XXXX-year-old. IXXXX? XX.";
        assert_eq!(
            tidy(text, Placeholders::Keep).unwrap(),
            "Compared to ___, no change. XXXX XXXX-year-old. IXXXX? XX."
        );
        assert_eq!(tidy(text, Placeholders::Remove).unwrap(), "Compared to, no change. -year-old. I? XX.");
        assert_eq!(tidy(" ___ ", Placeholders::Keep).as_deref(), Some("___"));
        assert_eq!(tidy(" ___. XXXX", Placeholders::Remove), None);
    }

    #[test]
    fn a_reference_is_one_section_or_both_and_is_missing_by_name() {
        let report = Report {
            findings: Some("Lungs: clear.\r\n Recommendation: CT.".into()),
            impression: Some(" . ".into()),
            ..Report::default()
        };
        let reference = |section| reference(&report, section, Placeholders::Keep);
        assert_eq!(reference(Section::Findings).unwrap(), "Lungs: clear.");
        assert_eq!(reference(Section::Impression), Err("no impression in the report"));
        assert_eq!(reference(Section::Both), Err("no impression in the report"));
    }

    proptest! {
        #[test]
        fn a_reader_of_the_reference_sees_all_of_it(words in prop::collection::vec(prop::sample::select(vec![
            "FINDINGS:", "IMPRESSION:", "HISTORY:", "Heart:", "LUNGS", "AP CHEST:", "WET READ", "FINAL REPORT", "Clear.", "no", "x",
            ".", ":", "\n", "\n\n", "___", "____", "XXXX", " ", "findings", "NOTE:",
        ]), 0..24), remove: bool) {
            let text = words.join(" ");
            let report = Report { findings: Some(text.clone()), impression: Some("Normal.".into()), ..Report::default() };
            let placeholders = if remove { Placeholders::Remove } else { Placeholders::Keep };
            if let Ok(written) = reference(&report, Section::Findings, placeholders) {
                prop_assert_eq!(spoken(&written), written.as_str());
                prop_assert!(!remove || !has_placeholders(&written), "{}", written);
            }
        }
    }
}
