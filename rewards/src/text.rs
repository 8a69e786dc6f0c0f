//! Text metrics for evaluation: how much of the reference's wording a report repeats.
//!
//! They follow the paper's evaluation script, which calls the COCO caption metrics: [`clean`] tidies a report, then
//! [`normalise`] drops punctuation and case, and words end at white space. None of them knows findings; none is a reward.

pub mod bleu;
pub mod cider;
mod clean;
pub mod meteor;
mod ngrams;
pub mod rouge;
mod stem;

pub use clean::{EMPTY, clean};
pub use stem::stem;

/// A report as the caption metrics read it: without punctuation, in lower case.
///
/// Hyphens and decimal points vanish too, so "right-sided" becomes "rightsided" and "3.5" becomes "35".
pub fn normalise(report: &str) -> String {
    const QUOTES: [char; 4] = ['"', '/', '\\', '\''];
    const PUNCTUATION: &str = ".,?;*!%^&_+():-[]{}";
    let unquoted: String = report.chars().filter(|c| !QUOTES.contains(c)).collect();
    let lower = unquoted.trim_matches(is_space).to_lowercase();
    lower.chars().filter(|&c| !PUNCTUATION.contains(c)).collect()
}

/// The words of a normalised report.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|word| !word.is_empty())
}

/// White space as the reference implementation's language counts it: Unicode's, and the four information separators.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

#[cfg(test)]
mod tests;
