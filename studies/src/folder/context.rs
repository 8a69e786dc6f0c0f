//! Reads indication, technique and comparison out of a prompt that another program wrote.

use crate::prompt::IMAGE_MARKER;

/// What was found of each.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Context {
    pub indication: Option<String>,
    pub technique: Option<String>,
    pub comparison: Option<String>,
}

/// In lower case; a name that ends in another one stands before it.
const HEADINGS: [(&str, usize); 19] = [
    ("clinical indication:", 0),
    ("clinical indications:", 0),
    ("clinical history:", 0),
    ("clinical information:", 0),
    ("reason for examination:", 0),
    ("reason for this examination:", 0),
    ("reason for the examination:", 0),
    ("reason for exam:", 0),
    ("reason for this exam:", 0),
    ("reason for the exam:", 0),
    ("reason for study:", 0),
    ("indication for study:", 0),
    ("indications:", 0),
    ("indication:", 0),
    ("history:", 0),
    ("technique:", 1),
    ("comparison film:", 2),
    ("comparisons:", 2),
    ("comparison:", 2),
];
/// Sentences that start like this instruct the model.
const INSTRUCTIONS: [&str; 5] = ["write ", "provide ", "generate ", "describe ", "please "];

impl Context {
    /// The first non-empty section of each kind counts.
    pub fn parse(human: &str) -> Self {
        let mut found: [Option<String>; 3] = Default::default();
        for line in human.lines() {
            let headings = headings(line);
            for (i, &(_, from, which)) in headings.iter().enumerate() {
                let to = headings.get(i + 1).map_or(line.len(), |next| next.0);
                let text = without_instruction(&line[from..to]);
                if found[which].is_none() && !text.is_empty() {
                    found[which] = Some(text.to_owned());
                }
            }
        }
        let [indication, technique, comparison] = found;
        Self { indication, technique, comparison }
    }
}

/// Start of the heading, start of its text, and which section it opens, from left to right.
fn headings(line: &str) -> Vec<(usize, usize, usize)> {
    // ASCII only, so that byte positions are those of `line`.
    let lower = line.to_ascii_lowercase();
    let mut found: Vec<(usize, usize, usize)> = Vec::new();
    for (name, which) in HEADINGS {
        for (start, _) in lower.match_indices(name) {
            let inside_word = lower[..start].ends_with(|c: char| c.is_alphanumeric());
            let end = start + name.len();
            if !inside_word && !found.iter().any(|other| other.1 == end) {
                found.push((start, end, which));
            }
        }
    }
    found.sort_unstable();
    found
}

/// Cuts at the first image marker or instructing sentence.
fn without_instruction(text: &str) -> &str {
    let text = text.split(IMAGE_MARKER).next().unwrap_or_default();
    let lower = text.to_ascii_lowercase();
    let starts_sentence =
        |at: usize| lower[..at].trim_end().is_empty() || lower[..at].trim_end().ends_with(['.', '?', ';']);
    let cut = INSTRUCTIONS
        .iter()
        .flat_map(|word| lower.match_indices(word).map(|(at, _)| at))
        .filter(|&at| starts_sentence(at))
        .min()
        .unwrap_or(text.len());
    text[..cut].trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_on_one_line_are_told_apart() {
        let context = Context::parse(
            "<image> Indication: Fever, r/o PNA. Technique: PA. Comparison: None. Provide a description of the findings.",
        );
        assert_eq!(context.indication.as_deref(), Some("Fever, r/o PNA."));
        assert_eq!(context.technique.as_deref(), Some("PA."));
        assert_eq!(context.comparison.as_deref(), Some("None."));
    }

    #[test]
    fn sections_on_several_lines_end_with_their_line() {
        let context = Context::parse("<image>\r\nCLINICAL HISTORY: cough\r\nTECHNIQUE:\r\nDescribe the image.");
        assert_eq!(context, Context { indication: Some("cough".into()), ..Context::default() });
    }

    #[test]
    fn words_that_only_contain_a_heading_open_no_section() {
        assert_eq!(Context::parse("Prehistory: none. Write the findings."), Context::default());
    }
}
