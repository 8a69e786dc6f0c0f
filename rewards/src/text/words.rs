//! What a report and its words are to the caption metrics.

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

/// [`normalise`], with single blanks between words, so that texts of the same words are the same however they are wrapped
/// or spaced.
///
/// White space of width zero separates words too; what joins them (soft hyphens, byte order marks) goes.
pub fn caption(report: &str) -> String {
    const JOINERS: [char; 3] = ['\u{ad}', '\u{2060}', '\u{feff}'];
    let spaced = |c| if c == '\u{200b}' { ' ' } else { c };
    let joined: String = report.chars().filter(|c| !JOINERS.contains(c)).map(spaced).collect();
    words(&normalise(&joined)).collect::<Vec<_>>().join(" ")
}

/// The words of a normalised report.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|word| !word.is_empty())
}

/// White space as the reference implementation's language counts it: Unicode's, and the four information separators.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}
